//! The programs for the kernel that do what a profile says.
//!
//! 1. One program for each deed does that, and one leaves to the profile's default what no rule is about; of what several say the
//!    kernel takes the strictest. What forbids to load a further one is the last.
//! 2. A name that this machine's kernel headers do not have stands for no call, and is passed over.
//! 3. A call of another architecture ends the program: its numbers mean other calls. Those of x32, which have this one's name, are
//!    not there (ENOSYS).
//! 4. Where what no rule is about is refused, calls that are newer than all that the profile names are not there either: programs try
//!    what is new, and do without by that answer alone.

use std::collections::BTreeMap;
use std::str::FromStr;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use syscalls::Sysno;

use super::ProfileError;
use super::profile::{Argument, Compare, Deed, Ground, Profile, Rule};

/// Calls whose arguments the kernel takes 32 bits of: what stands above them says nothing, and must not hide the rest.
const OF_32_BITS: [&str; 3] = ["socket", "socketpair", "personality"];

/// From here on the numbers of x32 begin (`__X32_SYSCALL_BIT` of `asm/unistd.h`).
const X32: u32 = 0x4000_0000;

/// `SECCOMP_RET_ERRNO` with `ENOSYS`.
const NO_SUCH_CALL: u32 = 0x0005_0000 | 38;

/// Arguments of a system call.
const ARGUMENTS: u8 = 6;

/// `struct sock_filter` of `linux/filter.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What is done.
    pub code: u16,
    /// Instructions that are passed over where a comparison holds.
    pub jt: u8,
    /// The same where it does not.
    pub jf: u8,
    /// A number that it is done with.
    pub k: u32,
}

/// The programs of a profile, to be loaded in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(pub Vec<Vec<Instruction>>);

/// The rules of one deed, by the number of the call; none for a call that is meant whatever its arguments are.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

impl Filters {
    /// The programs of a profile for a container that has those capabilities, on a kernel of that release.
    pub fn compile(
        profile: &Profile,
        capabilities: &[&str],
        kernel: &str,
    ) -> Result<Filters, ProfileError> {
        let machine = std::env::consts::ARCH;
        let arch = TargetArch::try_from(machine).map_err(|_| ProfileError::Machine(machine))?;
        let default = profile.default_deed()?;
        // Each deed beside the default, and which calls it is done to.
        let mut deeds: Vec<(Deed, Rules)> = Vec::new();
        let mut spared = Rules::new();
        for (rule, deed) in profile.rules(Ground { capabilities, kernel })? {
            if deed == default {
                continue;
            }
            if default != Deed::Allow {
                add(&mut spared, (rule, deed))?;
            }
            if deed == Deed::Allow {
                continue;
            }
            match deeds.iter_mut().find(|(known, _)| *known == deed) {
                Some((_, rules)) => add(rules, (rule, deed))?,
                None => {
                    let mut rules = Rules::new();
                    add(&mut rules, (rule, deed))?;
                    deeds.push((deed, rules));
                }
            }
        }
        let loads = i64::from(Sysno::seccomp.id());
        let mut programs = Vec::new();
        for (deed, rules) in deeds {
            let forbids = rules.contains_key(&loads);
            programs.push((forbids, program(rules, (Deed::Allow, deed), (None, arch))?));
        }
        if default != Deed::Allow {
            let forbids = !spared.contains_key(&loads);
            let newest = matches!(default, Deed::Errno(_)).then(|| profile.newest()).flatten();
            programs.push((forbids, program(spared, (default, Deed::Allow), (newest, arch))?));
        }
        programs.sort_by_key(|(forbids, _)| *forbids);
        Ok(Filters(programs.into_iter().map(|(_, program)| program).collect()))
    }
}

impl Profile {
    /// The greatest number of a call that it names.
    fn newest(&self) -> Option<u32> {
        let numbers = self.names().filter_map(|name| Sysno::from_str(name).ok());
        numbers.filter_map(|call| u32::try_from(call.id()).ok()).max()
    }
}

/// Adds the calls of a rule.
fn add(rules: &mut Rules, (rule, deed): (&Rule, Deed)) -> Result<(), ProfileError> {
    for name in rule.names() {
        let Ok(call) = Sysno::from_str(name) else {
            tracing::debug!("there is no system call `{name}` here");
            continue;
        };
        let number = i64::from(call.id());
        let conditions = conditions((name, deed), rule.arguments())?;
        let is_whole = rules.get(&number).is_some_and(Vec::is_empty);
        match conditions.is_empty() {
            true => drop(rules.insert(number, Vec::new())),
            false if is_whole => {}
            false => rules.entry(number).or_default().extend(conditions),
        }
    }
    Ok(())
}

