//! Locks that are held while their file is copied up, and wanted by another process that opens it later.

use crate::trees::{Disk, Like, compare};

const SCRIPT: &str = "posix_files/locks.py";

#[test]
fn locks_are_held_across_a_copy_up() {
    compare(Disk::Memory, SCRIPT, &["flock", "record", "ofd", "unlinked"], Like::Plain, &[]);
}

#[test]
fn leases_are_held_across_a_copy_up() {
    compare(Disk::Memory, SCRIPT, &["lease"], Like::Plain, &[]);
}
