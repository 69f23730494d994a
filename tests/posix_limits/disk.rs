//! What a disk and a caller's limits refuse.

use crate::support::{need, need_root, watchdog};
use crate::trees::{self, Disk, Import, Like, Trees, compare};

const SCRIPT: &str = "posix_limits/limits.py";

#[test]
fn the_figures_of_a_mount_are_those_of_its_disk() {
    compare(Disk::Ext4, SCRIPT, &["figures"], Like::Plain, &[]);
}

#[test]
fn a_limit_of_sizes_is_the_callers() {
    compare(Disk::Ext4, SCRIPT, &["fsize"], Like::Plain, &[]);
}

/// Kernel overlayfs is not asked: on 6.18 the copy-up of such a caller goes round in the kernel for ever.
#[test]
fn a_file_that_is_larger_than_its_callers_limit_is_copied_up() {
    let _watch = watchdog(240);
    let Some(trees) = Trees::new(Disk::Ext4, SCRIPT, &["larger"]) else { return };
    let [plain, image, directories] = ["plain", "image", "directories"]
        .map(|tree| trees.said("larger", &trees.at(tree).join("larger")));
    assert_eq!((&image, &directories), (&plain, &plain));
    trees.end();
}

/// As on kernel overlayfs, since a plain directory has nothing to copy.
#[test]
fn a_full_disk_refuses_with_the_file_as_it_was() {
    on_a_full_disk(Disk::Ext4, 96, Like::PlainOrKernel);
}

/// A copy that shares its blocks with the lower takes none.
#[test]
fn a_full_btrfs_refuses_no_more_than_in_a_plain_directory() {
    on_a_full_disk(Disk::Btrfs, 256, Like::Plain);
}

fn on_a_full_disk(kind: Disk, size_mib: u32, like: Like) {
    need_root!();
    need!("python3", "mount");
    let _watch = watchdog(240);
    let Some(disk) = trees::disk(kind, size_mib) else { return };
    let trees = Trees::on(disk, SCRIPT, &["full"], Import::Directory);
    trees.compare("full", like, &[]);
    for work in ["work", "image-upper.work"] {
        let left = std::fs::read_dir(trees.at(work)).unwrap().flatten();
        let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
        assert!(left.iter().all(|name| name == "work" || name == "layerfs"), "{work}: {left:?}");
    }
    trees.end();
}
