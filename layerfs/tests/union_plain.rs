//! Uppers of every form that are made plain: kernel overlayfs shows the same tree of them with no options at all.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test that can't go on should fail there

mod model;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::path::Path;

use layerfs_driver::lower::{DirStack, Lower, Redirects, StackOptions, WhNames};
use layerfs_driver::sys::dir;
use layerfs_driver::tree::MarkSpace;
use layerfs_driver::union::{Mode, Union, UnionError};
use layerfs_driver::upper::{
    Durability, Partial, Records, Upper, UpperError, UpperOptions, Whiteouts,
};
use model::differences::differences;
use model::history::Case;
use model::kernel::{KernelOverlay, write_layers};
use model::lasting::{add_files, metadata_changes};
use model::ops::Op;
use model::subject::{Snapshot, Subject};
use model::union_ground::{Ground, Lowers};
use model::union_nodes::Memory;
use support::{Scratch, soak_factor, watchdog};

const STEPS: usize = 40;
const HISTORIES: u64 = 8;
/// What a kernel has that was told nothing: redirects are not followed, metacopy files are refused.
const NO_OPTIONS: &str = "redirect_dir=nofollow,metacopy=off,index=off";

/// Attributes that a plain upper does not have.
const MARKS: &str =
    "^(trusted|user)\\.(overlay\\.(layerfs|redirect|metacopy|whiteout)|fuseoverlayfs)";

#[test]
fn an_upper_with_whiteouts_of_each_form_is_made_plain() {
    support::need_root!();
    support::need!("unshare");
    let _watch = watchdog(120 * soak_factor());
    let scratch = Scratch::new();
    for whiteouts in [Whiteouts::Device, Whiteouts::Xattr, Whiteouts::Wh] {
        for seed in 90_000_000..90_000_000 + HISTORIES * soak_factor() {
            let place = scratch.path().join(seed.to_string());
            let ours = by_union(&place, seed, whiteouts);
            plain(&place).unwrap();
            assert_plain(&place, &ours, seed);
            std::fs::remove_dir_all(place).unwrap();
        }
    }
}

#[test]
fn an_upper_of_the_kernels_is_made_plain() {
    support::need_root!();
    support::need!("unshare");
    let _watch = watchdog(120 * soak_factor());
    let scratch = Scratch::new();
    for seed in 91_000_000..91_000_000 + HISTORIES * soak_factor() {
        let place = scratch.path().join(seed.to_string());
        let case = case(seed);
        write_layers(&place, &case.layers);
        let options = "redirect_dir=on,metacopy=on,index=off";
        let theirs = changed(&mut KernelOverlay::mount(&place, options), &case.ops);
        plain(&place).unwrap();
        assert_plain(&place, &theirs, seed);
        std::fs::remove_dir_all(place).unwrap();
    }
}

/// After each refused call the tree is the same, and who begins again ends.
#[cfg(feature = "fault")]
#[test]
fn a_refused_call_leaves_the_tree_of_an_upper_that_is_made_plain() {
    use layerfs_driver::sys::Errno;
    use layerfs_driver::sys::fault::{Plan, with_plan};
    support::need_root!();
    support::need!("unshare");
    let _watch = watchdog(300 * soak_factor());
    let scratch = Scratch::new();
    let mut points = 0;
    for (seed, whiteouts) in [(92_000_000, Whiteouts::Xattr), (92_000_001, Whiteouts::Wh)] {
        let place = scratch.path().join(seed.to_string());
        let ours = by_union(&place, seed, whiteouts);
        let kept = scratch.path().join("kept");
        copy(&place, &kept);
        // Every seventh from another start each time, all of them where there is time.
        let step = if soak_factor() > 1 { 1 } else { 7 };
        for n in (1 + seed % step..).step_by(usize::try_from(step).unwrap()) {
            let (refused, outcome) =
                with_plan(Plan::Fail { n, errno: Errno::IO, call: None }, || plain(&place));
            if !outcome.fired {
                refused.unwrap();
                break;
            }
            points += 1;
            let shown = without_times(ground(&place, whiteouts).resume().snapshot());
            let found = differences(&shown, &without_times(ours.clone()), &place.join("upper"));
            assert!(found.is_empty(), "seed {seed}, call {n}, {refused:?}: {found:#?}");
            if n % 10 == 0 {
                plain(&place).unwrap();
                let shown = KernelOverlay::mount(&place, NO_OPTIONS).snapshot();
                let shown = (&without_times(ours.clone()), &without_times(shown));
                assert_same(&place, shown, seed);
            }
            for side in ["upper", "work"] {
                std::fs::remove_dir_all(place.join(side)).unwrap();
            }
            copy(&kept, &place);
        }
        assert_plain(&place, &ours, seed);
        std::fs::remove_dir_all(kept).unwrap();
    }
    support::figure(format_args!("{points} refused calls"));
}

