//! Who calls `layerfs run`, and what of the caller a container does not get: its rights, its keys, its open files.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::console::Window;
use crate::place::{Place, Ran, ran};
use crate::support::{Scratch, need, need_root};

/// A user of no name, and none of root's rights.
const STRANGER: u32 = 61_234;

#[test]
fn a_store_of_roots_is_closed_to_others() {
    need_root!();
    let place = Place::new();
    // The tree of the sources may be closed to strangers.
    let open = Scratch::on_disk();
    let (program, none) = (open.join("layerfs"), open.join("none"));
    std::fs::copy(env!("CARGO_BIN_EXE_layerfs"), &program).unwrap();
    for words in [&["run", "--rm", "--rootfs", "/", "true"][..], &["run", "--rm", "absent"]] {
        for store in [&place.join("store"), &none] {
            let mut command = Command::new(&program);
            command.args(words).env("LAYERFS_ROOT", store).uid(STRANGER).gid(STRANGER);
            let ran = ran(command.output().unwrap());
            let is_absent = *store == none && words.contains(&"absent");
            let why = if is_absent { "no store" } else { "Permission denied" };
            assert_eq!((ran.status, ran.out.as_str()), (125, ""), "{words:?} {store:?} {ran:?}");
            let shown = store.to_str().unwrap();
            assert!(
                ran.err.contains(why) && ran.err.contains(shown),
                "{words:?} {store:?} {ran:?}"
            );
            assert_eq!(ran.err.lines().count(), 1, "{words:?} {store:?} {ran:?}");
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
    let asks = ["--security-opt", "seccomp=unconfined", "--rootfs", "/"];
    let run = [&["run", "--rm", "-u", user], &asks[..], &["python3", "-c", &wants, "KEY"]].concat();
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

/// A kernel without keys has none to be kept from, and a filter that forbids the call (EPERM, as docker's does) forbids it to
/// the container, too; any other refusal is a reason not to run.
#[cfg(feature = "fault")]
#[test]
fn a_keyring_that_can_not_be_had_is_told_unless_nobody_can_have_keys() {
    need_root!();
    need!("python3");
    let place = Place::new();
    for none in ["ENOSYS", "EPERM"] {
        let without = of_a_caller_with_a_key(&place, "0", &format!("fail:1:{none}:keyctl"));
        assert_eq!((without.status, without.err.as_str()), (0, ""), "{none}: {without:?}");
    }
    let refused = of_a_caller_with_a_key(&place, "0", "fail:1:EDQUOT:keyctl");
    let told = "layerfs: part from the caller's keys: keyctl(KEYCTL_JOIN_SESSION_KEYRING): Disk quota exceeded\n";
    assert_eq!((refused.status, refused.err.as_str()), (125, told), "{refused:?}");
    place.assert_nothing_left();
}

/// Opens files, a directory, a socket, a pipe and a file in memory, all of them for whatever it executes, at low numbers and
/// at high ones; becomes the command.
const HOLDS_MUCH: &str = r#"
import os, socket, sys
held = [os.open("/etc/passwd", os.O_RDONLY), os.open("/", os.O_RDONLY), os.memfd_create("secret", 0)]
held += [socket.socket().detach(), *os.pipe()]
for number in [*range(20, 60), 255, 1000]:
    os.dup2(held[number % len(held)], number)
for number in held:
    os.set_inheritable(number, True)
os.execv(sys.argv[1], sys.argv[1:])
"#;

/// The command of a caller that holds much open.
fn of_a_caller_that_holds_much(command: &Command) -> Command {
    let mut holds = Command::new("python3");
    holds.args(["-c", HOLDS_MUCH]).arg(command.get_program()).args(command.get_args());
    holds.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    holds.stdin(Stdio::null());
    holds
}

#[test]
fn files_that_the_caller_holds_open_are_not_the_containers() {
    need_root!();
    need!("python3", "setsid");
    let place = Place::new();
    // The fourth is the listing's own.
    let lists = "import os; print(*sorted(os.listdir('/proc/self/fd'), key=int))";
    let run = |options: &[&str]| {
        let words =
            [&["run", "--rm"], options, &["--rootfs", "/", "python3", "-c", lists]].concat();
        of_a_caller_that_holds_much(&place.command(&words))
    };
    for options in [&[][..], &["-i"], &["-t"], &["--network", "host"], &["-u", "1234"]] {
        let said = ran(run(options).output().unwrap()).said().replace('\r', "");
        assert_eq!(said, "0 1 2 3\n", "{options:?}");
    }
    let window = Window::new(24, 80);
    let mut child = window.start(&run(&["-it"]));
    assert_eq!(window.line(), "0 1 2 3\n");
    assert!(child.wait().unwrap().success());
    // Streams that are files are carried, through more descriptors of the command's.
    let (given, log) = (place.join("given"), place.join("log"));
    std::fs::write(&given, "x").unwrap();
    let mut carried = run(&["-i"]);
    carried.stdin(std::fs::File::open(&given).unwrap());
    carried.stdout(std::fs::File::create(&log).unwrap());
    assert!(carried.status().unwrap().success());
    drop(carried);
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "0 1 2 3\n");
    for name in [given, log] {
        std::fs::remove_file(name).unwrap();
    }
    place.assert_nothing_left();
}

/// Who wants to hear nothing of its children leaves that to what it becomes.
#[test]
fn a_caller_that_ignores_the_ends_of_children_has_containers() {
    need_root!();
    need!("python3");
    let place = Place::new();
    let ignores = "import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])";
    let script = "grep SigIgn /proc/self/status; exit 7";
    for options in [&[][..], &["--init"]] {
        let words = [&["run", "--rm"], options, &["--rootfs", "/", "sh", "-c", script]].concat();
        let called = place.command(&words);
        let mut command = Command::new("python3");
        command.args(["-c", ignores]).arg(called.get_program()).args(called.get_args());
        command.envs(called.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let ran = ran(command.stdin(Stdio::null()).output().unwrap());
        assert_eq!((ran.status, ran.err.as_str()), (7, ""), "{options:?}: {ran:?}");
        let ignored = ran.out.trim().strip_prefix("SigIgn:\t").unwrap();
        // SIGCHLD is 17.
        assert_eq!(u64::from_str_radix(ignored, 16).unwrap() >> 16 & 1, 0, "{options:?}");
    }
    place.assert_nothing_left();
}
