//! Uppers that kernel overlayfs and the union change in turns: after each turn both show the same tree.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test that can't go on should fail there

mod model;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use layerfs_driver::upper::{Partial, Whiteouts};
use model::differences::differences;
use model::history::Case;
use model::kernel::{KernelOverlay, write_layers};
use model::lasting::{add_files, metadata_changes};
use model::ops::{Mode, Op};
use model::subject::{Kind, Snapshot, Subject};
use model::tree_path::TreePath;
use model::union_ground::{Ground, Lowers};
use model::union_nodes::Memory;
use model::worker::{FUSE_OVERLAYFS, PROGRAM};
use support::{Scratch, figure, soak_factor, watchdog};

/// Steps of one turn.
const STEPS: usize = 25;
/// Turns of a history: the kernel's and ours.
const TURNS: usize = 4;
const HISTORIES: u64 = 16;

#[test]
fn uppers_of_the_kernel_with_metacopy_are_read_changed_and_read_again() {
    support::need_root!();
    support::need!("unshare");
    let met = in_turns(70_000_000, "redirect_dir=on,metacopy=on,index=off,xino=on");
    figure(format_args!(
        "{met} files whose data lay in a lower directory after a turn of the kernel's"
    ));
    assert!(met >= HISTORIES, "the kernel left {met} metacopy files: this tests too little");
}

#[test]
fn uppers_of_the_kernel_without_metacopy_are_read_changed_and_read_again() {
    support::need_root!();
    support::need!("unshare");
    let met = in_turns(71_000_000, "redirect_dir=on,metacopy=off,index=off,xino=auto");
    assert_eq!(met, 0, "metacopy files");
}

/// That of the distribution.
#[test]
fn uppers_of_fuse_overlayfs_are_read() {
    support::need!("fuse-overlayfs");
    of_fuse_overlayfs(72_000_000, "", Path::new("fuse-overlayfs"));
}

/// Its whiteouts are `.wh.` names where it can make no devices.
#[test]
fn uppers_of_fuse_overlayfs_without_devices_are_read() {
    support::need!("fuse-overlayfs");
    of_fuse_overlayfs(73_000_000, "y", Path::new("fuse-overlayfs"));
}

#[test]
fn uppers_of_fuse_overlayfs_2_are_read() {
    let Some(program) = support::suites::fuse_overlayfs() else { return };
    of_fuse_overlayfs(76_000_000, "", &program);
}

/// Version 2 leaves the whiteout of a name to which something is renamed, and does not show that any more when it is mounted
/// anew.
#[test]
fn uppers_of_fuse_overlayfs_2_without_devices_are_read() {
    let Some(program) = support::suites::fuse_overlayfs() else { return };
    of_fuse_overlayfs(77_000_000, "y", &program);
}

fn of_fuse_overlayfs(first: u64, without_devices: &str, program: &Path) {
    support::need_root!();
    support::need!("unshare");
    let _watch = watchdog(120 * soak_factor());
    let scratch = Scratch::new();
    for seed in first..first + HISTORIES * soak_factor() {
        let mut case = Case::random(seed, STEPS * 2);
        case.layers.iter_mut().for_each(add_files);
        let place = scratch.path().join(seed.to_string());
        write_layers(&place, &case.layers);
        let options = format!("{FUSE_OVERLAYFS}fsync=0");
        let variables = [
            ("FUSE_OVERLAYFS_DISABLE_OVL_WHITEOUT", without_devices),
            (PROGRAM, program.to_str().unwrap()),
        ];
        let mut mounted = KernelOverlay::mount_with(&place, &options, &variables);
        let mut theirs = changed(&mut mounted, &case.ops);
        drop(mounted);
        // With names of whiteouts read as such.
        let (lowers, whiteouts) = (Lowers::Directories, Whiteouts::Wh);
        let ground = Ground {
            place: place.clone(),
            lowers,
            memory: Memory::Long,
            whiteouts,
            partial: Partial::Never,
        };
        let mut ours = by_union(&ground, &[]);
        let upper = place.join("upper");
        for shown in [&mut ours, &mut theirs] {
            shown.entries.retain(|at| !program.is_absolute() || !has_whiteout(&upper, &at.path));
        }
        let found = differences(&ours, &theirs, &upper);
        // Of files with several names it shows what one of them was.
        let found: Vec<_> = found.into_iter().filter(|found| !found.has_links).collect();
        assert!(found.is_empty(), "seed {seed}: {found:#?}");
        std::fs::remove_dir_all(place).unwrap();
    }
}

/// Whether something that is no directory stands beside the name of its whiteout.
fn has_whiteout(upper: &Path, path: &TreePath) -> bool {
    let Some((parent, name)) = path.split() else { return false };
    let whiteout = parent.join(&[b".wh.", name].concat()).under(upper);
    let is_directory = path.under(upper).symlink_metadata().is_ok_and(|found| found.is_dir());
    !is_directory && whiteout.symlink_metadata().is_ok()
}