/// The conditions of a rule: all hold at once, or one of them where several are of one argument, as with runc.
fn conditions(
    (name, deed): (&str, Deed),
    arguments: &[Argument],
) -> Result<Vec<SeccompRule>, ProfileError> {
    let mut all = Vec::new();
    for argument in arguments {
        let wrong = || ProfileError::Argument { call: name.to_owned(), index: argument.index };
        if argument.index >= ARGUMENTS {
            return Err(wrong());
        }
        all.push(condition((name, deed), argument).map_err(|_| wrong())?);
    }
    let mut indexes: Vec<u8> = arguments.iter().map(|argument| argument.index).collect();
    indexes.sort_unstable();
    indexes.dedup();
    let groups: Vec<Vec<SeccompCondition>> = match all.len() {
        0 => Vec::new(),
        len if indexes.len() == len => vec![all],
        _ => all.into_iter().map(|one| vec![one]).collect(),
    };
    groups.into_iter().map(|group| SeccompRule::new(group).map_err(size)).collect()
}

fn condition(
    (name, deed): (&str, Deed),
    argument: &Argument,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    let fits = u32::try_from(argument.value).is_ok();
    let (op, value) = match argument.op {
        Compare::Ne => (SeccompCmpOp::Ne, argument.value),
        Compare::Lt => (SeccompCmpOp::Lt, argument.value),
        Compare::Le => (SeccompCmpOp::Le, argument.value),
        Compare::Eq => (SeccompCmpOp::Eq, argument.value),
        Compare::Ge => (SeccompCmpOp::Ge, argument.value),
        Compare::Gt => (SeccompCmpOp::Gt, argument.value),
        Compare::MaskedEq => (SeccompCmpOp::MaskedEq(argument.value), argument.value_two),
    };
    // What is allowed where it is not a number is not that with anything above its 32 bits either.
    let is_exception = argument.op == Compare::Ne && deed == Deed::Allow;
    let is_short = fits && (OF_32_BITS.contains(&name) || is_exception);
    let len = if is_short { SeccompCmpArgLen::Dword } else { SeccompCmpArgLen::Qword };
    SeccompCondition::new(argument.index, len, op, value)
}

fn program(
    rules: Rules,
    (others, these): (Deed, Deed),
    (newest, arch): (Option<u32>, TargetArch),
) -> Result<Vec<Instruction>, ProfileError> {
    let filter = SeccompFilter::new(rules, action(others), action(these), arch).map_err(size)?;
    let program = BpfProgram::try_from(filter).map_err(size)?;
    let instruction =
        |of: seccompiler::sock_filter| Instruction { code: of.code, jt: of.jt, jf: of.jf, k: of.k };
    let mut whole = not_there(newest);
    whole.extend(program.into_iter().map(instruction));
    Ok(whole)
}

/// Answers `ENOSYS` for numbers of x32, and for greater ones than `newest`.
fn not_there(newest: Option<u32>) -> Vec<Instruction> {
    // BPF_LD | BPF_W | BPF_ABS of the number; BPF_JMP | BPF_JGE and BPF_JGT; BPF_RET.
    let of = |code, (jt, jf), k| Instruction { code, jt, jf, k };
    let mut program = vec![of(0x20, (0, 0), 0)];
    if cfg!(target_arch = "x86_64") {
        program.extend([of(0x35, (0, 1), X32), of(0x06, (0, 0), NO_SUCH_CALL)]);
    }
    if let Some(newest) = newest {
        program.extend([of(0x25, (0, 1), newest), of(0x06, (0, 0), NO_SUCH_CALL)]);
    }
    program
}

fn size(error: seccompiler::BackendError) -> ProfileError {
    ProfileError::Size(error.to_string())
}

