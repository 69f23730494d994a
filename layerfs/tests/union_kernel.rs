//! What the union wrote is what kernel overlayfs reads: the same layers and upper show the same tree.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test that can't go on should fail there

mod model;
#[path = "../../tests/support/mod.rs"]
mod support;

use layerfs_driver::upper::{Partial, Whiteouts};
use model::differences::differences;
use model::history::{Case, Start};
use model::kernel::KernelOverlay;
use model::ops::Op;
use model::subject::{Snapshot, Subject};
use model::tree::Model;
use model::union_ground::{Ground, Lowers};
use model::union_nodes::Memory;
use support::{Scratch, soak_factor, watchdog};

const STEPS: usize = 60;
const HISTORIES: u64 = 60;
/// What the union's uppers promise to be right with.
const OPTIONS: &str = "redirect_dir=on,metacopy=on,index=off";

#[test]
fn kernel_overlay_shows_the_same_tree_of_the_same_upper() {
    support::need_root!();
    support::need!("unshare");
    let _watch = watchdog(120 * soak_factor());
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.join("merged")).unwrap();
    let mut broken = 0;
    for seed in 60_000_000..60_000_000 + HISTORIES * soak_factor() {
        let memory = if seed % 2 == 0 { Memory::Long } else { Memory::Short };
        let place = scratch.path().to_owned();
        let ground = Ground {
            place,
            lowers: Lowers::Directories,
            memory,
            whiteouts: Whiteouts::Auto,
            partial: Partial::Never,
        };
        let ours = after_history(&Case::random(seed, STEPS), &ground);
        let theirs = KernelOverlay::mount(scratch.path(), OPTIONS).snapshot();
        let found = differences(&ours, &theirs, &scratch.join("upper"));
        // One history in twenty-five has such a name at its end.
        let (links, found): (Vec<_>, Vec<_>) = found.into_iter().partition(|found| found.is_link);
        assert!(found.is_empty(), "seed {seed}: {found:#?}");
        broken += u64::from(!links.is_empty());
    }
    assert!(
        broken * 10 <= HISTORIES * soak_factor(),
        "{broken} histories with hard links that the kernel breaks"
    );
}

/// The kernel refuses such an upper by name (`tests/mount_options/whiteouts.rs`), and reads it as a lower layer from 6.8 on.
#[test]
fn kernel_overlay_shows_the_same_tree_of_a_layer_with_marked_whiteouts() {
    support::need_root!();
    support::need!("unshare");
    let _watch = watchdog(120 * soak_factor());
    let scratch = Scratch::new();
    for seed in 61_000_000..61_000_000 + HISTORIES / 2 * soak_factor() {
        let place = scratch.path().join(seed.to_string());
        std::fs::create_dir_all(place.join("merged")).unwrap();
        let (lowers, whiteouts) = (Lowers::Directories, Whiteouts::Xattr);
        let ground = Ground {
            place: place.clone(),
            lowers,
            memory: Memory::Long,
            whiteouts,
            partial: Partial::Never,
        };
        let mut ours = after_history(&Case::random(seed, STEPS), &ground);
        let layers = (0..).take_while(|n| place.join(format!("layer{n}")).exists()).count();
        let top = place.join(format!("layer{layers}"));
        std::fs::rename(place.join("upper"), &top).unwrap();
        std::fs::remove_dir_all(place.join("work")).unwrap();
        std::fs::create_dir(place.join("work")).unwrap();
        std::fs::create_dir(place.join("upper")).unwrap();
        let root = model::tree::Model::on_disk(&model::layers::Layer::default());
        model::directory::write(&root, &place.join("upper"));
        let mut theirs = KernelOverlay::mount(&place, OPTIONS).snapshot();
        // The root is that of the new upper.
        for shown in [&mut ours, &mut theirs] {
            shown.entries.retain(|at| !at.path.is_root());
        }
        let found = differences(&ours, &theirs, &top);
        let found: Vec<_> = found.into_iter().filter(|found| !found.is_link).collect();
        assert!(found.is_empty(), "seed {seed}: {found:#?}");
        std::fs::remove_dir_all(place).unwrap();
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
