//! What a disk refuses to hold: a change is made whole or not at all, and nothing of one that failed is left.

use crate::support::{Scratch, need, need_root, rights, watchdog};
use crate::trees::{self, Disk, Import, Like, Trees};

const SCRIPT: &str = "posix_limits/refused.py";
/// Many small requests: on a machine that does much else they take their time.
const LIMIT_S: u64 = 600;

/// Runs a case, and looks at what is left of it, before and after a remount.
fn same(disk: Scratch, import: Import, case: &str, like: Like) {
    let trees = Trees::on(disk, SCRIPT, &[case], import);
    trees.compare(case, like, &[]);
    trees.assert_swept();
    let kept =
        || ["image", "directories"].map(|tree| trees.said("kept", &trees.at(tree).join(case)));
    let before = kept();
    trees.remount();
    trees.assert_swept();
    assert_eq!(kept(), before, "after a remount");
    trees.end();
}

/// A lower in memory has attributes of 40 KiB, and ext4 none of more than 4.
#[test]
fn a_copy_whose_attributes_the_disk_can_not_have_is_not_made() {
    need_root!();
    need!("python3", "mount");
    let _watch = watchdog(LIMIT_S);
    let Some(disk) = trees::disk(Disk::Ext4, 256) else { return };
    same(disk, Import::Memory, "refused", Like::Kernel);
}

#[test]
fn a_disk_without_inodes_refuses_with_the_tree_as_it_was() {
    need_root!();
    need!("python3", "mount");
    let _watch = watchdog(LIMIT_S);
    if !rights::have_loop_devices() || !rights::have(&["mkfs.ext4"]) {
        return;
    }
    same(Scratch::ext4_of_inodes(64, 2048), Import::Directory, "inodes", Like::PlainOrKernel);
}
