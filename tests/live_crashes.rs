//! Mounts that die under programs at work, by a kill of the process that serves them and by a power cut of the disk that the
//! upper lies on: after each, the next mount shows what was acknowledged, and all else old or new.
//!
//! The programs append, write to files of the lower, replace one by another, remove and rename those of the lower, use
//! sqlite's write-ahead log and git, and sync each step as careful programs do (`live_crashes/work.py`). What was answered is
//! noted on another disk.
#![cfg(feature = "fault")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail there")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use support::power::{Switch, reboot};
use support::rights::have_loop_devices;
use support::{
    Photo, Scope, Scratch, figure, machine, need, need_root, photograph, soak, watchdog,
};

const WORK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live_crashes/work.py");

/// One test at a time: a file system that is in use is not unmounted.
static ALONE: Mutex<()> = Mutex::new(());

/// What the mounts are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lower {
    Image,
    Directories,
}

/// A lower, an upper on a disk of its own, and what was acknowledged.
struct Lab {
    before: Photo,
    disk: Scratch,
    elsewhere: Scratch,
    lower: Lower,
}

impl Lab {
    fn new(disk: Scratch, lower: Lower) -> Lab {
        let elsewhere = Scratch::new();
        std::fs::create_dir(elsewhere.join("mnt")).unwrap();
        python(&["lower", path(&elsewhere.join("lower"))]);
        let before = photograph(&Scope::Below(elsewhere.path().to_path_buf()));
        let lab = Lab { before, disk, elsewhere, lower };
        if lower == Lower::Image {
            lab.layerfs(&["import", path(&lab.elsewhere.join("lower")), "lower:1"], None);
        }
        lab
    }

    fn mnt(&self) -> PathBuf {
        self.elsewhere.join("mnt")
    }

    fn ack(&self) -> PathBuf {
        self.elsewhere.join("acknowledged")
    }

