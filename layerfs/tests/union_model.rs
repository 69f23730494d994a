//! The union against the reference model: random histories over an image and over directories.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test that can't go on should fail there

mod model;
#[path = "../../tests/support/mod.rs"]
mod support;

use layerfs_driver::upper::{Partial, Small, Whiteouts};
use model::union_ground::{Ground, Lowers};
use model::union_nodes::Memory;
use support::{Scratch, soak_factor, watchdog};

const STEPS: usize = 60;
/// Histories of each kind of lower and each memory.
const HISTORIES: u64 = 500;
/// Histories on each file system of a disk.
const DISK_HISTORIES: u64 = 60;

/// Histories of each kind with each form of whiteouts that is no device.
const FORM_HISTORIES: u64 = 40;

fn run(scratch: &Scratch, first: u64, count: u64, (lowers, memory): (Lowers, Memory)) {
    run_with(Whiteouts::Auto, scratch, first..first + count * soak_factor(), (lowers, memory));
}

fn run_with(
    whiteouts: Whiteouts,
    scratch: &Scratch,
    seeds: std::ops::Range<u64>,
    (lowers, memory): (Lowers, Memory),
) {
    let place = scratch.path().to_owned();
    let partial = partial_of(lowers);
    let ground = Ground { place, lowers, memory, whiteouts, partial };
    model::history::run(seeds, STEPS, &ground);
}

/// Of images what `partial=blocks` says, of directories what is so where nothing is said.
fn partial_of(lowers: Lowers) -> Partial {
    match lowers {
        // Few files of a history are as small.
        Lowers::Image => Partial::Blocks(Small::Few),
        Lowers::Directories => Partial::Never,
    }
}

#[test]
fn a_union_whose_files_leave_their_data_below_or_do_not_is_the_model() {
    support::need_root!();
    support::alone!();
    let _watch = watchdog(300 * soak_factor());
    let scratch = Scratch::new();
    for (first, lowers, partial) in [
        (85_000_000, Lowers::Directories, Partial::Made),
        (86_000_000, Lowers::Image, Partial::Never),
        (87_000_000, Lowers::Image, Partial::Made),
        (88_000_000, Lowers::Directories, Partial::Blocks(Small::Usual)),
    ] {
        for (more, memory) in [(0, Memory::Long), (500_000, Memory::Short)] {
            let (place, whiteouts) = (scratch.path().to_owned(), Whiteouts::Auto);
            let ground = Ground { place, lowers, memory, whiteouts, partial };
            let first = first + more;
            let seeds = first..first + 2 * FORM_HISTORIES * soak_factor();
            model::history::run(seeds, STEPS, &ground);
        }
    }
}

#[test]
fn a_union_whose_whiteouts_are_marked_files_is_the_model() {
    support::need_root!();
    support::alone!();
    let _watch = watchdog(300 * soak_factor());
    let scratch = Scratch::new();
    for (first, sides) in [
        (80_000_000, (Lowers::Directories, Memory::Long)),
        (81_000_000, (Lowers::Directories, Memory::Short)),
        (82_000_000, (Lowers::Image, Memory::Long)),
    ] {
        let seeds = first..first + FORM_HISTORIES * soak_factor();
        run_with(Whiteouts::Xattr, &scratch, seeds, sides);
    }
}

#[test]
fn a_union_whose_whiteouts_are_names_is_the_model() {
    support::need_root!();
    support::alone!();
    let _watch = watchdog(300 * soak_factor());
    let scratch = Scratch::new();
    for (first, memory) in [(83_000_000, Memory::Long), (84_000_000, Memory::Short)] {
        let seeds = first..first + FORM_HISTORIES * soak_factor();
        run_with(Whiteouts::Wh, &scratch, seeds, (Lowers::Directories, memory));
    }
}

#[test]
fn a_union_over_an_image_is_the_model() {
    support::need_root!();
    support::alone!();
    let _watch = watchdog(300 * soak_factor());
    run(&Scratch::new(), 0, HISTORIES, (Lowers::Image, Memory::Long));
}

#[test]
fn a_union_over_an_image_is_the_model_though_the_kernel_forgets() {
    support::need_root!();
    support::alone!();
    let _watch = watchdog(300 * soak_factor());
    run(&Scratch::new(), 10_000_000, HISTORIES, (Lowers::Image, Memory::Short));
}

#[test]
fn a_union_over_directories_is_the_model() {
    support::need_root!();
    support::alone!();
    let _watch = watchdog(300 * soak_factor());
    run(&Scratch::new(), 20_000_000, HISTORIES, (Lowers::Directories, Memory::Long));
}

#[test]
fn a_union_over_directories_is_the_model_though_the_kernel_forgets() {
    support::need_root!();
    support::alone!();
    let _watch = watchdog(300 * soak_factor());
    run(&Scratch::new(), 30_000_000, HISTORIES, (Lowers::Directories, Memory::Short));
}

/// Every kind of history on a file system of a disk, which numbers, links and times in ways of its own.
fn run_on_disk(scratch: &Scratch, first: u64) {
    let quarter = DISK_HISTORIES / 4;
    for (at, lowers) in (0..).zip([Lowers::Image, Lowers::Directories]) {
        run(scratch, first + at * 1_000_000, quarter, (lowers, Memory::Long));
        run(scratch, first + (at + 2) * 1_000_000, quarter, (lowers, Memory::Short));
    }
}

#[test]
fn a_union_on_ext4_is_the_model() {
    support::need_root!();
    support::need!("mkfs.ext4");
    if support::rights::have_loop_devices() {
        support::alone!();
        let _watch = watchdog(300 * soak_factor());
        run_on_disk(&Scratch::ext4(512), 40_000_000);
    }
}

#[test]
fn a_union_on_xfs_is_the_model() {
    support::need_root!();
    support::need!("mkfs.xfs");
    if support::rights::have_loop_devices() {
        support::alone!();
        let _watch = watchdog(300 * soak_factor());
        run_on_disk(&Scratch::xfs(512), 50_000_000);
    }
}

#[test]
fn a_union_on_btrfs_is_the_model() {
    support::need_root!();
    support::need!("mkfs.btrfs");
    if support::rights::have_loop_devices() {
        support::alone!();
        let _watch = watchdog(300 * soak_factor());
        run_on_disk(&Scratch::btrfs(512), 55_000_000);
    }
}
