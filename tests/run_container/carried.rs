//! Standard streams of every kind go through pipes of the container's own: bytes, their order and their end are the same,
//! and what they are for the caller, nobody in there reaches.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, fstat, makedev, mknodat};
use rustix::process::{Pid, Signal, kill_process};

use crate::console::Window;
use crate::place::{Place, ran};
use crate::support::{Scratch, need, need_root};

/// What root of a container can try on what its streams are open on. Says what it read by opening one again.
const TRIES: &str = r#"
import os
def tried(deed, *words):
    try:
        return deed(*words)
    except OSError:
        return b""
for fd in (0, 1, 2):
    for path in (fd, f"/proc/self/fd/{fd}"):
        tried(os.chmod, path, 0o4777)
        tried(os.chown, path, 1234, 1234)
        tried(os.utime, path, (1, 1))
        tried(os.setxattr, path, "user.planted", b"x")
        tried(os.setxattr, path, "security.planted", b"x")
        tried(os.truncate, path, 0)
for flags in (os.O_WRONLY, os.O_RDWR):
    file = tried(os.open, "/proc/self/fd/0", flags | os.O_NONBLOCK | os.O_NOCTTY)
    if file: tried(os.write, file, b"planted")
stolen = b""
for fd in (1, 2):
    for flags in (os.O_RDONLY, os.O_RDWR):
        file = tried(os.open, f"/proc/self/fd/{fd}", flags | os.O_NONBLOCK | os.O_NOCTTY)
        if file: stolen += tried(os.read, file, 100)
    os.set_blocking(fd, False)
    stolen += tried(os.read, fd, 100)
open("/told/stolen", "wb").write(stolen)
"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Null,
    Zero,
    Fifo,
    Terminal,
    File,
    Pipe,
    Socket,
}

const KINDS: [Kind; 7] =
    [Kind::Null, Kind::Zero, Kind::Fifo, Kind::Terminal, Kind::File, Kind::Pipe, Kind::Socket];

/// A stream of the caller's: what a container is given, and what the caller keeps.
struct Given {
    its: OwnedFd,
    /// Held open.
    _ours: Option<OwnedFd>,
    window: Option<Window>,
}

/// Something to take lies in it where that can be; a pipe can be read from or written to.
fn given(kind: Kind, scratch: &Scratch, input: bool) -> Given {
    let path = scratch.join(format!("{kind:?}-{input}"));
    let made = |file, device| mknodat(CWD, &path, file, Mode::from(0o644), device).unwrap();
    let open = |path: &PathBuf| -> OwnedFd {
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).open(path).unwrap().into()
    };
    let of = |its| Given { its, _ours: None, window: None };
    match kind {
        Kind::Null | Kind::Zero => {
            made(FileType::CharacterDevice, makedev(1, if kind == Kind::Null { 3 } else { 5 }));
            of(open(&path))
        }
        Kind::Fifo => {
            made(FileType::Fifo, 0);
            let its = open(&path);
            File::from(its.try_clone().unwrap()).write_all(b"typed\n").unwrap();
            of(its)
        }
        Kind::File => {
            std::fs::write(&path, "typed\n").unwrap();
            of(open(&path))
        }
        Kind::Terminal => {
            let window = Window::new(24, 80);
            window.types(b"typed\r");
            assert_eq!(window.line(), "typed\n");
            Given { its: window.end(), _ours: None, window: Some(window) }
        }
        Kind::Pipe => {
            let (read, write) = rustix::pipe::pipe().unwrap();
            let (its, ours) = if input { (read, write) } else { (write, read) };
            Given { its, _ours: Some(ours), window: None }
        }
        Kind::Socket => {
            let (its, mut ours) = UnixStream::pair().unwrap();
            ours.write_all(b"typed\n").unwrap();
            Given { its: its.into(), _ours: Some(ours.into()), window: None }
        }
    }
}