fn action(deed: Deed) -> SeccompAction {
    match deed {
        Deed::Allow => SeccompAction::Allow,
        Deed::Errno(number) => SeccompAction::Errno(number),
        Deed::KillThread => SeccompAction::KillThread,
        Deed::KillProcess => SeccompAction::KillProcess,
        Deed::Trap => SeccompAction::Trap,
        Deed::Trace(number) => SeccompAction::Trace(number),
        Deed::Log => SeccompAction::Log,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARCH: u32 = if cfg!(target_arch = "x86_64") { 0xc000_003e } else { 0xc000_00b7 };
    const ALLOW: u32 = 0x7fff_0000;
    const ERRNO: u32 = 0x0005_0000;

    /// What a program answers of a call: the kernel's machine, as far as such programs need it.
    fn run(program: &[Instruction], number: u32, args: [u64; 6]) -> u32 {
        let mut data = [0; 64];
        data[..4].copy_from_slice(&number.to_le_bytes());
        data[4..8].copy_from_slice(&ARCH.to_le_bytes());
        for (at, arg) in args.iter().enumerate() {
            data[16 + 8 * at..24 + 8 * at].copy_from_slice(&arg.to_le_bytes());
        }
        let (mut at, mut acc) = (0, 0);
        loop {
            let Instruction { code, jt, jf, k } = program[at];
            at += 1;
            let jump = |holds: bool| usize::from(if holds { jt } else { jf });
            match code {
                // BPF_LD | BPF_W | BPF_ABS
                0x20 => {
                    let from = usize::try_from(k).unwrap();
                    acc = u32::from_le_bytes(data[from..from + 4].try_into().unwrap());
                }
                // BPF_JMP | BPF_JA, JEQ, JGT, JGE
                0x05 => at += usize::try_from(k).unwrap(),
                0x15 => at += jump(acc == k),
                0x25 => at += jump(acc > k),
                0x35 => at += jump(acc >= k),
                // BPF_ALU | BPF_AND
                0x54 => acc &= k,
                // BPF_RET
                0x06 => return k,
                other => unreachable!("instruction {other:#x}"),
            }
        }
    }

    /// What the kernel does: the strictest answer, which is the lowest number with its sign.
    fn verdict(filters: &Filters, name: &str, args: &[u64]) -> u32 {
        of_number(filters, u32::try_from(Sysno::from_str(name).unwrap().id()).unwrap(), args)
    }

    fn of_number(filters: &Filters, number: u32, args: &[u64]) -> u32 {
        let mut all = [0; 6];
        all[..args.len()].copy_from_slice(args);
        let answers = filters.0.iter().map(|program| run(program, number, all));
        answers.min_by_key(|answer| answer.cast_signed()).unwrap_or(ALLOW)
    }

    #[test]
    fn calls_of_tomorrow_and_of_x32_are_not_there() {
        let filters = usual(&FEW);
        for number in [600, 9999, u32::MAX] {
            assert_eq!(of_number(&filters, number, &[]), NO_SUCH_CALL, "{number}");
        }
        assert_eq!(
            verdict(&filters, "lsm_list_modules", &[]),
            ERRNO | 1,
            "it is older than others"
        );
        let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["chroot"],"action":"SCMP_ACT_ERRNO"}]}"#;
        let profile = Profile::parse(text.as_bytes()).unwrap();
        let filters = Filters::compile(&profile, &FEW, "6.1.0").unwrap();
        assert_eq!(of_number(&filters, 9999, &[]), ALLOW);
        if cfg!(target_arch = "x86_64") {
            let chroot = u32::try_from(Sysno::chroot.id()).unwrap();
            assert_eq!(of_number(&filters, X32 | chroot, &[]), NO_SUCH_CALL);
        }
    }

    #[test]
    fn what_forbids_to_load_a_program_is_the_last() {
        for text in [
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["seccomp"],"action":"SCMP_ACT_ERRNO"},
                {"names":["chroot"],"action":"SCMP_ACT_KILL_PROCESS"}]}"#,
            r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"},
                {"names":["seccomp"],"action":"SCMP_ACT_ERRNO","errnoRet":38}]}"#,
            r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"},
                {"names":["chroot"],"action":"SCMP_ACT_TRAP"}]}"#,
        ] {
            let profile = Profile::parse(text.as_bytes()).unwrap();
            let Filters(mut programs) = Filters::compile(&profile, &FEW, "6.1.0").unwrap();
            let last = Filters(vec![programs.pop().unwrap()]);
            assert_eq!(verdict(&Filters(programs), "seccomp", &[]), ALLOW, "{text}");
            assert_ne!(verdict(&last, "seccomp", &[]), ALLOW, "{text}");
        }
    }

    const FEW: [&str; 2] = ["CAP_SYS_CHROOT", "CAP_CHOWN"];

    fn usual(capabilities: &[&str]) -> Filters {
        Filters::compile(&Profile::usual().unwrap(), capabilities, "6.1.0").unwrap()
    }

    #[test]
    fn the_usual_profile_allows_what_programs_need_and_refuses_the_rest() {
        let filters = usual(&FEW);
        for name in
            ["read", "openat", "execve", "futex", "socketpair", "chroot", "landlock_create_ruleset"]
        {
            assert_eq!(verdict(&filters, name, &[]), ALLOW, "{name}");
        }
        for name in [
            "mount",
            "unshare",
            "setns",
            "keyctl",
            "add_key",
            "bpf",
            "kexec_load",
            "io_uring_setup",
            "userfaultfd",
        ] {
            assert_eq!(verdict(&filters, name, &[]), ERRNO | 1, "{name}");
        }
        assert_eq!(verdict(&filters, "clone3", &[]), ERRNO | 38, "programs turn to clone");
        const NEW_USER: u64 = 0x1000_0000;
        assert_eq!(verdict(&filters, "clone", &[17]), ALLOW);
        assert_eq!(verdict(&filters, "clone", &[17 | NEW_USER]), ERRNO | 1);
        for (domain, is) in [(38, ERRNO | 1), (40, ERRNO | 1), (2, ALLOW), (39, ALLOW), (41, ALLOW)]
        {
            assert_eq!(verdict(&filters, "socket", &[domain]), is, "{domain}");
            // The kernel does not look at what stands above.
            assert_eq!(verdict(&filters, "socket", &[domain | 1 << 32]), is, "{domain}");
        }
        assert_eq!(verdict(&filters, "personality", &[0x2_0008]), ALLOW);
        assert_eq!(
            verdict(&filters, "personality", &[0x004_0000]),
            ERRNO | 1,
            "addresses that are not random"
        );
    }

    #[test]
    fn what_a_capability_is_for_goes_with_it() {
        let filters = usual(&["CAP_SYS_ADMIN", "CAP_SYSLOG"]);
        for name in ["mount", "unshare", "setns", "clone3", "syslog"] {
            assert_eq!(verdict(&filters, name, &[]), ALLOW, "{name}");
        }
        assert_eq!(verdict(&filters, "chroot", &[]), ERRNO | 1);
    }

    #[test]
    fn a_profile_of_a_user_is_done_as_it_says() {
        let profile = |text: &str| Profile::parse(text.as_bytes()).unwrap();
        let compiled = |text| Filters::compile(&profile(text), &FEW, "5.10.0").unwrap();
        let filters = compiled(
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
                {"names":["mkdir","no_such_call"],"action":"SCMP_ACT_ERRNO","errnoRet":95},
                {"name":"chroot","action":"SCMP_ACT_KILL_PROCESS"},
                {"names":["kill"],"action":"SCMP_ACT_ERRNO","args":[
                    {"index":1,"value":9,"op":"SCMP_CMP_EQ"},{"index":1,"value":15,"op":"SCMP_CMP_EQ"}]},
                {"names":["lseek"],"action":"SCMP_ACT_ERRNO","args":[{"index":1,"value":0,"op":"SCMP_CMP_NE"}],
                    "includes":null,"excludes":null},
                {"names":["rmdir"],"action":"SCMP_ACT_ERRNO","includes":{"minKernel":"5.11"}},
                {"names":["dup3"],"action":"SCMP_ACT_ERRNO","args":[
                    {"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":1,"value":2,"op":"SCMP_CMP_EQ"}]}]}"#,
        );
        if cfg!(target_arch = "x86_64") {
            assert_eq!(verdict(&filters, "mkdir", &[]), ERRNO | 95);
            assert_eq!(verdict(&filters, "rmdir", &[]), ALLOW, "the kernel is older");
        }
        assert_eq!(verdict(&filters, "chroot", &[]), 0x8000_0000);
        for (signal, is) in [(9, ERRNO | 1), (15, ERRNO | 1), (1, ALLOW)] {
            assert_eq!(verdict(&filters, "kill", &[1, signal]), is, "one of them");
        }
        for (args, is) in [([1, 2], ERRNO | 1), ([1, 3], ALLOW), ([3, 2], ALLOW)] {
            assert_eq!(verdict(&filters, "dup3", &args), is, "both of them");
        }
        for (offset, is) in [(0, ALLOW), (1, ERRNO | 1), (1 << 32, ERRNO | 1)] {
            assert_eq!(verdict(&filters, "lseek", &[0, offset]), is, "{offset}");
        }
        assert_eq!(verdict(&filters, "read", &[]), ALLOW);
        assert!(compiled(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#).0.is_empty());
    }

    #[test]
    fn what_is_no_profile_is_told() {
        for (text, told) in [
            ("{", "no profile in Docker's form"),
            (r#"{"defaultAction":"SCMP_ACT_WAVE"}"#, "SCMP_ACT_WAVE"),
            (r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#, "`defaultAction` asks another program"),
        ] {
            let error = Profile::parse(text.as_bytes())
                .and_then(|profile| Filters::compile(&profile, &FEW, "6.1"))
                .unwrap_err();
            assert!(error.to_string().contains(told), "{error}");
        }
        let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["kill"],"action":"SCMP_ACT_TRAP",
            "args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}]}"#;
        let profile = Profile::parse(text.as_bytes()).unwrap();
        let error = Filters::compile(&profile, &FEW, "6.1").unwrap_err();
        assert!(error.to_string().contains("argument of number 6"), "{error}");
    }
}
