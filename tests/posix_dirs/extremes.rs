//! The longest names and paths, and directories of very many entries.

use crate::support::peer;
use crate::support::suites::figures;
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

/// Each of the two ways on one of our mounts; with `LAYERFS_SOAK=1` on both, and of a hundred thousand entries.
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
    let count = if soak() { 100_000 } else { 20_000 };
    let (stat, distinct) = (format!("stat: {count}"), format!("distinct: {count}"));
    let expected = [
        &*stat,
        &distinct,
        "listed: True",
        "renamed: None",
        "half: True",
        "none: []",
        "removed: None",
    ];
    let has = |said: &[String], line: &str| said.iter().any(|said| said == line);
    let ways = [
        ("merged", "directories"),
        ("upper", "image"),
        ("merged", "image"),
        ("upper", "directories"),
    ];
    for (case, tree) in if figures() { &ways[..] } else { &ways[..2] } {
        let said = trees.said(case, &trees.at(tree).join(case));
        for line in expected {
            assert!(has(&said, line), "{case} on {tree}: no `{line}`: {said:?}");
        }
    }
    for case in if figures() { &["merged", "upper"][..] } else { &[] } {
        let kernel = trees.said(case, &trees.at("kernel").join(case));
        let right = |said: &[String]| expected.iter().filter(|line| has(said, line)).count();
        let mut counts = vec![
            ("kernel overlayfs", right(&kernel)),
            ("layerfs image", expected.len()),
            ("layerfs directories", expected.len()),
        ];
        counts.extend(trees.peer_said(case).map(|said| (peer::NAME, right(&said))));
        peer::beside(format_args!("{count} entries, {case}"), expected.len(), &counts);
    }
    trees.end();
}