#[test]
fn root_of_a_container_changes_nothing_of_the_callers_streams() {
    need_root!();
    need!("python3");
    let (place, disk) = (Place::new(), Scratch::on_disk());
    for kind in KINDS {
        let scratch = Scratch::below(disk.path());
        let told = scratch.join("told");
        std::fs::create_dir(&told).unwrap();
        for options in [&[][..], &["-i"]] {
            let (input, output) = (given(kind, &scratch, true), given(kind, &scratch, false));
            let look = |given: &Given| {
                let stat = fstat(&given.its).unwrap();
                let old = stat.st_mtime < 100 || stat.st_atime < 100;
                let mut names = [0; 100];
                let marked = rustix::fs::fgetxattr(&given.its, "user.planted", &mut names);
                let marked = marked.is_ok()
                    || rustix::fs::fgetxattr(&given.its, "security.planted", &mut names).is_ok();
                (stat.st_mode, stat.st_uid, stat.st_gid, old, marked)
            };
            let before = [look(&input), look(&output)];
            let volume = format!("{}:/told", told.display());
            let words = [&["run", "--rm"], options, &["-v", &volume, "--rootfs", "/"]].concat();
            let mut command = place.command(&[&words[..], &["python3", "-c", TRIES]].concat());
            command.stdin(input.its.try_clone().unwrap());
            command.stdout(output.its.try_clone().unwrap());
            command.stderr(output.its.try_clone().unwrap());
            let status = command.status().unwrap();
            let case = format!("{kind:?}, {options:?}, {status:?}");
            assert_eq!([look(&input), look(&output)], before, "{case}");
            let stolen = std::fs::read_to_string(told.join("stolen")).unwrap();
            assert!(!stolen.contains("typed"), "{case}: {stolen:?}");
            if kind == Kind::File {
                let text = std::fs::read_to_string(scratch.join("File-true")).unwrap();
                assert_eq!(text, "typed\n", "{case}");
            }
            if let Some(window) = &input.window {
                File::from(window.end()).write_all(b"end\n").unwrap();
                assert_eq!(window.line(), "end\n", "{case}");
            }
            for name in ["true", "false"] {
                drop(std::fs::remove_file(scratch.join(format!("{kind:?}-{name}"))));
            }
            drop((input, output));
        }
    }
    place.assert_nothing_left();
}

#[test]
fn a_terminal_without_t_carries_lines_and_is_no_terminal_in_there() {
    need_root!();
    need!("setsid");
    let place = Place::new();
    let window = Window::new(24, 80);
    let script = "for fd in 0 1 2; do test -t $fd && echo is; done; echo one >&2; echo two; read line; \
                  echo got $line; cat; echo end >/dev/stderr; exit 7";
    let words = ["run", "--rm", "-i", "-u", "1000:1000", "--rootfs", "/", "sh", "-c", script];
    let mut child = window.start(&place.command(&words));
    let next = |wanted: &str| assert_eq!(window.line(), wanted);
    next("one\n");
    next("two\n");
    window.types(b"words\r");
    next("words\n");
    next("got words\n");
    window.types(b"more\r");
    next("more\n");
    next("more\n");
    window.types(b"\x04");
    next("end\n");
    assert_eq!(child.wait().unwrap().code(), Some(7));
    place.assert_nothing_left();
}

#[test]
fn bytes_through_pipes_and_sockets_are_all_there_with_their_end() {
    need_root!();
    let place = Place::new();
    let bytes: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    for kind in [Kind::Pipe, Kind::Socket] {
        let words = ["run", "--rm", "-i", "-u", "1000", "--rootfs", "/", "cat"];
        let mut command = place.command(&words);
        let pair = || -> (OwnedFd, OwnedFd) {
            match kind {
                Kind::Pipe => rustix::pipe::pipe().unwrap(),
                _ => UnixStream::pair().map(|(one, other)| (one.into(), other.into())).unwrap(),
            }
        };
        let ((input, writes), (reads, output)) = (pair(), pair());
        for ours in [&writes, &reads] {
            rustix::io::fcntl_setfd(ours, rustix::io::FdFlags::CLOEXEC).unwrap();
        }
        command.stdin(input).stdout(output);
        let mut child = command.spawn().unwrap();
        drop(command);
        let (mut writes, mut reads) = (File::from(writes), File::from(reads));
        let text = bytes.clone();
        let giver = std::thread::spawn(move || writes.write_all(&text).unwrap());
        let mut got = Vec::new();
        // Slowly at first: the pipe fills.
        let mut first = vec![0; 10];
        reads.read_exact(&mut first).unwrap();
        until(|| rustix::io::ioctl_fionread(&reads).unwrap() > 20_000);
        reads.read_to_end(&mut got).unwrap();
        first.extend(got);
        giver.join().unwrap();
        assert!(child.wait().unwrap().success(), "{kind:?}");
        assert!(first == bytes, "{kind:?}: {} bytes", first.len());
    }
    place.assert_nothing_left();
}

