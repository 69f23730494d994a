//! The reference model is right: a plain directory and kernel overlayfs answer as it does, and find faults planted in it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test that can't go on should fail there

mod model;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::process::Command;

use layerfs_driver::store::Store;
use model::archive::archive;
use model::by_node::ByNode;
use model::compare::Comparison;
use model::fault::Fault;
use model::history::{Case, first_to_find, parted, run};
use model::image;
use model::kernel::KernelOverlay;
use model::layers::{Below, Layer, LayerNode};
use model::model_nodes::ModelNodes;
use model::ops::{Creation, Op, m};
use model::plain::PlainDir;
use model::shrink::smallest;
use model::subject::{DirectoryLinks, Entry, Kind, Rules, Snapshot, Subject};
use model::tally::Tally;
use model::tree::{Model, Moment};
use model::tree_path::p;
use model::walk;
use support::{Scratch, soak_factor, watchdog};

const STEPS: usize = 60;
const PLAIN_HISTORIES: u64 = 300;
const OVERLAY_HISTORIES: u64 = 100;
/// A planted fault has to show within so many histories.
const CONTROL_HISTORIES: u64 = 60;

fn plain_in(scratch: &Scratch) -> impl Fn(&[Layer]) -> PlainDir {
    let place: PathBuf = scratch.join("plain");
    move |layers: &[Layer]| PlainDir::new(&place, layers)
}

fn overlay_in(scratch: &Scratch) -> impl Fn(&[Layer]) -> KernelOverlay {
    let place: PathBuf = scratch.join("overlay");
    move |layers: &[Layer]| KernelOverlay::new(&place, layers)
}

#[test]
fn plain_directory_agrees_with_the_model() {
    support::need_root!();
    let _watch = watchdog(120 * soak_factor());
    let scratch = Scratch::new();
    run(0..PLAIN_HISTORIES * soak_factor(), STEPS, &plain_in(&scratch));
}

#[test]
fn kernel_overlay_agrees_with_the_model() {
    support::need_root!();
    support::need!("unshare");
    let _watch = watchdog(120 * soak_factor());
    let scratch = Scratch::new();
    run(0..OVERLAY_HISTORIES * soak_factor(), STEPS, &overlay_in(&scratch));
}

#[test]
fn planted_faults_of_the_tree_are_found_by_a_plain_directory() {
    support::need_root!();
    let _watch = watchdog(120);
    let scratch = Scratch::new();
    for fault in Fault::OF_THE_TREE {
        let found = first_to_find(fault, 0..CONTROL_HISTORIES, STEPS, &plain_in(&scratch));
        println!("{fault:?} is found by the history of seed {found:?}");
        assert!(found.is_some(), "{fault:?} is not found");
    }
}

#[test]
fn planted_faults_of_the_layers_are_found_by_kernel_overlay() {
    support::need_root!();
    support::need!("unshare");
    let _watch = watchdog(120);
    let scratch = Scratch::new();
    for fault in Fault::OF_THE_LAYERS {
        let found = first_to_find(fault, 0..CONTROL_HISTORIES, STEPS, &overlay_in(&scratch));
        println!("{fault:?} is found by the history of seed {found:?}");
        assert!(found.is_some(), "{fault:?} is not found");
    }
}

/// What the default number of histories must come to, each at least so often.
const REACHED_MIN: usize = 3;
const REACHED: [&str; 62] = [
    "Create done",
    "Create AlreadyExists",
    "Create IsADirectory",
    "Create FilesystemLoop",
    "Create NotADirectory",
    "Mkdir done",
    "Mkdir AlreadyExists",
    "Mkdir NotFound",
    "Symlink done",
    "Mknod done",
    "Mknod PermissionDenied",
    "Link done",
    "Link AlreadyExists",
    "Link PermissionDenied",
    "Unlink done",
    "Unlink IsADirectory",
    "Unlink NotFound",
    "Rmdir done",
    "Rmdir DirectoryNotEmpty",
    "Rmdir NotADirectory",
    "Rename Plain done",
    "Rename Plain DirectoryNotEmpty",
    "Rename Plain InvalidInput",
    "Rename Plain IsADirectory",
    "Rename Plain NotADirectory",
    "Rename NoReplace done",
    "Rename NoReplace AlreadyExists",
    "Rename Exchange done",
    "Rename Exchange InvalidInput",
    "Rename Exchange NotFound",
    "Rename Whiteout InvalidInput",
    "Write done",
    "Truncate done",
    "Fallocate done",
    "Chmod done",
    "Chmod Unsupported",
    "Chown done",
    "Utimens done",
    "SetXattr done",
    "SetXattr AlreadyExists",
    "SetXattr PermissionDenied",
    "RemoveXattr done",
    "RemoveXattr PermissionDenied",
    "Open done",
    "HeldRead done",
    "HeldRead unlinked",
    "HeldWrite done",
    "HeldWrite unlinked",
    "HeldTruncate unlinked",
    "HeldStat unlinked",
    "Close done",
    "Remount done",
    "layers 0",
    "layers 4",
    "folder Hidden over full directory",
    "folder Merged over full directory",
    "folder Merged over hard link",
    "folder Merged over other",
    "other over full directory",
    "other over hard link",
    "whiteout over full directory",
    "whiteout over hard link",
];

