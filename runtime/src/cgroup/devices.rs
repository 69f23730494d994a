//! Which devices a container may use: none but a few and those that it was given. Version 1 has a controller that is told so; in
//! version 2 the kernel runs a program before one is opened or made.
//!
//! Making a node (`m`) is allowed for all, opening one is not. /dev/fuse (10:229) and /dev/net/tun (10:200) are not among
//! them: neither is needed by a container that was given none.

use std::os::fd::OwnedFd;

use layerfs_driver::sys::SysError;

use super::error::CgroupError;
use super::group::Group;
use super::limits::DeviceRule;
use crate::spec::DeviceKind;
use crate::sys::bpf::{self, Instruction};

/// Devices, any where there is no number, and some of `rwm`.
#[derive(Clone, Copy)]
struct Rule<'a> {
    kind: DeviceKind,
    major: Option<u32>,
    minor: Option<u32>,
    access: &'a str,
}

impl<'a> Rule<'a> {
    const fn any(kind: DeviceKind, access: &'a str) -> Rule<'a> {
        Rule { kind, major: None, minor: None, access }
    }

    const fn usual(major: u32, minor: Option<u32>) -> Rule<'a> {
        Rule { kind: DeviceKind::Character, major: Some(major), minor, access: "rwm" }
    }

    fn given(rule: &'a DeviceRule) -> Rule<'a> {
        let (major, minor) = rule.numbers.unzip();
        Rule { kind: rule.kind, major, minor, access: &rule.access }
    }

    /// As version 1 reads it.
    fn words(&self) -> String {
        let kind = match self.kind {
            DeviceKind::Character => 'c',
            DeviceKind::Block => 'b',
        };
        let number = |number: Option<u32>| number.map_or("*".into(), |one| one.to_string());
        format!("{kind} {}:{} {}", number(self.major), number(self.minor), self.access)
    }
}

const ALLOWED: [Rule; 10] = [
    Rule::any(DeviceKind::Character, "m"),
    Rule::any(DeviceKind::Block, "m"),
    Rule::usual(1, Some(3)), // null
    Rule::usual(1, Some(5)), // zero
    Rule::usual(1, Some(7)), // full
    Rule::usual(1, Some(8)), // random
    Rule::usual(1, Some(9)), // urandom
    Rule::usual(5, Some(0)), // tty
    Rule::usual(5, Some(2)), // ptmx
    Rule::usual(136, None),  // terminals of devpts
];

/// Denies everything but the list. For groups of version 1.
pub fn allow_only_ours(group: &Group) -> Result<(), CgroupError> {
    group.tell("devices.deny", "a")?;
    ALLOWED.iter().try_for_each(|rule| group.tell("devices.allow", &rule.words()))
}

/// Allows these, too. For groups of version 1.
pub fn allow(group: &Group, rules: &[DeviceRule]) -> Result<(), CgroupError> {
    rules.iter().try_for_each(|rule| group.tell("devices.allow", &Rule::given(rule).words()))
}

/// What denies everything but the list and `rules`. For groups of version 2.
pub fn guard(rules: &[DeviceRule]) -> Result<OwnedFd, SysError> {
    bpf::load(&program(rules))
}

/// Has it hold in this group and those below.
pub fn set(group: &Group, guard: &OwnedFd) -> Result<(), CgroupError> {
    let failed = CgroupError::call("keep devices from", group.path());
    bpf::attach(&group.dir, guard).map_err(failed)
}

/// The registers: the answer, the context, and what is read from that.
const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const ACCESS: u8 = 2;
const KIND: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
/// Free once the context is read.
const REST: u8 = CONTEXT;

/// Operations of `linux/bpf_common.h` and `linux/bpf.h`.
const LOAD_WORD: u8 = 0x61;
const COPY: u8 = 0xbf;
const SET: u8 = 0xb7;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;

/// The program: each rule is tried, and lets an access pass of which it has all. Of `struct bpf_cgroup_dev_ctx` the first word has
/// the kind in its lower half and the access above, then come both numbers.
fn program(rules: &[DeviceRule]) -> Vec<Instruction> {
    let with = |code, register, number| Instruction::new(code, (register, 0), 0, number);
    let read = |register, at| Instruction::new(LOAD_WORD, (register, CONTEXT), at, 0);
    let mut program = vec![
        read(KIND, 0),
        read(MAJOR, 4),
        read(MINOR, 8),
        Instruction::new(COPY, (ACCESS, KIND), 0, 0),
        with(AND, KIND, 0xffff),
        with(SHIFT_RIGHT, ACCESS, 16),
    ];
    // A number beyond is no device's.
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let is = |register, number| with(JUMP_UNLESS_EQUAL, register, number);
    for rule in merged(rules) {
        let mut tried = vec![is(KIND, number_of(rule.kind))];
        tried.extend(rule.major.map(|major| is(MAJOR, number(major))));
        tried.extend(rule.minor.map(|minor| is(MINOR, number(minor))));
        if rule.access != ALL {
            tried.push(Instruction::new(COPY, (REST, ACCESS), 0, 0));
            tried.extend([with(AND, REST, !rule.access), is(REST, 0)]);
        }
        tried.extend([with(SET, ANSWER, 1), with(EXIT, 0, 0)]);
        // Who fails a test is at the next rule.
        let len = tried.len();
        for (at, one) in tried.iter_mut().enumerate() {
            if one.code == JUMP_UNLESS_EQUAL {
                one.offset = i16::try_from(len - at - 1).unwrap_or(i16::MAX);
            }
        }
        program.extend(tried);
    }
    program.extend([with(SET, ANSWER, 0), with(EXIT, 0, 0)]);
    program
}

/// What the kernel calls making, reading and writing, and all of them.
const ACCESSES: [(char, i32); 3] = [('m', 1), ('r', 2), ('w', 4)];
const ALL: i32 = 7;

fn number_of(kind: DeviceKind) -> i32 {
    match kind {
        DeviceKind::Block => 1,
        DeviceKind::Character => 2,
    }
}

/// The same devices, and what may be done with them.
struct Merged {
    kind: DeviceKind,
    major: Option<u32>,
    minor: Option<u32>,
    access: i32,
}

/// Each device once, with what all rules of it allow: who opens one to read and to write asks for both at once.
fn merged(rules: &[DeviceRule]) -> Vec<Merged> {
    let mut merged: Vec<Merged> = Vec::new();
    for rule in ALLOWED.into_iter().chain(rules.iter().map(Rule::given)) {
        let Rule { kind, major, minor, .. } = rule;
        let said = ACCESSES.iter().filter(|(word, _)| rule.access.contains(*word));
        let access = said.fold(0, |all, (_, bit)| all | bit);
        let same =
            |other: &&mut Merged| (other.kind, other.major, other.minor) == (kind, major, minor);
        match merged.iter_mut().find(same) {
            Some(other) => other.access |= access,
            None => merged.push(Merged { kind, major, minor, access }),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs it as the kernel would.
    fn allows(program: &[Instruction], kind: i32, numbers: (i32, i32), access: i32) -> bool {
        let context = [access << 16 | kind, numbers.0, numbers.1];
        let mut registers = [0_i32; 6];
        let mut at = 0;
        for _ in 0..=program.len() {
            let one = program[at];
            at += 1;
            let found = (0..6)
                .flat_map(|to| (0..6).map(move |from| (to, from)))
                .find(|pair| one == Instruction::new(one.code, *pair, one.offset, one.immediate));
            let (to, from) = found.map(|(to, from)| (usize::from(to), usize::from(from))).unwrap();
            match one.code {
                LOAD_WORD => registers[to] = context[usize::try_from(one.offset).unwrap() / 4],
                COPY => registers[to] = registers[from],
                SET => registers[to] = one.immediate,
                AND => registers[to] &= one.immediate,
                SHIFT_RIGHT => registers[to] >>= one.immediate,
                JUMP_UNLESS_EQUAL if registers[to] != one.immediate => {
                    at += usize::try_from(one.offset).unwrap();
                }
                JUMP_UNLESS_EQUAL => {}
                EXIT => return registers[0] == 1,
                other => panic!("{other:x}"),
            }
        }
        panic!("it does not end");
    }

    #[test]
    fn the_program_allows_what_the_rules_say_and_nothing_else() {
        let rule =
            |kind, numbers, access: &str| DeviceRule { kind, numbers, access: access.into() };
        let program = program(&[
            rule(DeviceKind::Character, Some((10, 229)), "r"),
            rule(DeviceKind::Block, Some((8, 1)), "r"),
            rule(DeviceKind::Block, Some((8, 1)), "w"),
            rule(DeviceKind::Block, Some((7, 0)), "rwm"),
        ]);
        let (block, character, [make, read, write]) = (1, 2, [1, 2, 4]);
        for (kind, numbers, access, expected) in [
            (character, (1, 3), read | write, true),
            (character, (1, 4), read, false),
            (block, (1, 3), read, false),
            (character, (136, 7), write, true),
            (character, (5, 1), read, false),
            (character, (99, 1), make, true),
            (character, (99, 1), make | read, false),
            (block, (99, 1), make, true),
            (character, (10, 229), read, true),
            (character, (10, 229), write, false),
            (character, (10, 229), read | write, false),
            (block, (8, 1), read | write, true),
            (block, (8, 2), read, false),
            (block, (7, 0), make | read | write, true),
            (block, (7, 1), read, false),
        ] {
            let found = allows(&program, kind, numbers, access);
            assert_eq!(found, expected, "{kind} {numbers:?} {access}");
        }
    }

    #[test]
    fn version_1_is_told_in_its_own_words() {
        let words: Vec<String> = ALLOWED.iter().map(Rule::words).collect();
        assert_eq!((&*words[0], &*words[2], &*words[9]), ("c *:* m", "c 1:3 rwm", "c 136:* rwm"));
    }
}