fn case(seed: u64) -> Case {
    let mut case = Case::random(seed, STEPS);
    case.layers.iter_mut().for_each(add_files);
    case
}

fn ground(place: &Path, whiteouts: Whiteouts) -> Ground {
    let (lowers, memory) = (Lowers::Directories, Memory::Long);
    Ground { place: place.to_owned(), lowers, memory, whiteouts, partial: Partial::Never }
}

fn by_union(place: &Path, seed: u64, whiteouts: Whiteouts) -> Snapshot {
    let case = case(seed);
    write_layers(place, &case.layers);
    let mut union = ground(place, whiteouts).resume();
    let shown = changed(&mut union, &case.ops);
    assert_eq!(union.end(), [""; 0]);
    shown
}

fn changed(subject: &mut impl Subject, ops: &[Op]) -> Snapshot {
    for op in ops {
        match op {
            Op::Remount => subject.remount(),
            other => drop(subject.apply(other)),
        }
    }
    let files = subject.snapshot();
    metadata_changes(&files, 0).iter().for_each(|op| drop(subject.apply(op)));
    subject.remount();
    subject.snapshot()
}

/// What `layerfs upper normalize` does.
fn plain(place: &Path) -> Result<(), UnionError> {
    let (space, redirects, wh_names) = (MarkSpace::Trusted, Redirects::Follow, WhNames::Whiteouts);
    let (durability, whiteouts) = (Durability::Volatile, Whiteouts::Device);
    let records = Records::Never;
    let partial = Partial::Never;
    let options =
        UpperOptions { space, redirects, durability, wh_names, whiteouts, records, partial };
    let layers = (0..).map(|number| place.join(format!("layer{number}")));
    let mut layers: Vec<_> = layers.take_while(|path| path.exists()).collect();
    layers.reverse();
    let deed = "open a directory of the test";
    let opened = |name: &str| {
        dir::open_path(place.join(name).as_path())
            .map_err(|source| UpperError::Call { deed, source })
    };
    let upper = Upper::open(opened("upper")?, &opened("work")?, options)?;
    let stack = DirStack::open_paths(&layers, StackOptions { space, redirects, wh_names })?;
    let union = Union::new(Lower::Dirs(stack), Mode::Writable(upper))?;
    union.make_whole()?;
    Ok(union.upper().unwrap().make_plain()?)
}

#[cfg(feature = "fault")]
/// Where a call was refused, a directory may have the time of the attempt.
fn without_times(mut shown: Snapshot) -> Snapshot {
    let directories =
        shown.entries.iter_mut().filter(|at| at.facts.kind == model::subject::Kind::Directory);
    directories.for_each(|at| at.mtime = model::tree::Moment::At(0, 0));
    shown
}

fn assert_plain(place: &Path, before: &Snapshot, seed: u64) {
    let shown = KernelOverlay::mount(place, NO_OPTIONS).snapshot();
    assert_same(place, (before, &shown), seed);
}

fn assert_same(place: &Path, (before, shown): (&Snapshot, &Snapshot), seed: u64) {
    let found = differences(before, shown, &place.join("upper"));
    assert!(found.is_empty(), "seed {seed}: {found:#?}");
    let mut list = std::process::Command::new("getfattr");
    let said = list.args(["-Rhd", "-m", MARKS]);
    let said = said.arg(place.join("upper")).output().unwrap();
    assert!(said.stdout.is_empty(), "seed {seed}: {}", String::from_utf8_lossy(&said.stdout));
    let incompat = place.join("work/work/incompat");
    assert!(!incompat.exists() || std::fs::read_dir(incompat).unwrap().next().is_none());
}

#[cfg(feature = "fault")]
/// Copies both sides of what is changed, hard links between them included. The lower keeps its numbers.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    let mut copy = std::process::Command::new("cp");
    let sides = ["upper", "work"].map(|side| from.join(side));
    assert!(copy.arg("-a").args(sides).arg(to).status().unwrap().success());
}
