//! Holes are seen, kept by copy-up, filled and made; files may be larger than 4 GiB.

use crate::support::{need, need_root, watchdog};
use crate::trees::{self, Disk, Import, Like, Trees, compare, compare_left};

const SCRIPT: &str = "posix_files/sparse.py";

fn same(cases: &[&str]) {
    compare(Disk::Ext4, SCRIPT, cases, Like::Plain, &[]);
}

#[test]
fn holes_are_seen_and_kept_by_a_copy_up() {
    same(&["seen"]);
}

/// To import it its ten gibibytes of zeros are hashed, which takes the most of the time.
#[test]
fn a_hole_of_10_gib_is_copied_up_as_a_hole() {
    need_root!();
    need!("python3", "tar", "mount");
    let _watch = watchdog(240);
    let Some(disk) = trees::disk(Disk::Ext4, 512) else { return };
    let trees = Trees::on(disk, "posix_files/huge.py", &["copied"], Import::SparseArchive);
    trees.compare("copied", Like::Plain, &[]);
    trees.end();
}

#[test]
fn holes_are_filled_and_made() {
    same(&["changed"]);
}

#[test]
fn holes_of_a_file_whose_data_was_left_in_the_lower_are_seen_kept_filled_and_made() {
    compare_left(Disk::Ext4, SCRIPT, &["seen", "changed", "copied"], Like::Plain, &[]);
}

#[test]
fn files_are_larger_than_4_gib() {
    same(&["large"]);
}

#[test]
fn copies_within_the_kernel_go_between_lower_and_upper_files() {
    same(&["copied"]);
    compare(Disk::Btrfs, SCRIPT, &["copied"], Like::Plain, &[]);
}