#[track_caller]
pub fn until(mut come: impl FnMut() -> bool) {
    let began = Instant::now();
    while !come() {
        assert!(began.elapsed() < Duration::from_secs(20), "it does not come");
        std::thread::yield_now();
    }
}

/// Whether a container's program has ended: of three children, the command has the serving process and the one around the container
/// at most.
fn has_ended(command: &Child) -> bool {
    let pid = command.id();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.split_whitespace().count() < 3
}

/// A container that writes to a pipe, and our end of it.
fn writing(place: &Place, words: &[&str]) -> (Child, BufReader<std::process::ChildStdout>) {
    let words = [&["run", "--rm", "--rootfs", "/"], words].concat();
    let mut command = place.command(&words);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::with_capacity(1, child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "line\n");
    (child, out)
}

#[test]
fn a_reader_that_goes_ends_the_writing_quietly() {
    need_root!();
    need!("python3");
    let place = Place::new();
    // One that writes, and one that only asks whether somebody reads.
    let waits = "import select, sys; print('line', flush=True); p = select.poll(); p.register(1, 0); \
                 p.poll(20000) or sys.exit(3)";
    let yes = ["sh", "-c", "yes line 2>/dev/null; exit 0"];
    for words in [&yes[..], &["python3", "-c", waits]] {
        let (child, out) = writing(&place, words);
        let began = Instant::now();
        drop(out);
        let ran = ran(child.wait_with_output().unwrap());
        assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{words:?}");
        assert!(began.elapsed() < Duration::from_secs(10), "{words:?}");
    }
    place.assert_nothing_left();
}

#[test]
fn a_reader_that_waits_holds_no_signal_up() {
    need_root!();
    let place = Place::new();
    // A program that ends by the signal while the pipe is full, and one that has ended before.
    let full = "trap 'exit 7' TERM; echo line; yes line & wait";
    let ended = "echo line; head -c 100000 /dev/zero; exit 7";
    for script in [full, ended] {
        let (mut child, out) = writing(&place, &["sh", "-c", script]);
        until(|| rustix::io::ioctl_fionread(out.get_ref()).unwrap() > 50_000);
        if script == ended {
            until(|| has_ended(&child));
        }
        until(|| {
            kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
            child.try_wait().unwrap().is_some()
        });
        assert_eq!(child.wait().unwrap().code(), Some(7), "{script}");
    }
    place.assert_nothing_left();
}

#[test]
fn what_a_slow_reader_has_not_taken_yet_outlives_the_program() {
    need_root!();
    let place = Place::new();
    let (child, mut out) = writing(&place, &["sh", "-c", "echo line; head -c 130000 /dev/zero"]);
    until(|| has_ended(&child));
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.len(), 130_000);
    assert_eq!(ran(child.wait_with_output().unwrap()).status, 0);
    place.assert_nothing_left();
}

#[test]
fn input_is_the_callers_until_it_is_asked_for() {
    need_root!();
    let place = Place::new();
    let (read, write) = rustix::pipe::pipe().unwrap();
    File::from(write).write_all(b"still here\n").unwrap();
    let mut command = place.command(&["run", "--rm", "--rootfs", "/", "wc", "-c"]);
    command.stdin(read.try_clone().unwrap());
    assert_eq!(ran(command.output().unwrap()).said(), "0\n");
    drop(command);
    let mut left = String::new();
    File::from(read).read_to_string(&mut left).unwrap();
    assert_eq!(left, "still here\n");
    place.assert_nothing_left();
}
