//! The terminal of a container with `-t`: it has the size of the user's and follows it, and a reader that has gone ends
//! nothing else.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::place::Place;
use crate::support::{machine, need, need_root};

/// A terminal of this test's: the end that a window would hold, and that of the programs in it.
pub struct Window {
    master: File,
    slave: OwnedFd,
}

impl Window {
    pub fn new(rows: u16, columns: u16) -> Window {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(name, flags, Mode::empty()).unwrap();
        let window = Window { master: master.into(), slave };
        window.resize(rows, columns);
        window
    }

    /// The end of the programs in it.
    pub fn end(&self) -> OwnedFd {
        self.slave.try_clone().unwrap()
    }

    /// Types these words.
    pub fn types(&self, words: &[u8]) {
        (&self.master).write_all(words).unwrap();
    }

    /// Gives it another size.
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&self.master, size).unwrap();
    }

    /// A command in it, in a session of its own that it controls.
    pub fn start(&self, command: &Command) -> Child {
        let mut started = Command::new("setsid");
        started.arg("--ctty").arg(command.get_program()).args(command.get_args());
        started.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let end = || Stdio::from(self.slave.try_clone().unwrap());
        started.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap()
    }

    /// The next line on it, which comes within 20 s.
    pub fn line(&self) -> String {
        let limit = Timespec { tv_sec: 20, tv_nsec: 0 };
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\n") {
            let mut ready = [PollFd::new(&self.master, PollFlags::IN)];
            assert_eq!(poll(&mut ready, Some(&limit)).unwrap(), 1, "after {line:?} nothing comes");
            (&self.master).read_exact(&mut byte).unwrap();
            line.extend(byte);
        }
        String::from_utf8(line).unwrap().replace('\r', "")
    }
}

#[test]
fn a_terminal_has_the_users_size_before_the_program_starts() {
    need_root!();
    need!("setsid", "stty");
    let place = Place::new();
    for round in 0..10 {
        for options in ["-t", "-it"] {
            let window = Window::new(37, 91);
            let run = place.command(&["run", "--rm", options, "--rootfs", "/", "stty", "size"]);
            let mut child = if options == "-t" {
                let mut run = run;
                run.stdout(Stdio::from(window.slave.try_clone().unwrap())).spawn().unwrap()
            } else {
                window.start(&run)
            };
            // Without -i its input is the terminal all the same.
            assert_eq!(window.line(), "37 91\n", "{options}, round {round}");
            assert!(child.wait().unwrap().success());
        }
    }
    place.assert_nothing_left();
}

#[test]
fn a_terminal_follows_the_users_size() {
    need_root!();
    need!("setsid", "stty");
    let place = Place::new();
    let window = Window::new(24, 80);
    let script =
        "trap 'stty size' WINCH; trap 'exit 7' USR1; stty size; while :; do sleep 0.05; done";
    let run = place.command(&["run", "--rm", "-it", "--rootfs", "/", "sh", "-c", script]);
    let mut child = window.start(&run);
    assert_eq!(window.line(), "24 80\n");
    for (rows, columns) in [(50, 132), (1, 2), (24, 80)] {
        window.resize(rows, columns);
        assert_eq!(window.line(), format!("{rows} {columns}\n"));
    }
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&child),
        rustix::process::Signal::USR1,
    )
    .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(7));
    place.assert_nothing_left();
}

/// Only the output goes elsewhere, as with `| tee log`: the user still looks at the terminal that is typed on.
#[test]
fn a_terminal_whose_output_is_piped_has_the_size_of_that_which_is_typed_on() {
    need_root!();
    need!("setsid", "stty");
    let place = Place::new();
    let window = Window::new(37, 91);
    let mut run = place.command(&["run", "--rm", "-it", "--rootfs", "/", "stty", "size"]);
    run.stdin(Stdio::from(window.slave.try_clone().unwrap()));
    assert_eq!(crate::place::ran(run.output().unwrap()).out, "37 91\r\n");
    place.assert_nothing_left();
}

#[test]
fn what_is_typed_reaches_the_program() {
    need_root!();
    need!("setsid");
    let place = Place::new();
    let window = Window::new(24, 80);
    let script = "stty -echo; echo ready; read line; echo \"got $line\"";
    let run = place.command(&["run", "--rm", "-it", "--rootfs", "/", "sh", "-c", script]);
    let mut child = window.start(&run);
    assert_eq!(window.line(), "ready\n");
    (&window.master).write_all(b"words\r").unwrap();
    assert_eq!(window.line(), "got words\n");
    assert!(child.wait().unwrap().success());
    place.assert_nothing_left();
}

