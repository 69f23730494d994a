//! Histories that once parted the union from the model, as small as they get.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test that can't go on should fail there

mod model;
#[path = "../../tests/support/mod.rs"]
mod support;

use layerfs_driver::upper::{Partial, Whiteouts};
use model::union_ground::{Ground, Lowers};
use model::union_nodes::Memory;
use model::words::*;
use support::{Scratch, watchdog};

/// Replays over both kinds of lower, with a kernel that remembers and one that forgets.
fn replay_everywhere(scratch: &Scratch, layers: Vec<LayerEntry>, ops: Vec<model::ops::Op>) {
    let layers = if layers.is_empty() { vec![] } else { vec![Layer { entries: layers }] };
    // A look at the tree is a lookup of every name, and changes what is known: it comes at the end only.
    let case = Case { seed: 0, layers, ops, tree_every: usize::MAX };
    for lowers in [Lowers::Image, Lowers::Directories] {
        for memory in [Memory::Long, Memory::Short] {
            println!("{lowers:?}, {memory:?}");
            let place = scratch.path().to_owned();
            replay(
                &case,
                &Ground {
                    place,
                    lowers,
                    memory,
                    whiteouts: Whiteouts::Auto,
                    partial: Partial::Never,
                },
            );
        }
    }
}

fn meta() -> Meta {
    Meta { mode: m(0o755), uid: 0, gid: 0, mtime: (1_200_000_000, 0), xattr: None }
}

fn folder(path: &[u8]) -> LayerEntry {
    LayerEntry { path: p(path), node: Folder(Merged), meta: meta() }
}

fn regular(path: &[u8]) -> LayerEntry {
    let data = Data { pattern: Pattern { seed: 32, len: 4096 }, hole: None };
    LayerEntry { path: p(path), node: Regular(data), meta: meta() }
}

fn name_of(path: &[u8], first: &[u8]) -> LayerEntry {
    LayerEntry { path: p(path), node: Name(p(first)), meta: meta() }
}

#[test]
fn closing_what_was_unlinked_keeps_the_count_of_names_that_nobody_looked_up() {
    support::need_root!();
    let _watch = watchdog(120);
    let layers = vec![regular(b"a"), name_of(b"b", b"a")];
    let ops = vec![
        Open { slot: 0, path: p(b"b"), access: Reading },
        Unlink { path: p(b"b") },
        Close { slot: 0 },
    ];
    replay_everywhere(&Scratch::new(), layers, ops);
}

#[test]
fn an_open_copy_stays_itself_when_another_name_of_its_group_is_looked_up() {
    support::need_root!();
    let _watch = watchdog(120);
    let layers = vec![regular(b"a"), name_of(b"b", b"a")];
    let ops = vec![
        Chown { path: p(b"a"), uid: None, gid: None },
        Open { slot: 0, path: p(b"a"), access: Appending },
        Unlink { path: p(b"b") },
        Unlink { path: p(b"a") },
        HeldWrite { slot: 0, offset: 4095, data: Pattern { seed: 74, len: 70000 } },
        HeldStat { slot: 0 },
    ];
    replay_everywhere(&Scratch::new(), layers, ops);
}

#[test]
fn directories_that_change_places_on_xfs_keep_their_times() {
    support::need_root!();
    support::need!("mkfs.xfs");
    if !support::rights::have_loop_devices() {
        return;
    }
    let _watch = watchdog(120);
    let layers = vec![folder(b"a"), folder(b"a/b"), folder(b"a/b/c"), folder(b"d")];
    let ops = vec![
        Rename { from: p(b"a/b/c"), to: p(b"d/b"), flag: Plain },
        Rename { from: p(b"a/b"), to: p(b"d/b"), flag: Exchange },
    ];
    replay_everywhere(&Scratch::xfs(300), layers, ops);
}

#[test]
fn a_directory_that_moves_over_a_whiteout_on_xfs_keeps_its_times() {
    support::need_root!();
    support::need!("mkfs.xfs");
    if !support::rights::have_loop_devices() {
        return;
    }
    let _watch = watchdog(120);
    let layers = vec![folder(b"a"), folder(b"b"), regular(b"b/c")];
    let ops =
        vec![Unlink { path: p(b"b/c") }, Rename { from: p(b"a"), to: p(b"b/c"), flag: Plain }];
    replay_everywhere(&Scratch::xfs(300), layers, ops);
}
