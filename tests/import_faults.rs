//! The store under faults: each system call of an import, and of what else changes a store, refused, the process killed at
//! each of them and at random instants.
//!
//! After each, an image is there whole or not at all, the next import works, nothing is left in `tmp/`, and `fsck` finds
//! nothing.
#![cfg(feature = "fault")]
#![allow(clippy::unwrap_used)] // a test that can't go on should fail there

#[path = "import_faults/counted.rs"]
mod counted;
#[path = "import_faults/durable.rs"]
mod durable;
mod support;
#[path = "import_faults/verbs.rs"]
mod verbs;

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use support::{Scratch, figure, fixtures, watchdog};

/// Errors that a disk, a full disk, a signal and a process out of descriptors give.
const ERRNOS: [&str; 4] = ["EIO", "ENOSPC", "EINTR", "EMFILE"];

struct Lab {
    scratch: Scratch,
    layout: PathBuf,
}

impl Lab {
    fn new() -> Option<Lab> {
        Some(Lab { scratch: Scratch::new(), layout: fixtures::small_layout()? })
    }

    fn root(&self) -> PathBuf {
        self.scratch.join("store")
    }

    /// The command on the lab's store, with a fault plan.
    fn command(&self, words: &[&str], plan: Option<&str>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_layerfs"));
        command.arg("--root").arg(self.root()).args(words).env_remove("LAYERFS_FAULT");
        if let Some(plan) = plan {
            command
                .env("LAYERFS_FAULT", plan)
                .env("LAYERFS_FAULT_REPORT", self.scratch.join("report"));
        }
        command
    }

    fn pull(&self, plan: Option<&str>) -> Command {
        let source = format!("oci:{}", self.layout.display());
        let mut command = self.command(&["pull", "--quiet", "--name", "small:1", &source], plan);
        command.stdin(Stdio::null());
        command
    }

    /// Runs a pull to its end: its output, the points that it passed, whether the planned fault happened.
    fn pull_under(&self, plan: &str) -> (Output, u64, bool) {
        self.counted(|| self.pull(Some(plan)).output().unwrap())
    }

    /// The same of any run of the command.
    fn counted(&self, run: impl FnOnce() -> Output) -> (Output, u64, bool) {
        let report = self.scratch.join("report");
        std::fs::write(&report, b"").unwrap();
        let output = run();
        let text = std::fs::read_to_string(&report).unwrap();
        let number = |key: &str| {
            let words = text.split_whitespace();
            words
                .filter_map(|word| word.strip_prefix(key))
                .next()
                .map_or(0, |n| n.parse::<u64>().unwrap())
        };
        (output, number("points="), number("fired=") == 1)
    }

