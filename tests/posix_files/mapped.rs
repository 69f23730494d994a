//! Mappings, running programs, and writers that go round the cache or append.

use crate::trees::{Disk, Like, compare, compare_left};

const SCRIPT: &str = "posix_files/mapped.py";

fn same(cases: &[&str]) {
    compare(Disk::Ext4, SCRIPT, cases, Like::Plain, &[]);
}

#[test]
fn mappings_of_before_and_after_a_copy_up_are_one_memory() {
    same(&["shared", "private", "synced", "dropped"]);
}

#[test]
fn mappings_of_before_and_after_data_is_fetched_from_the_lower_are_one_memory() {
    let cases = ["shared", "private", "synced", "dropped", "past_the_end", "direct", "append"];
    compare_left(Disk::Ext4, SCRIPT, &cases, Like::Plain, &[]);
}

#[test]
fn a_page_beyond_the_end_is_a_bus_error() {
    same(&["past_the_end"]);
}

#[test]
fn a_running_program_is_not_written_and_a_written_one_does_not_run() {
    same(&["running"]);
}

#[test]
fn a_running_program_is_not_emptied_by_who_only_reads() {
    same(&["emptied_while_running"]);
}

#[test]
fn reads_and_writes_round_the_cache_are_those_of_the_cache() {
    same(&["direct", "direct_odd"]);
}

#[test]
fn no_line_of_those_who_append_at_once_is_lost() {
    same(&["append"]);
}

#[test]
fn a_file_without_a_name_is_one_until_it_is_named() {
    same(&["nameless"]);
}
