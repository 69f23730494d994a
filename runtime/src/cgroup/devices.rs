//! Which devices a container may use: none but a few and those that it was given. Version 1 has a controller that is told so; in
//! version 2 the kernel runs a program before one is opened or made.
//!
//! Making a node (`m`) is allowed for all, opening one is not. /dev/fuse (10:229) and /dev/net/tun (10:200) are not among
//! them: neither is needed by a container that was given none.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use layerfs_driver::sys::{Errno, SysError};

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
    bpf::load(&program(rules)?)
}

/// Has it hold in this group and those below.
pub fn set(group: &Group, guard: &OwnedFd) -> Result<(), SysError> {
    bpf::attach(&group.dir, guard)
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

/// The program. Of `struct bpf_cgroup_dev_ctx` the first word has the kind in its lower half and the access above, then come both
/// numbers. An access passes of which a rule has all. Wider rules are tried first, and whoever has come to the numbers of a device
/// goes nowhere else: the kernel follows each way through the program, and takes so many steps and no more.
fn program(rules: &[DeviceRule]) -> Result<Vec<Instruction>, SysError> {
    let read = |register, at| Instruction::new(LOAD_WORD, (register, CONTEXT), at, 0);
    let mut program = vec![
        read(KIND, 0),
        read(MAJOR, 4),
        read(MINOR, 8),
        Instruction::new(COPY, (ACCESS, KIND), 0, 0),
        with(AND, KIND, 0xffff),
        with(SHIFT_RIGHT, ACCESS, 16),
    ];
    let merged = merged(rules);
    for kind in [DeviceKind::Character, DeviceKind::Block] {
        let of_kind: Vec<&Merged> = merged.iter().filter(|rule| rule.kind == kind).collect();
        program.extend(where_is(KIND, number_of(kind), of_a_kind(&of_kind)?)?);
    }
    program.extend(answer(0));
    Ok(program)
}

fn with(code: u8, register: u8, number: i32) -> Instruction {
    Instruction::new(code, (register, 0), 0, number)
}

fn answer(number: i32) -> [Instruction; 2] {
    [with(SET, ANSWER, number), with(EXIT, 0, 0)]
}

/// Passes over `then` unless the register has that number.
fn where_is(
    register: u8,
    number: i32,
    then: Vec<Instruction>,
) -> Result<Vec<Instruction>, SysError> {
    let Ok(over) = i16::try_from(then.len()) else {
        let shown = format!("BPF_PROG_LOAD, a jump over {} instructions", then.len());
        return Err(SysError::new("bpf", shown, Errno::TOOBIG));
    };
    let mut all = vec![Instruction::new(JUMP_UNLESS_EQUAL, (register, 0), over, number)];
    all.extend(then);
    Ok(all)
}

/// Lets pass what has no other access than this; what has goes on.
fn let_pass(access: i32) -> Vec<Instruction> {
    let mut all = Vec::new();
    if access != ALL {
        all.push(Instruction::new(COPY, (REST, ACCESS), 0, 0));
        all.push(with(AND, REST, !access));
        all.push(Instruction::new(JUMP_UNLESS_EQUAL, (REST, 0), 2, 0));
    }
    all.extend(answer(1));
    all
}

/// Ends with an answer.
fn of_a_kind(rules: &[&Merged]) -> Result<Vec<Instruction>, SysError> {
    let mut all = Vec::new();
    for rule in rules.iter().filter(|rule| rule.major.is_none()) {
        all.extend(let_pass(rule.access));
        if rule.access == ALL {
            // No way leads to what would follow, which the kernel takes for a mistake.
            return Ok(all);
        }
    }
    let mut majors: Vec<u32> = rules.iter().filter_map(|rule| rule.major).collect();
    majors.sort_unstable();
    majors.dedup();
    for major in majors {
        let of_major = rules.iter().filter(|rule| rule.major == Some(major));
        all.extend(where_is(MAJOR, number(major), of_a_major(of_major.copied())?)?);
    }
    all.extend(answer(0));
    Ok(all)
}

/// Ends with an answer.
fn of_a_major<'a>(
    rules: impl Iterator<Item = &'a Merged> + Clone,
) -> Result<Vec<Instruction>, SysError> {
    let mut all = Vec::new();
    for rule in rules.clone().filter(|rule| rule.minor.is_none()) {
        all.extend(let_pass(rule.access));
        if rule.access == ALL {
            return Ok(all);
        }
    }
    for (rule, minor) in rules.filter_map(|rule| Some((rule, rule.minor?))) {
        let mut one = let_pass(rule.access);
        if rule.access != ALL {
            one.extend(answer(0));
        }
        all.extend(where_is(MINOR, number(minor), one)?);
    }
    all.extend(answer(0));
    Ok(all)
}

/// A number beyond is no device's.
fn number(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
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
    let mut merged: BTreeMap<_, Merged> = BTreeMap::new();
    for rule in ALLOWED.into_iter().chain(rules.iter().map(Rule::given)) {
        let Rule { kind, major, minor, .. } = rule;
        let said = ACCESSES.iter().filter(|(word, _)| rule.access.contains(*word));
        let access = said.fold(0, |all, (_, bit)| all | bit);
        let none = Merged { kind, major, minor, access: 0 };
        merged.entry((number_of(kind), major, minor)).or_insert(none).access |= access;
    }
    merged.into_values().collect()
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
            rule(DeviceKind::Character, Some((136, 9)), "r"),
            rule(DeviceKind::Character, Some((10, 229)), "r"),
            rule(DeviceKind::Block, Some((8, 1)), "r"),
            rule(DeviceKind::Block, Some((8, 1)), "w"),
            rule(DeviceKind::Block, Some((7, 0)), "rwm"),
        ])
        .unwrap();
        let (block, character, [make, read, write]) = (1, 2, [1, 2, 4]);
        for (kind, numbers, access, expected) in [
            (character, (1, 3), read | write, true),
            (character, (1, 4), read, false),
            (block, (1, 3), read, false),
            (character, (136, 7), write, true),
            (character, (136, 9), read | write, true),
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
    fn a_kind_that_is_all_allowed_has_nothing_behind_it() {
        let any = |kind| DeviceRule { kind, numbers: None, access: "rwm".into() };
        let program = program(&[any(DeviceKind::Block)]).unwrap();
        assert!(allows(&program, 1, (8, 1), 6) && !allows(&program, 2, (8, 1), 2));
        let ends = program.iter().filter(|one| one.code == EXIT).count();
        let jumps = program.iter().filter(|one| one.code == JUMP_UNLESS_EQUAL).count();
        // Each answer but the last is passed over by one jump.
        assert!(ends <= jumps + 1, "{ends} {jumps}");
    }

    #[test]
    fn version_1_is_told_in_its_own_words() {
        let words: Vec<String> = ALLOWED.iter().map(Rule::words).collect();
        assert_eq!((&*words[0], &*words[2], &*words[9]), ("c *:* m", "c 1:3 rwm", "c 136:* rwm"));
    }
}
