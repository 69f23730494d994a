//! Descriptors that were opened before their file was copied up, unlinked, renamed or replaced.

use crate::support::{need, need_root, watchdog};
use crate::trees::{self, Disk, Import, Like, Trees, compare, compare_left};

const SCRIPT: &str = "posix_files/open.py";

fn same(cases: &[&str]) {
    compare(Disk::Ext4, SCRIPT, cases, Like::Plain, &[]);
}

#[test]
fn every_call_works_on_a_descriptor() {
    same(&["nothing"]);
}

#[test]
fn every_call_works_on_a_descriptor_of_before_a_copy_up() {
    same(&["mode", "writer", "emptied"]);
}

#[test]
fn every_call_works_on_a_descriptor_of_a_file_whose_data_was_left_in_the_lower() {
    let cases = ["nothing", "mode", "writer", "emptied", "unlinked", "copied_and_unlinked", "anew"];
    compare_left(Disk::Ext4, SCRIPT, &cases, Like::Plain, &[]);
    let cases = ["renamed", "renamed_over", "replaced", "directory_renamed", "readers_see"];
    compare_left(Disk::Ext4, SCRIPT, &cases, Like::Plain, &[]);
}

#[test]
fn every_call_works_on_a_descriptor_of_before_an_unlink() {
    same(&["unlinked", "copied_and_unlinked", "anew"]);
}

#[test]
fn every_call_works_on_a_descriptor_of_before_a_rename() {
    same(&["renamed", "renamed_over", "replaced", "directory_renamed"]);
}

#[test]
fn a_descriptor_of_a_directory_is_that_directory_whatever_its_name() {
    // Nothing is kept of a removed directory but what `stat` says.
    let gone = [
        ("attribute of what is gone: ", "ENOENT"),
        ("attribute given to what is gone: ", "ENOENT"),
        ("attributes of what is gone: ", "ENOENT"),
    ];
    compare(Disk::Ext4, SCRIPT, &["directory_held"], Like::Plain, &gone);
}

#[test]
fn a_reader_and_a_mapping_of_before_a_copy_up_see_what_is_written_after_it() {
    same(&["readers_see"]);
}

/// But for the contents of what was unlinked and is open nowhere: they went with its name, or with its last close.
#[test]
fn a_descriptor_that_only_holds_a_place_reaches_its_file() {
    let gone = [
        ("place unlinked setxattr: ", "ENOENT"),
        ("place unlinked truncate: ", "ENOENT"),
        ("place unlinked mode: ", "('0o100640', 0, 10000, 0, 0)"),
        ("place-new unlinked getxattr: ", "ENOENT"),
        ("place-new unlinked open: ", "ESTALE"),
        ("place-new unlinked open for writing: ", "ESTALE"),
        ("place-new unlinked setxattr: ", "ENOENT"),
        ("place-new unlinked truncate: ", "ENOENT"),
        ("place-new unlinked mode: ", "('0o100640', 0, 10000, 0, 0)"),
    ];
    compare(Disk::Ext4, SCRIPT, &["places"], Like::Plain, &gone);
}

/// What a FUSE file system is not asked, or has no answer for: programs fall back to what they do elsewhere.
#[test]
fn flags_extents_clones_and_moments_of_birth_are_not_had() {
    let both = |what: &str| [format!("lower {what}: "), format!("upper {what}: ")];
    let flags = ["flags", "set flags", "project"].iter().flat_map(|what| both(what));
    let flags: Vec<_> = flags.collect();
    let rest = [both("extents"), both("clone"), both("birth")].concat();
    let mut differs: Vec<_> = flags.iter().map(|begin| (&**begin, "ENOTTY")).collect();
    differs.extend(rest[..4].iter().map(|begin| (&**begin, "ENOTSUP")));
    differs.extend(rest[4..].iter().map(|begin| (&**begin, "False")));
    let (script, cases) = ("posix_files/beyond.py", ["beyond"]);
    need_root!();
    need!("python3", "mount");
    let _watch = watchdog(240);
    let Some(disk) = trees::disk(Disk::Xfs, 512) else { return };
    let trees = Trees::on(disk, script, &cases, Import::Directory);
    trees.compare("beyond", Like::Plain, &differs);
    trees.end();
}
