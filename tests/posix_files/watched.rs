//! Who follows or watches a file goes on when it is copied up.

use crate::trees::{Disk, Like, compare};

const SCRIPT: &str = "posix_files/watched.py";

#[test]
fn tail_follows_a_file_across_its_copy_up() {
    compare(
        Disk::Memory,
        SCRIPT,
        &["polled", "notified", "followed_by_name", "rotated"],
        Like::Plain,
        &[],
    );
}

#[test]
fn watches_see_what_is_done_to_a_file_across_its_copy_up() {
    compare(Disk::Ext4, SCRIPT, &["watched"], Like::Plain, &[]);
}