#[test]
fn random_histories_reach_every_case() {
    let tally = Tally::of(0..PLAIN_HISTORIES, STEPS);
    println!("{tally:#?}");
    let missed: Vec<&&str> =
        REACHED.iter().filter(|name| tally.count(name) < REACHED_MIN).collect();
    assert!(missed.is_empty(), "too rare: {missed:?}");
}

/// Each way in which a tree can differ is seen; the model is its own subject here.
#[test]
fn every_field_of_a_tree_is_compared() {
    let ops = [Op::Create { path: p(b"a"), how: Creation::OrOpen, mode: m(0o644) }];
    let mut model = Model::folded(&[], Fault::None);
    model.apply(&ops[0]).unwrap();
    let good = model.snapshot();
    let lies: [(&str, fn(&mut Snapshot)); 13] = [
        ("type", |s| s.entries[1].facts.kind = Kind::Fifo),
        ("mode", |s| s.entries[1].facts.mode = 0o600),
        ("owner", |s| s.entries[1].facts.uid = 1),
        ("group", |s| s.entries[1].facts.gid = 1),
        ("links", |s| s.entries[1].facts.links = 2),
        ("size", |s| s.entries[1].facts.size = 1),
        ("mtime", |s| s.entries[0].mtime = Moment::At(5, 0)),
        ("contents", |s| s.entries[1].contents = String::new()),
        ("attributes", |s| s.entries[1].xattrs.push(("user.x".into(), String::new()))),
        ("one number for two inodes", |s| s.entries[1].number = s.entries[0].number),
        ("a missing path", |s| s.entries.truncate(1)),
        ("a path too much", |s| {
            let twin = Entry { path: p(b"b"), ..s.entries[1].clone() };
            s.entries.push(twin);
        }),
        ("d_ino", |s| s.listed_otherwise.push("a".into())),
    ];
    for (name, lie) in lies {
        let mut shown = good.clone();
        lie(&mut shown);
        let found = Comparison::new(model.rules()).trees(&good, &shown);
        assert!(!found.is_empty(), "{name} is not compared");
    }
    let mut comparison = Comparison::new(model.rules());
    assert_eq!(comparison.trees(&good, &good), [""; 0]);
    let mut renumbered = good.clone();
    renumbered.entries[1].number = 99;
    assert_eq!(comparison.trees(&good, &renumbered).len(), 1, "a number that changes is seen");
}

/// The archives of layers unpack to the trees they stand for. Marks are for image readers, so they are left out here.
#[test]
fn archives_of_layers_unpack_to_their_directories() {
    support::need_root!();
    support::need!("tar");
    let _watch = watchdog(120);
    let scratch = Scratch::new();
    for seed in 0..40 {
        for layer in Case::random(seed, 0).layers {
            unpack_and_compare(&scratch, without_marks(layer));
        }
    }
}

fn without_marks(mut layer: Layer) -> Layer {
    layer.entries.retain(|entry| entry.node != LayerNode::Whiteout);
    for entry in &mut layer.entries {
        if let LayerNode::Folder(below) = &mut entry.node {
            *below = Below::Merged;
        }
    }
    layer
}

fn unpack_and_compare(scratch: &Scratch, layer: Layer) {
    let (file, place) = (scratch.join("layer.tar"), scratch.join("unpacked"));
    std::fs::write(&file, archive(&layer)).unwrap();
    std::fs::create_dir(&place).unwrap();
    let unpacked = Command::new("tar")
        .args([
            "--xattrs",
            "--xattrs-include=*",
            "--numeric-owner",
            "--delay-directory-restore",
            "-xpf",
        ])
        .arg(&file)
        .arg("-C")
        .arg(&place)
        .output()
        .unwrap();
    assert!(unpacked.status.success(), "{}", String::from_utf8_lossy(&unpacked.stderr));
    let mut model = Model::folded(&[layer], Fault::None);
    let mut comparison = Comparison::new(model.rules());
    let found = comparison.trees(&model.snapshot(), &walk::snapshot(&place));
    assert!(found.is_empty(), "{found:#?}");
    std::fs::remove_dir_all(&place).unwrap();
}

