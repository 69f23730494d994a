//! Who calls `layerfs run`, and what of the caller a container does not get: its rights, its keys, its open files.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::place::{Place, Ran, ran};
use crate::support::{Scratch, need, need_root};

/// A user of no name, and none of root's rights.
const STRANGER: u32 = 61_234;

#[test]
fn a_caller_who_is_not_root_is_told_so() {
    need_root!();
    let place = Place::new();
    let told = "layerfs: `layerfs run` needs root for now: user namespaces, which give other users containers, are not there yet; \
                start it as root, by sudo for example\n";
    // The tree of the sources may be closed to strangers.
    let open = Scratch::on_disk();
    let (program, none) = (open.join("layerfs"), open.join("none"));
    std::fs::copy(env!("CARGO_BIN_EXE_layerfs"), &program).unwrap();
    for words in [&["run", "--rm", "--rootfs", "/", "true"][..], &["run", "--rm", "absent"]] {
        for store in [&place.join("store"), &none] {
            let mut command = Command::new(&program);
            command.args(words).env("LAYERFS_ROOT", store).uid(STRANGER).gid(STRANGER);
            let ran = ran(command.output().unwrap());
            let said = (ran.status, ran.out.as_str(), ran.err.as_str());
            assert_eq!(said, (125, "", told), "{words:?} {store:?}");
        }
        assert!(!none.exists());
    }
    place.assert_nothing_left();
}

/// The kernel's calls on keys, for Python; each answers a number, or an errno below 0.
const KEYS: &str = r#"
import ctypes, os, platform, sys
ADD, REQUEST, KEYCTL = (248, 249, 250) if platform.machine() == "x86_64" else (217, 218, 219)
SESSION, OF_SESSION, JOIN, READ = ctypes.c_long(-3), 0, 1, 11
libc = ctypes.CDLL(None, use_errno=True)
def call(*words):
    answer = libc.syscall(*words)
    return answer if answer >= 0 else -ctypes.get_errno()
"#;

/// Puts a key in a session keyring of its own, and becomes the command.
const HAS_A_KEY: &str = r#"
call(KEYCTL, JOIN, None)
key = call(ADD, b"user", b"layerfs-test", b"secret", 6, SESSION)
assert call(REQUEST, b"user", b"layerfs-test", None, 0) == key > 0
assert call(KEYCTL, READ, key, None, 0) == 6
words = [str(key) if word == "KEY" else word for word in sys.argv[1:]]
os.execv(words[0], words)
"#;

/// Asks for it by its name and by its number.
const WANTS_IT: &str = r#"
print(call(REQUEST, b"user", b"layerfs-test", None, 0), call(KEYCTL, READ, int(sys.argv[1]), None, 0))
own = call(KEYCTL, OF_SESSION, SESSION, 0)
print("a keyring" if own > 0 else own, call(ADD, b"user", b"own", b"x", 1, SESSION) > 0)
"#;

/// A container of a caller who has a key; `plan` is of faults, or nothing.
fn of_a_caller_with_a_key(place: &Place, user: &str, plan: &str) -> Ran {
    let (has, wants) = (format!("{KEYS}{HAS_A_KEY}"), format!("{KEYS}{WANTS_IT}"));
    let run = ["run", "--rm", "-u", user, "--rootfs", "/", "python3", "-c", &wants, "KEY"];
    let called = place.command(&run);
    let mut command = Command::new("python3");
    command.args(["-c", &has]).arg(called.get_program()).args(called.get_args());
    command.envs(called.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("LAYERFS_FAULT", plan).stdin(Stdio::null());
    ran(command.output().unwrap())
}

#[test]
fn keys_of_the_callers_session_are_not_the_containers() {
    need_root!();
    need!("python3");
    let place = Place::new();
    for user in ["0", "1234:1234"] {
        let (absent, denied) =
            (rustix::io::Errno::NOKEY.raw_os_error(), rustix::io::Errno::ACCESS.raw_os_error());
        let said = of_a_caller_with_a_key(&place, user, "count").said();
        assert_eq!(said, format!("-{absent} -{denied}\na keyring True\n"), "{user}");
    }
    place.assert_nothing_left();
}

/// A kernel without keys has none to be kept from; any other refusal is a reason not to run.
#[cfg(feature = "fault")]
#[test]
fn a_keyring_that_can_not_be_had_is_told_unless_there_are_none() {
    need_root!();
    need!("python3");
    let place = Place::new();
    let without = of_a_caller_with_a_key(&place, "0", "fail:1:ENOSYS:keyctl");
    assert_eq!((without.status, without.err.as_str()), (0, ""), "{without:?}");
    let refused = of_a_caller_with_a_key(&place, "0", "fail:1:EDQUOT:keyctl");
    let told = "layerfs: part from the caller's keys: keyctl(KEYCTL_JOIN_SESSION_KEYRING): Disk quota exceeded\n";
    assert_eq!((refused.status, refused.err.as_str()), (125, told), "{refused:?}");
    place.assert_nothing_left();
}
