//! A container stands still while it is committed, and goes on whoever is killed meanwhile.

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::commits::{Running, config, running};
use crate::ground::Ground;
use crate::support::{need, need_root};

/// A container that is thawed goes on within this, on a machine that does much else.
const GOES_ON_MAX: Duration = Duration::from_secs(20);

/// A running container that has written its first lines.
struct Counting<'a> {
    ground: &'a Ground,
    command: Running,
    pid: u64,
}

impl Counting<'_> {
    fn new(ground: &Ground) -> Counting<'_> {
        let command = running(ground);
        while !ground.layerfs(&["diff", "box"]).status.success() {
            std::thread::yield_now();
        }
        let state = || config(ground, "box")["State"]["Pid"].as_u64().unwrap();
        while state() == 0 {
            std::thread::yield_now();
        }
        Counting { ground, command, pid: state() }
    }

    fn counted(&self) -> Option<u64> {
        let last = PathBuf::from(format!("/proc/{}/root/data/last", self.pid));
        std::fs::read_to_string(last).ok()?.trim().parse().ok()
    }

    /// It writes another line soon.
    #[track_caller]
    fn goes_on(&self, called: &str) {
        let (before, begun) = (self.counted(), Instant::now());
        while self.counted() == before {
            assert!(begun.elapsed() < GOES_ON_MAX, "{called}: the container stands still");
            std::thread::yield_now();
        }
    }

    /// A commit that takes a while: the container has a file of that many bytes.
    fn commit_of(&self, bytes: u64) -> Child {
        let big = PathBuf::from(format!("/proc/{}/root/data/big", self.pid));
        std::fs::write(big, vec![b'x'; usize::try_from(bytes).unwrap()]).unwrap();
        self.commit()
    }

    fn commit(&self) -> Child {
        let mut command = self.ground.command_in("store", &["commit", "-q", "box", "box:2"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn ends(mut self) {
        self.ground.shell(".", &format!("kill {}", self.pid));
        assert!(self.command.0.wait().unwrap().success());
        self.ground.said(&["rm", "box"]);
    }
}

/// Bytes that a commit takes longer for than it takes to see that a container stands still.
const LARGE: u64 = 800 << 20;

/// The process that keeps the container still, once it does.
fn keeper_of(commit: &Child) -> Pid {
    let children = PathBuf::from(format!("/proc/{0}/task/{0}/children", commit.id()));
    loop {
        let text = std::fs::read_to_string(&children).unwrap();
        if let Some(pid) = text.split_whitespace().next() {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            // It reads its pipe when it has frozen the container.
            let waits = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
            if words.windows(5).any(|word| word == b"still") && waits.starts_with("0 ") {
                return Pid::from_raw(pid.parse().unwrap()).unwrap();
            }
        }
        std::thread::yield_now();
    }
}

#[cfg(feature = "fault")]
#[test]
fn a_commit_that_is_killed_at_any_point_lets_its_container_go_on() {
    need_root!();
    need!("busybox");
    let ground = Ground::new();
    let container = Counting::new(&ground);
    let report = ground.join("report");
    let mut counted = ground.command_in("store", &["commit", "-q", "box", "box:2"]);
    counted.env("LAYERFS_FAULT", "count").env("LAYERFS_FAULT_VERB", "commit");
    counted.env("LAYERFS_FAULT_REPORT", &report);
    assert!(counted.output().unwrap().status.success());
    let text = std::fs::read_to_string(&report).unwrap();
    let points = text.split_whitespace().find_map(|word| word.strip_prefix("points="));
    let points: u64 = points.unwrap().parse().unwrap();
    std::fs::remove_file(&report).unwrap();
    for number in 0..24 {
        let plan = format!("die:{}", 1 + number * points / 24);
        let mut command = ground.command_in("store", &["commit", "-q", "box", "box:2"]);
        command.env("LAYERFS_FAULT", &plan).env("LAYERFS_FAULT_VERB", "commit");
        let died = command.output().unwrap();
        assert_eq!(died.status.code(), None, "{plan}: {died:?}");
        container.goes_on(&plan);
    }
    ground.said(&["commit", "-q", "box", "box:3"]);
    container.goes_on("after all");
    container.ends();
    ground.said(&["gc"]);
    ground.ends();
}

#[test]
fn a_container_goes_on_whoever_is_killed_or_ended_while_it_is_committed() {
    need_root!();
    need!("busybox");
    let ground = Ground::new();
    let container = Counting::new(&ground);
    for (signal, called) in
        [(Signal::KILL, "killed"), (Signal::TERM, "ended"), (Signal::INT, "interrupted")]
    {
        let mut commit = container.commit_of(LARGE);
        keeper_of(&commit);
        let stands = container.counted();
        assert_eq!(container.counted(), stands, "it stands still");
        kill_process(Pid::from_child(&commit), signal).unwrap();
        assert!(!commit.wait().unwrap().success(), "{called}");
        container.goes_on(called);
    }
    // The one that keeps it still dies: the commit is made, and what it left is thawed.
    let commit = container.commit_of(LARGE);
    kill_process(keeper_of(&commit), Signal::KILL).unwrap();
    let made = commit.wait_with_output().unwrap();
    assert!(made.status.success(), "{made:?}");
    container.goes_on("its keeper was killed");
    // Two at once: each has it standing still for itself.
    let both = [container.commit(), container.commit()];
    for commit in both {
        let made = commit.wait_with_output().unwrap();
        assert!(made.status.success(), "{made:?}");
    }
    container.goes_on("two at once");
    container.ends();
    ground.said(&["gc"]);
    ground.ends();
}