#[test]
fn uppers_of_the_kernel_with_an_index_have_their_hard_links() {
    support::need_root!();
    support::need!("unshare");
    for (first, options) in [
        (74_000_000, "redirect_dir=on,metacopy=on,index=on,xino=auto"),
        (75_000_000, "redirect_dir=on,metacopy=off,index=on"),
    ] {
        let _watch = watchdog(120 * soak_factor());
        let scratch = Scratch::new();
        for seed in first..first + HISTORIES * soak_factor() {
            let mut case = Case::random(seed, STEPS * 2);
            case.layers.iter_mut().for_each(add_files);
            let place = scratch.path().join(seed.to_string());
            write_layers(&place, &case.layers);
            let (lowers, whiteouts) = (Lowers::Directories, Whiteouts::Auto);
            let ground = Ground {
                place: place.clone(),
                lowers,
                memory: Memory::Long,
                whiteouts,
                partial: Partial::Never,
            };
            let (kernels, ours) = case.ops.split_at(STEPS);
            let mut kernel = KernelOverlay::mount(&place, options);
            done(&mut kernel, kernels);
            // One name of each group: a change by the others would give them their links in the upper.
            let firsts = first_names_changed(&kernel.snapshot());
            done(&mut kernel, &firsts);
            kernel.remount();
            let theirs = kernel.snapshot();
            drop(kernel);
            let shown = by_union(&ground, &[]);
            let found = differences(&shown, &theirs, &place.join("upper"));
            assert!(found.is_empty(), "seed {seed}: {found:#?}");
            assert_eq!(files(&shown), files(&theirs), "seed {seed}");
            let then = by_union(&ground, ours);
            assert_eq!(files(&by_union(&ground, &[])), files(&then), "seed {seed}");
            std::fs::remove_dir_all(place).unwrap();
        }
    }
}

/// A change of each group of names that lasts, by the first of them.
fn first_names_changed(shown: &Snapshot) -> Vec<Op> {
    let paths = shown.entries.iter().map(|entry| &entry.path);
    let is_first =
        |path: &&TreePath| path.split().is_some_and(|(_, name)| name.starts_with(b"one "));
    let change = |path: &TreePath| Op::Chmod { path: path.clone(), mode: Mode(0o604) };
    paths.filter(is_first).map(change).collect()
}

/// Which names lead to one file.
fn files(shown: &Snapshot) -> BTreeSet<Vec<TreePath>> {
    let mut files: BTreeMap<u64, Vec<TreePath>> = BTreeMap::new();
    for entry in shown.entries.iter().filter(|entry| entry.facts.kind != Kind::Directory) {
        files.entry(entry.number).or_default().push(entry.path.clone());
    }
    files.into_values().collect()
}

/// Answers how many metacopy files the kernel left after all of its turns.
fn in_turns(first: u64, options: &str) -> u64 {
    let _watch = watchdog(120 * soak_factor());
    let scratch = Scratch::new();
    let mut met = 0;
    for seed in first..first + HISTORIES * soak_factor() {
        let memory = if seed % 2 == 0 { Memory::Long } else { Memory::Short };
        let mut case = Case::random(seed, STEPS * TURNS);
        case.layers.iter_mut().for_each(add_files);
        let place = scratch.path().join(seed.to_string());
        write_layers(&place, &case.layers);
        let ground = Ground {
            place: place.clone(),
            lowers: Lowers::Directories,
            memory,
            whiteouts: Whiteouts::Auto,
            partial: Partial::Never,
        };
        for (turn, ops) in case.ops.chunks(STEPS).enumerate() {
            let (ours, theirs) = if turn % 2 == 0 {
                let theirs = by_kernel(&place, options, ops);
                met += metacopies(&place.join("upper"));
                (by_union(&ground, &[]), theirs)
            } else {
                let ours = by_union(&ground, ops);
                (ours, by_kernel(&place, options, &[]))
            };
            let found = differences(&ours, &theirs, &place.join("upper"));
            let (_, found): (Vec<_>, Vec<_>) = found.into_iter().partition(|found| found.is_link);
            assert!(found.is_empty(), "seed {seed}, turn {turn}: {found:#?}");
        }
        std::fs::remove_dir_all(place).unwrap();
    }
    met
}

/// How many files below a directory have the mark that their data is elsewhere.
fn metacopies(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let count = entries.map(|path| {
        let kind = path.symlink_metadata().unwrap().file_type();
        let marked =
            || rustix::fs::lgetxattr(&path, "trusted.overlay.metacopy", &mut [0_u8; 64][..]);
        if kind.is_dir() {
            metacopies(&path)
        } else {
            u64::from(kind.is_file() && marked().is_ok())
        }
    });
    count.sum()
}

fn by_kernel(place: &Path, options: &str, ops: &[Op]) -> Snapshot {
    let mut kernel = KernelOverlay::mount(place, options);
    changed(&mut kernel, ops)
}

fn by_union(ground: &Ground, ops: &[Op]) -> Snapshot {
    let mut union = ground.resume();
    let shown = changed(&mut union, ops);
    assert_eq!(union.end(), [""; 0]);
    shown
}

fn done(subject: &mut impl Subject, ops: &[Op]) {
    for op in ops {
        match op {
            Op::Remount => subject.remount(),
            other => drop(subject.apply(other)),
        }
    }
}

/// What is shown after a turn, all descriptors closed and mounted anew.
fn changed(subject: &mut impl Subject, ops: &[Op]) -> Snapshot {
    done(subject, ops);
    if !ops.is_empty() {
        let files = subject.snapshot();
        metadata_changes(&files, ops.len()).iter().for_each(|op| drop(subject.apply(op)));
        subject.remount();
    }
    subject.snapshot()
}
