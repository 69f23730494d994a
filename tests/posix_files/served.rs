//! Who serves an open file changes, and nobody can tell.

use crate::trees::{Disk, Like, compare, compare_cached};

const SCRIPT: &str = "posix_files/served.py";

#[test]
fn histories_of_open_files_are_those_of_a_plain_directory() {
    compare(Disk::Ext4, SCRIPT, &["histories"], Like::Plain, &[]);
}

#[test]
fn histories_of_open_files_are_the_same_where_only_the_server_reads_and_writes() {
    compare_cached(Disk::Ext4, SCRIPT, &["histories"], Like::Plain, &[]);
}

#[test]
fn a_store_through_a_mapping_shows_in_the_times() {
    compare(Disk::Ext4, SCRIPT, &["stored"], Like::Plain, &[]);
}

#[test]
fn a_mapping_that_outlives_its_descriptor_shows_in_the_times() {
    compare(Disk::Ext4, SCRIPT, &["outlived"], Like::Plain, &[]);
}

#[test]
fn flags_of_a_descriptor_can_be_taken_back() {
    compare(Disk::Ext4, SCRIPT, &["flags"], Like::Plain, &[]);
}
