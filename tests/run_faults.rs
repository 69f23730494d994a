//! `layerfs run` under faults: each system call of the command, of the process that serves the root and of the container's
//! first process refused, and each of them killed at each call.
//!
//! A plan holds for each of the three: the first process goes on counting where the command made it. After each case the
//! next command works, and nothing is left: no mount, no process, no group, nothing in the store.
#![cfg(feature = "fault")]
#![allow(clippy::unwrap_used)] // a test that can't go on should fail there

mod support;

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use support::groups::Groups;
use support::{Photo, Scope, Scratch, figure, machine, need, need_root, photograph, watchdog};

/// A command that has not ended after so long hangs.
const SECONDS_MAX: &str = "20";

/// The exit status of timeout(1) for that.
const HANGS: i32 = 124;

/// So many calls in a row at which nothing happens: none of the processes has that many.
const QUIET_MAX: u64 = 25;

/// A store with one image, for one thread.
struct Lane {
    before: Photo,
    scratch: Scratch,
    groups: Groups,
}

impl Lane {
    fn new() -> Lane {
        let scratch = Scratch::new();
        let root = scratch.join("tree/bin");
        std::fs::create_dir_all(&root).unwrap();
        let found = Command::new("sh").args(["-c", "command -v busybox"]).output().unwrap();
        let busybox = String::from_utf8(found.stdout).unwrap();
        std::fs::copy(busybox.trim(), root.join("busybox")).unwrap();
        let before = photograph(&Scope::Below(scratch.path().to_path_buf()));
        drop(layerfs_driver::store::Store::open(&scratch.join("store")).unwrap());
        let groups = Groups::of(&scratch.join("store/containers"));
        let lane = Lane { before, scratch, groups };
        let tree = lane.scratch.join("tree");
        let imported = lane.layerfs(&["import", tree.to_str().unwrap(), "small"], None);
        assert!(imported.status.success(), "{imported:?}");
        lane
    }

    fn layerfs(&self, words: &[&str], plan: Option<&str>) -> Output {
        let mut command = Command::new("timeout");
        command.args(["-k", "5", SECONDS_MAX, env!("CARGO_BIN_EXE_layerfs")]).args(words);
        command.env("LAYERFS_ROOT", self.scratch.join("store"));
        command.env("LAYERFS_RUNROOT", self.scratch.join("run"));
        if let Some(plan) = plan {
            command.env("LAYERFS_FAULT", plan).env("LAYERFS_FAULT_REPORT", self.report());
        }
        command.stdin(Stdio::null()).output().unwrap()
    }

    fn report(&self) -> PathBuf {
        self.scratch.join("report")
    }

    fn run(&self, plan: Option<&str>) -> Output {
        let words = ["run", "--rm", "--memory", "50m", "-v", "/mnt", "small"];
        self.layerfs(&[&words[..], &["/bin/busybox", "echo", "ran"]].concat(), plan)
    }

    /// Its volume has gone with it. One whose removal was refused is told, and is one for `volume prune`.
    fn assert_no_volume(&self, plan: &str) {
        assert!(self.layerfs(&["gc"], None).status.success(), "{plan}");
        if plan.starts_with("fail") {
            assert!(self.layerfs(&["volume", "prune", "-f"], None).status.success(), "{plan}");
        }
        let left = machine::entries(&self.scratch.join("store/volumes"));
        assert!(left.is_empty(), "{plan}: {left:?} is left");
        std::fs::remove_dir(self.scratch.join("store/volumes")).unwrap();
    }

    /// One case; answers whether anything happened.
    fn case(&self, plan: &str) -> bool {
        std::fs::write(self.report(), b"").unwrap();
        let output = self.run(Some(plan));
        assert_ne!(output.status.code(), Some(HANGS), "{plan} hangs: {output:?}");
        let ran = output.status.success() && output.stdout == b"ran\n";
        if plan.ends_with("EINTR") {
            assert!(ran, "{plan}: {output:?}");
        }
        let next = self.run(None);
        assert_eq!(
            (next.status.code(), &next.stdout[..]),
            (Some(0), &b"ran\n"[..]),
            "{plan}: {next:?}"
        );
        let left = machine::entries(&self.scratch.join("store/containers"));
        assert!(left.is_empty(), "{plan}: {left:?} is left");
        self.assert_no_volume(plan);
        let left = machine::entries(&self.scratch.join("run/exits"));
        assert!(left.is_empty(), "{plan}: {left:?} is left");
        let left = self.groups.left();
        assert!(left.is_empty(), "{plan}: {left:?} is left");
        photograph(&Scope::Below(self.scratch.path().to_path_buf())).assert_same(&self.before);
        !ran || std::fs::read_to_string(self.report()).unwrap().contains("fired=1")
    }
}

/// Does every n-th case of a kind, from `first` on, until nothing happens any more; answers the last call that was hit.
fn cases(first: u64, step: u64, plan: impl Fn(u64) -> String) -> u64 {
    let lane = Lane::new();
    let (mut n, mut last) = (first, 0);
    while n <= last + QUIET_MAX {
        if lane.case(&plan(n)) {
            last = n;
        }
        n += step;
    }
    last
}

/// Shares the cases out over two threads.
fn all_cases(first: u64, every: u64, plan: impl Fn(u64) -> String + Sync) -> u64 {
    let plan = &plan;
    std::thread::scope(|scope| {
        let lanes =
            [0, 1].map(|lane| scope.spawn(move || cases(first + lane * every, 2 * every, plan)));
        lanes.into_iter().map(|lane| lane.join().unwrap()).max().unwrap()
    })
}

#[test]
fn a_fault_at_any_call_of_run_leaves_nothing() {
    need_root!();
    need!("busybox", "timeout");
    let soak = std::env::var_os("LAYERFS_SOAK").is_some();
    let _watch = watchdog(if soak { 7200 } else { 900 });
    // Without the full matrix a call is refused or died at, by turns.
    let kinds: [(&str, u64, u64); 5] = [
        ("fail:N:EIO", 1, 2),
        ("die:N", 2, 2),
        ("fail:N:EINTR", 1, 7),
        ("fail:N:ENOSPC", 1, 0),
        ("fail:N:EMFILE", 1, 0),
    ];
    for (kind, first, share) in kinds {
        let (first, every) = if soak { (1, 1) } else { (first, share) };
        if every == 0 {
            continue;
        }
        let points = all_cases(first, every, |n| kind.replacen(":N", &format!(":{n}"), 1));
        figure(format_args!("{kind}: points: {points}, every {every}."));
        assert!(points > 100, "{kind}: {points} points: where did they go?");
    }
}
