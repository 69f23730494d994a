//! What the union wrote is what kernel overlayfs reads: the same layers and upper show the same tree.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test that can't go on should fail there

mod model;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use model::history::{Case, Start};
use model::kernel::KernelOverlay;
use model::ops::Op;
use model::subject::{Entry, Facts, Snapshot, Subject};
use model::tree::Model;
use model::union_ground::{Ground, Lowers};
use model::union_nodes::Memory;
use support::{Scratch, watchdog};

const STEPS: usize = 60;
const HISTORIES: u64 = 60;
/// What the union's uppers promise to be right with.
const OPTIONS: &str = "redirect_dir=on,metacopy=on,index=off";

/// `LAYERFS_SOAK=1` runs twenty times as many histories, and lets them take as much longer.
fn soak() -> u64 {
    if std::env::var_os("LAYERFS_SOAK").is_some_and(|value| value == "1") { 20 } else { 1 }
}

/// Does nothing unless it is started as the worker of a kernel overlay.
#[test]
fn overlay_worker() {
    model::worker::serve_if_asked();
}

#[test]
fn kernel_overlay_shows_the_same_tree_of_the_same_upper() {
    support::need_root!();
    support::need!("unshare");
    let _watch = watchdog(120 * soak());
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.join("merged")).unwrap();
    for seed in 60_000_000..60_000_000 + HISTORIES * soak() {
        let memory = if seed % 2 == 0 { Memory::Long } else { Memory::Short };
        let place = scratch.path().to_owned();
        let ground = Ground { place, lowers: Lowers::Directories, memory };
        let ours = after_history(&Case::random(seed, STEPS), &ground);
        let theirs = KernelOverlay::mount(scratch.path(), OPTIONS).snapshot();
        let found = differences(&ours, &theirs);
        assert!(found.is_empty(), "seed {seed}: {found:#?}");
    }
}

/// What the union shows at the end of a history, when it is unmounted.
fn after_history(case: &Case, ground: &Ground) -> Snapshot {
    // Overlayfs lists a whiteout in a directory that it merges with nothing, though no lookup finds the name.
    let mut union = ground.start(&Model::without_stray_whiteouts(&case.layers));
    for op in &case.ops {
        match op {
            Op::Remount => union.remount(),
            other => drop(union.apply(other)),
        }
    }
    let shown = union.snapshot();
    assert_eq!(union.end(), [""; 0]);
    shown
}

/// A line for each difference. Link counts and numbers are each one's own affair: overlayfs without an index breaks hard
/// links of the lower.
fn differences(ours: &Snapshot, theirs: &Snapshot) -> Vec<String> {
    let mut found: Vec<String> = ours.disorder.iter().chain(&theirs.disorder).cloned().collect();
    let mut others: BTreeMap<_, _> = theirs.entries.iter().map(|at| (&at.path, at)).collect();
    for entry in &ours.entries {
        let other = others.remove(&entry.path);
        let (ours, theirs) = (told(entry), other.map(told));
        if theirs.as_ref() != Some(&ours) {
            found.push(format!("{:?}: ours {ours}, the kernel's {theirs:?}", entry.path));
        }
    }
    found.extend(others.keys().map(|path| format!("{path:?}: only the kernel shows it")));
    found
}

fn told(entry: &Entry) -> String {
    let facts = Facts { links: 0, hidden: 0, ..entry.facts.clone() };
    format!("{facts:?} {:?} {} {:?}", entry.mtime, entry.contents, entry.xattrs)
}