    fn layerfs(&self, words: &[&str], plan: Option<&str>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_layerfs"));
        command.arg("--root").arg(self.elsewhere.join("store")).args(words).stdin(Stdio::null());
        command.env_remove("LAYERFS_FAULT").envs(plan.map(|plan| ("LAYERFS_FAULT", plan)));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Mounts the upper, made anew where it is not there.
    fn mount(&self, plan: Option<&str>) {
        let (upper, work) = (self.disk.join("upper"), self.disk.join("work"));
        std::fs::create_dir_all(&upper).unwrap();
        std::fs::create_dir_all(&work).unwrap();
        let (upper, work, mnt) = (path(&upper), path(&work), self.mnt());
        match self.lower {
            Lower::Image => {
                let words = ["mount", "--upper", upper, "--work", work, "lower:1", path(&mnt)];
                self.layerfs(&words, plan);
            }
            Lower::Directories => {
                let lower = self.elsewhere.join("lower");
                let options = format!("lowerdir={},upperdir={upper},workdir={work}", path(&lower));
                self.layerfs(&["mount", "-o", &options, path(&mnt)], plan);
            }
        }
    }

    fn umount(&self) {
        self.layerfs(&["umount", path(&self.mnt())], None);
        self.wait_for_servers();
    }

    fn servers(&self) -> Vec<u32> {
        let serves = |pid: &u32| {
            machine::command_line(*pid).contains(" serve --source=")
                && machine::works_in(*pid, &self.mnt())
        };
        machine::pids().into_iter().filter(serves).collect()
    }

    fn kill_server(&self) {
        for pid in self.servers() {
            let killed = Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
            assert!(killed.success());
        }
    }

    fn wait_for_servers(&self) {
        let until = Instant::now() + Duration::from_secs(60);
        while !self.servers().is_empty() {
            assert!(Instant::now() < until, "the process that serves does not end");
            pause();
        }
    }

    /// Lets the programs work on a mount of a new upper until so many steps were acknowledged.
    fn work(&self, steps: usize, seed: usize, plan: Option<&str>) -> Child {
        for left in ["upper", "work"].map(|name| self.disk.join(name)) {
            if left.exists() {
                std::fs::remove_dir_all(left).unwrap();
            }
        }
        std::fs::write(self.ack(), "").unwrap();
        self.mount(plan);
        // The upper that a mount begins with is on the disk.
        let synced = Command::new("sync").arg("-f").arg(self.disk.path()).status().unwrap();
        assert!(synced.success());
        let mut work = Command::new("python3");
        work.args([WORK, "work", path(&self.mnt()), path(&self.ack()), &seed.to_string()]);
        let mut work = work.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        while self.acknowledged() < steps {
            assert!(work.try_wait().unwrap().is_none(), "it ended: {:?}", work.wait_with_output());
            pause();
        }
        work
    }

    fn acknowledged(&self) -> usize {
        std::fs::read_to_string(self.ack()).unwrap().lines().count()
    }

    /// What the next mount shows that it must not.
    fn wrong(&self) -> String {
        self.mount(None);
        let wrong = python(&["seen", path(&self.mnt()), path(&self.ack())]);
        self.umount();
        let work = self.disk.join("work/work");
        let left: Vec<_> = machine::entries(&work)
            .into_iter()
            .filter(|left| !left.ends_with("#whiteout") && !left.ends_with("incompat"))
            .collect();
        assert_eq!(left, Vec::<PathBuf>::new(), "the work directory is swept");
        wrong
    }

    /// Cuts the power under the programs; what is seen then that must not be.
    fn cut(
        &self,
        switch: &mut Switch,
        (steps, seed): (usize, usize),
        plan: Option<&str>,
    ) -> String {
        switch.ready(self.disk.path());
        let mut work = self.work(steps, seed, plan);
        // What is answered while the file system stops proves nothing: on XFS a sync may find nothing left to write.
        let acknowledged = std::fs::read(self.ack()).unwrap();
        switch.cut();
        work.wait().unwrap();
        std::fs::write(self.ack(), acknowledged).unwrap();
        self.kill_server();
        self.wait_for_servers();
        self.umount();
        reboot(&self.disk);
        self.wrong()
    }

    fn assert_nothing_left(&self) {
        photograph(&Scope::Below(self.elsewhere.path().to_path_buf())).assert_same(&self.before);
    }
}

fn path(at: &Path) -> &str {
    at.to_str().unwrap()
}

fn pause() {
    // tidy: allow(sleep) each look is repeated until it succeeds or the watchdog ends the test
    std::thread::sleep(Duration::from_millis(5));
}

fn python(words: &[&str]) -> String {
    let output = Command::new("python3").arg(WORK).args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Numbers of steps after which a mount dies, spread without a pattern.
fn instants(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).map(|n| (1 + n * 7919 % 97, n))
}

fn can_run() -> bool {
    support::rights::have_root() && support::rights::have(&["python3", "git", "kill", "sync"])
}

#[test]
fn a_power_cut_under_programs_at_work_keeps_what_was_acknowledged() {
    need!("mkfs.ext4", "mkfs.xfs");
    need_root!();
    if !can_run() || !have_loop_devices() {
        return;
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let _watch = watchdog(if soak() { 7200 } else { 400 });
    let mut switch = Switch::new();
    let (each, mut steps) = (if soak() { 50 } else { 5 }, 0);
    for (number, lower) in [Lower::Image, Lower::Directories].into_iter().enumerate() {
        for disk in [Scratch::ext4, Scratch::xfs] {
            let lab = Lab::new(disk(300), lower);
            for (at, seed) in instants(each) {
                let seed = number * 1000 + seed;
                let wrong = lab.cut(&mut switch, (at, seed), None);
                assert_eq!(wrong, "", "{lower:?}, after {at} steps, seed {seed}");
                steps += lab.acknowledged();
            }
            lab.assert_nothing_left();
        }
    }
    figure(format_args!("{} cuts, {steps} steps acknowledged", 4 * each));
}

/// The control: where the process that serves ignores what it is asked to sync, acknowledged steps are lost.
#[test]
fn a_power_cut_of_a_mount_that_ignores_syncs_loses_what_was_acknowledged() {
    need!("mkfs.ext4", "mkfs.xfs");
    need_root!();
    if !can_run() || !have_loop_devices() {
        return;
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let _watch = watchdog(240);
    let mut switch = Switch::new();
    for disk in [Scratch::ext4, Scratch::xfs] {
        let lab = Lab::new(disk(300), Lower::Directories);
        let wrong = lab.cut(&mut switch, (40, 1), Some("ignore-syncs"));
        assert_ne!(wrong, "", "nothing was synced and nothing lost: the cuts prove nothing");
    }
}

#[test]
fn a_kill_under_programs_at_work_loses_nothing() {
    need_root!();
    if !can_run() {
        return;
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let _watch = watchdog(if soak() { 7200 } else { 400 });
    let (each, mut steps) = (if soak() { 100 } else { 10 }, 0);
    for lower in [Lower::Image, Lower::Directories] {
        let lab = Lab::new(Scratch::new(), lower);
        for (at, seed) in instants(each) {
            let mut work = lab.work(at, seed, None);
            lab.kill_server();
            work.wait().unwrap();
            lab.umount();
            assert_eq!(lab.wrong(), "", "{lower:?}, after {at} steps, seed {seed}");
            steps += lab.acknowledged();
        }
        lab.assert_nothing_left();
    }
    figure(format_args!("{} kills, {steps} steps acknowledged", 2 * each));
}