/// `layerfs run -t … | head -1`: answers what the command said on standard error and how it ended.
fn first_line_of(place: &Place, options: &[&str], script: &str) -> (Option<i32>, String) {
    let words = [&["run", "--rm"], options, &["--rootfs", "/", "sh", "-c", script]].concat();
    let mut run = place.command(&words);
    let mut child = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "line\r\n");
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_reader_that_goes_hangs_the_terminal_up() {
    need_root!();
    let place = Place::new();
    let quiet = |status| (Some(status), String::new());
    // A program that cannot write any more, one that hears of it, and one that does neither.
    assert_eq!(first_line_of(&place, &["-t"], "exec yes line"), quiet(1));
    let hears = "trap 'exit 7' HUP; while :; do echo line; sleep 0.05; done";
    assert_eq!(first_line_of(&place, &["-t"], hears), quiet(7));
    // It writes nothing more.
    assert_eq!(first_line_of(&place, &["-t"], "echo line; exec sleep 1000"), quiet(137));
    let deaf = "trap '' HUP; while :; do echo line; sleep 0.05; done 2>/dev/null";
    assert_eq!(first_line_of(&place, &["-t"], deaf), quiet(137));
    place.assert_nothing_left();
}

#[test]
fn a_reader_that_stands_still_keeps_no_signal_from_the_container() {
    need_root!();
    need!("perl");
    let place = Place::new();
    let script =
        "use POSIX; $SIG{TERM} = sub { POSIX::_exit(7) }; syswrite STDOUT, 'line' while 1;";
    let words = ["run", "--rm", "-t", "--rootfs", "/", "perl", "-e", script];
    let mut child = place.command(&words).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    output.read_exact(&mut [0; 1000]).unwrap();
    // Until the pipe is full and stays so.
    let mut held = 0;
    loop {
        // tidy: allow(sleep) that nothing more comes is told by nothing
        std::thread::sleep(Duration::from_millis(200));
        let now = rustix::io::ioctl_fionread(&output).unwrap();
        if now > 1000 && now == std::mem::replace(&mut held, now) {
            break;
        }
    }
    let pid = rustix::process::Pid::from_child(&child);
    let mine = |pid: &u32| machine::command_line(*pid).starts_with("perl -e use POSIX");
    let serves = || machine::descendants().iter().any(mine);
    assert!(serves(), "the program runs");
    let until = Instant::now() + Duration::from_secs(20);
    let mut told = false;
    // The first asks the container to end, those that come after its end to wait no longer for the reader.
    while child.try_wait().unwrap().is_none() && Instant::now() < until {
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        // tidy: allow(sleep) nothing tells when a process of the container has gone
        std::thread::sleep(Duration::from_millis(50));
        told |= !serves();
    }
    let ended = child.try_wait().unwrap();
    drop(output);
    assert!(child.wait().is_ok() && told, "the container is told while nobody reads");
    assert_eq!(ended.and_then(|ended| ended.code()), Some(7), "it waits for the reader");
    place.assert_nothing_left();
}

#[test]
fn a_window_that_is_closed_hangs_the_terminal_up() {
    need_root!();
    need!("setsid");
    let place = Place::new();
    for (script, status) in [
        ("trap 'exit 7' HUP; echo ready; while :; do sleep 0.05; done", 7),
        ("echo ready; read line; exit 8", 8),
        // It writes nothing and hears nothing.
        ("echo ready; exec sleep 1000", 137),
    ] {
        let window = Window::new(24, 80);
        let run = place.command(&["run", "--rm", "-it", "--rootfs", "/", "sh", "-c", script]);
        let mut child = window.start(&run);
        assert_eq!(window.line(), "ready\n");
        drop(window);
        assert_eq!(child.wait().unwrap().code(), Some(status), "{script}");
    }
    place.assert_nothing_left();
}

/// A disk that is full is no reader that has gone.
#[test]
fn output_that_can_not_be_written_is_told() {
    need_root!();
    let place = Place::new();
    let mut run = place.command(&["run", "--rm", "-t", "--rootfs", "/", "yes"]);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ran = crate::place::ran(run.stdout(full).stderr(Stdio::piped()).output().unwrap());
    assert_eq!((ran.status, ran.err.lines().count()), (125, 1), "{ran:?}");
    assert!(ran.err.contains("No space left on device"), "{ran:?}");
    place.assert_nothing_left();
}