/// A long history with a planted fault comes down to the few steps that show it.
#[test]
fn a_failing_history_is_made_small() {
    support::need_root!();
    let _watch = watchdog(120);
    let scratch = Scratch::new();
    let start = plain_in(&scratch);
    let fault = Fault::TruncateKeepsBytes;
    let seed = first_to_find(fault, 0..CONTROL_HISTORIES, STEPS, &start).unwrap();
    let case = Case { tree_every: 1, ..Case::random(seed, STEPS) };
    let small = smallest(case, |case| parted(case, fault, &start).is_err());
    println!("{}", model::code::test(&small));
    assert!(small.ops.len() <= 3, "{} steps are left", small.ops.len());
    assert!(parted(&small, fault, &start).is_err(), "the small case fails too");
    assert!(parted(&small, Fault::None, &start).is_ok(), "and only for the fault");
}

/// The merged tree of an imported image is the fold that kernel overlayfs shows of the same layers.
#[test]
fn merged_trees_of_images_equal_the_fold() {
    let _watch = watchdog(120);
    let scratch = Scratch::new();
    let store = Store::open(&scratch.join("store")).unwrap();
    for seed in 0..OVERLAY_HISTORIES {
        let found = compare_image(&scratch, &store, &Case::random(seed, 0).layers, Fault::None);
        assert!(found.is_empty(), "seed {seed}: {found:#?}");
    }
    for fault in Fault::OF_THE_LAYERS {
        let finds = |seed: &u64| {
            let layers = Case::random(*seed, 0).layers;
            !compare_image(&scratch, &store, &layers, fault).is_empty()
        };
        assert!((0..CONTROL_HISTORIES).any(|seed| finds(&seed)), "{fault:?} is not found");
    }
}

fn compare_image(scratch: &Scratch, store: &Store, layers: &[Layer], fault: Fault) -> Vec<String> {
    let chain = image::import(store, &scratch.join("layout"), layers);
    let mut model = Model::folded(layers, fault);
    let rules = Rules { directory_links: DirectoryLinks::Unspecified, ..model.rules() };
    let shown = image::snapshot(&store.tree(&chain).unwrap());
    Comparison::new(rules).trees(&model.snapshot(), &shown)
}

/// The way from paths to nodes is the kernel's: with the model at its end, it answers as the model does.
#[test]
fn asking_by_nodes_agrees_with_asking_by_paths() {
    let start = |layers: &[Layer]| {
        let model = Model::folded(layers, Fault::None);
        let rules = model.rules();
        ByNode::new(ModelNodes::new(model), rules)
    };
    run(0..OVERLAY_HISTORIES, STEPS, &start);
    for fault in Fault::OF_THE_TREE {
        let found = first_to_find(fault, 0..CONTROL_HISTORIES, STEPS, &start);
        assert!(found.is_some(), "{fault:?} is not found");
    }
}

/// Printed by a failing run and pasted, with another name: a printed history is code.
#[test]
fn an_open_file_without_a_name_has_no_links() {
    use model::words::*;
    support::need_root!();
    let scratch = Scratch::new();
    let start = plain_in(&scratch);
    let case = Case {
        seed: 0,
        layers: vec![Layer {
            entries: vec![
                LayerEntry {
                    path: p(b"c"),
                    node: Folder(Merged),
                    meta: Meta {
                        mode: m(0o644),
                        uid: 0,
                        gid: 0,
                        mtime: (1200000000, 0),
                        xattr: None,
                    },
                },
                LayerEntry {
                    path: p(b"c/\xff\xfeg"),
                    node: Regular(Data { pattern: Pattern { seed: 129, len: 0 }, hole: None }),
                    meta: Meta {
                        mode: m(0o0),
                        uid: 0,
                        gid: 65534,
                        mtime: (1200000000, 0),
                        xattr: Some((UserB, Pattern { seed: 7, len: 20 })),
                    },
                },
            ],
        }],
        ops: vec![
            Open { slot: 1, path: p(b"c/\xff\xfeg"), access: Reading },
            Rename { from: p(b"c"), to: p(b"a"), flag: NoReplace },
            Unlink { path: p(b"a/\xff\xfeg") },
            HeldStat { slot: 1 },
        ],
        tree_every: 1,
    };
    replay(&case, &start);
}