    fn images(&self) -> Vec<String> {
        let output = self.command(&["images", "--quiet", "--no-trunc"], None).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    /// What must hold after any fault: old or new, the next import works, and leaves the store as if nothing had been.
    fn recovers(&self, whole: &Whole, case: &str) {
        let images = self.images();
        let new = std::slice::from_ref(&whole.id);
        assert!(images.is_empty() || images == new, "{case}: {images:?}");
        let again = self.pull(None).output().unwrap();
        assert!(again.status.success(), "{case}: the next import: {}", told(&again));
        assert_eq!(self.images(), new, "{case}");
        let swept = self.command(&["gc"], None).output().unwrap();
        assert!(swept.status.success(), "{case}: gc: {}", told(&swept));
        let checked = self.command(&["fsck"], None).output().unwrap();
        assert!(
            checked.status.success(),
            "{case}: fsck: {}{}",
            told(&checked),
            text(&checked.stdout)
        );
        assert_eq!(files_below(&self.root()), whole.files, "{case}");
    }

    fn forget(&self) {
        std::fs::remove_dir_all(self.root()).unwrap();
    }
}

/// A store after one undisturbed import.
struct Whole {
    id: String,
    files: BTreeSet<PathBuf>,
}

fn whole(lab: &Lab) -> Whole {
    let output = lab.pull(None).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let whole = Whole { id: lab.images().remove(0), files: files_below(&lab.root()) };
    lab.forget();
    whole
}

/// Refuses the n-th call, for every n, with each of the errors.
#[test]
fn a_refused_call_leaves_the_store_old_or_new() {
    let _watchdog = watchdog(600);
    let Some(lab) = Lab::new() else { return };
    let whole = whole(&lab);
    let soak = std::env::var_os("LAYERFS_SOAK").is_some();
    let mut points = 0;
    for (lane, errno) in (0..).zip(ERRNOS) {
        // The threads of an import interleave as they please: only a run without a fault says that n is past the end.
        for n in 1.. {
            // Without the full matrix, the errors share the points out.
            if !soak && n % 4 != lane {
                continue;
            }
            let case = format!("call {n} answers {errno}");
            let (output, passed, fired) = lab.pull_under(&format!("fail:{n}:{errno}"));
            if !fired {
                assert!(output.status.success(), "{case}, not fired: {}", told(&output));
                points = points.max(passed);
                lab.forget();
                break;
            }
            if !output.status.success() {
                assert_eq!(output.status.code(), Some(1), "{case}: {}", told(&output));
                assert_eq!(text(&output.stderr).lines().count(), 1, "{case}: {}", told(&output));
                assert!(output.stdout.is_empty(), "{case}: {}", text(&output.stdout));
            }
            if lab.root().exists() {
                lab.recovers(&whole, &case);
                lab.forget();
            }
        }
    }
    figure(format_args!("points: {points}"));
    assert!(points > 150, "an import passes {points} points: where did they go?");
}

/// A process out of descriptors or of memory says nothing of the store: what it could not read is not damaged.
#[test]
fn a_repair_that_can_not_read_sets_nothing_aside() {
    let Some(lab) = Lab::new() else { return };
    let _watch = watchdog(300);
    let pulled = lab.pull(None).output().unwrap();
    assert!(pulled.status.success(), "{}", told(&pulled));
    let files = files_below(&lab.root());
    let report = lab.scratch.join("report");
    for errno in ["EMFILE", "ENOMEM"] {
        for n in 1.. {
            std::fs::write(&report, b"").unwrap();
            let plan = format!("fail:{n}:{errno}");
            let output = lab.command(&["fsck", "--repair"], Some(&plan)).output().unwrap();
            let case = format!("{plan}: {}{}", told(&output), text(&output.stdout));
            assert_eq!(files_below(&lab.root()), files, "{case}");
            if !std::fs::read_to_string(&report).unwrap().contains("fired=1") {
                assert!(output.status.success() && n > 20, "{case}");
                break;
            }
        }
    }
}

/// An import that is interrupted by signals only is an import that works.
#[test]
fn an_interrupted_call_is_made_again() {
    let _watchdog = watchdog(300);
    let Some(lab) = Lab::new() else { return };
    for n in (1..).step_by(7) {
        let (output, _, fired) = lab.pull_under(&format!("fail:{n}:EINTR"));
        assert!(output.status.success(), "call {n}: {}", told(&output));
        lab.forget();
        if !fired {
            break;
        }
    }
}

/// Kills the process at every point.
#[test]
fn a_death_at_any_call_leaves_the_store_old_or_new() {
    let _watchdog = watchdog(600);
    let Some(lab) = Lab::new() else { return };
    let whole = whole(&lab);
    let mut deaths = 0;
    for n in 1.. {
        let (output, ..) = lab.pull_under(&format!("die:{n}"));
        if output.status.success() {
            break;
        }
        assert_eq!(output.status.signal(), Some(9), "call {n}: {}", told(&output));
        deaths += 1;
        if lab.root().exists() {
            lab.recovers(&whole, &format!("death at call {n}"));
            lab.forget();
        }
    }
    figure(format_args!("deaths: {deaths}"));
    assert!(deaths > 150, "an import died at {deaths} points only");
}

/// Kills the process at random instants of its life, whatever it is doing.
#[test]
fn a_death_at_any_instant_leaves_the_store_old_or_new() {
    let _watchdog = watchdog(600);
    let Some(lab) = Lab::new() else { return };
    let whole = whole(&lab);
    // How long an import takes changes with what else runs: the instants follow it.
    let mut life = Duration::from_millis(100);
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64 ^ u64::from(std::process::id());
    figure(format_args!("seed: {seed:#x}"));
    let mut killed = 0;
    for round in 0..200 {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let instant = life.mul_f64((seed % 1000) as f64 / 1000.0);
        let mut child = lab.pull(None).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_until(Instant::now() + instant);
        child.kill().unwrap();
        let was_killed = child.wait().unwrap().signal() == Some(9);
        killed += u32::from(was_killed);
        life = life.mul_f64(if was_killed { 1.05 } else { 0.9 });
        if lab.root().exists() {
            lab.recovers(&whole, &format!("round {round}, death after {instant:?}"));
            lab.forget();
        }
    }
    figure(format_args!("killed while it ran: {killed} of 200"));
    assert!(killed > 50, "only {killed} of 200 were killed while they ran");
}

fn words_of(command: &Command) -> Vec<String> {
    command.get_args().map(|word| word.to_str().unwrap().to_owned()).collect()
}

/// Spins: the instants are fractions of a millisecond, and no sleep is that short.
fn wait_until(instant: Instant) {
    while Instant::now() < instant {
        std::thread::park_timeout(Duration::from_micros(20));
    }
}

fn files_below(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                dirs.push(entry.path());
            }
            found.insert(entry.path());
        }
    }
    found
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn told(output: &Output) -> String {
    format!("{}: {}", output.status, text(&output.stderr))
}
