//! The longest names and paths, and directories of very many entries.

use crate::support::{need, need_root, soak, watchdog};
use crate::trees::{self, Disk, Import, Like, Trees, compare};

#[test]
fn names_of_255_bytes_are_names_like_others() {
    compare(Disk::Ext4, "posix_dirs/extremes.py", &["names"], Like::Plain, &[]);
}

#[test]
fn paths_longer_than_any_call_takes_are_reached_by_steps() {
    compare(Disk::Ext4, "posix_dirs/extremes.py", &["deep"], Like::Plain, &[]);
}

/// Each of the two ways on one of our mounts; with `LAYERFS_SOAK=1` on both, and a hundred thousand.
#[test]
fn a_directory_of_very_many_entries_is_made_listed_and_emptied() {
    need_root!();
    need!("python3", "mount");
    let _watch = watchdog(if soak() { 1200 } else { 300 });
    let trees = Trees::on(
        trees::disk(Disk::Memory, 0).unwrap(),
        "posix_dirs/many.py",
        &["merged", "upper"],
        Import::Directory,
    );
    let expected = |count: usize| {
        let all = ["listed: True", "renamed: None", "half: True", "none: []", "removed: None"];
        (format!("stat: {count}"), format!("distinct: {count}"), all)
    };
    let ways = [
        ("merged", "directories"),
        ("upper", "image"),
        ("merged", "image"),
        ("upper", "directories"),
    ];
    for (case, tree) in if soak() { &ways[..] } else { &ways[..2] } {
        let said = trees.said(case, &trees.at(tree).join(case));
        let (stat, distinct, all) = expected(if soak() { 100_000 } else { 20_000 });
        for line in all.into_iter().chain([&*stat, &*distinct]) {
            assert!(
                said.iter().any(|said| said == line),
                "{case} on {tree}: no `{line}`: {said:?}"
            );
        }
    }
    trees.end();
}
