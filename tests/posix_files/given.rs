//! Lower files that the kernel reads itself: no copy-up reaches who has one open, and nothing ever writes a layer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::{rights, watchdog};
use crate::trees::{self, Differs, Disk, Import, Like, Trees};

const SCRIPT: &str = "posix_files/given.py";

/// What is read of a layer, first and throughout.
const OLD: &str = "b'\\x7fELFold.'";

/// Compares with a plain directory, and the bytes of the layers with those of before.
fn compare(cases: &[&str], differs: Differs<'_>) {
    let _watch = watchdog(240);
    if !rights::have_root() || !rights::have(&["python3", "mount"]) || !rights::have_given_files() {
        return;
    }
    let Some(disk) = trees::disk(Disk::Ext4, 512) else { return };
    let trees = Trees::on(disk, SCRIPT, cases, Import::Directory);
    let before = layers(&trees);
    assert!(before.len() > 10, "the layers are looked at: {before:?}");
    for case in cases {
        trees.compare(case, Like::Plain, differs);
    }
    for (file, bytes) in layers(&trees) {
        assert!(before.get(&file) == Some(&bytes), "{}: a layer was written", file.display());
    }
    trees.end();
}

/// The bytes of each file of the layers, and of the objects of the store.
fn layers(trees: &Trees) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for dir in ["lower", "store/objects"] {
        read_below(&trees.at(dir), &mut found);
    }
    found
}

fn read_below(dir: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            read_below(&path, found);
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
}

/// Who holds the layer's file goes on reading it; whoever opens it afterwards, by any of its names, has what it is now.
#[test]
fn whatever_is_done_to_a_file_whose_layer_is_read_by_the_kernel_the_layer_stays() {
    let mut differs = Vec::new();
    for held in ["reader", "mapping", "both"] {
        for kind in ["", "-linked"] {
            let mut old = |deed: &str, what: &str, answer: &str| {
                differs.push((format!("old {held} {deed}{kind} {what}: "), answer.to_owned()));
            };
            for deed in ["write", "store", "mode_and_write", "empty", "empty_by_name", "cut"] {
                old(deed, "reads", &format!("(True, {OLD})"));
                old(deed, "maps", OLD);
                old(deed, "hole", "12288");
            }
            old("append", "hole", "12288");
        }
    }
    let differs: Vec<_> = differs.iter().map(|(begin, rest)| (&**begin, &**rest)).collect();
    compare(&["transitions"], &differs);
}

#[test]
fn programs_are_read_by_the_kernel_and_other_files_by_the_server() {
    compare(&["chosen"], &[]);
}

#[test]
fn what_the_server_has_read_is_kept_and_what_may_be_old_is_not() {
    compare(&["kept"], &[("old by the kernel: ", OLD)]);
}

#[test]
fn who_was_sent_to_another_inode_goes_on_there_until_all_have_let_go() {
    let old = ["old 0 first reads: ", "old 1 first reads: ", "old 2 first reads: "];
    compare(&["twice"], &old.map(|begin| (begin, "b'\\x7fELFol'")));
}

#[test]
fn every_name_leads_to_the_inode_that_is_written() {
    compare(&["names"], &[]);
}

/// Locks and watches are of the inode that they were asked for, and there is no other way to it than its descriptors.
#[test]
fn what_descriptors_of_the_layer_do_not_share_with_later_ones() {
    let differs = [
        ("old lock keeps others away: ", "None"),
        ("old watch sees a write: ", "False"),
        ("old opened again to read: ", "ESTALE"),
        ("old opened again to write: ", "ESTALE"),
    ];
    compare(&["exceptions"], &differs);
}

#[test]
fn a_program_that_runs_from_the_layer_is_not_written_after_its_copy_up() {
    compare(&["running"], &[]);
}

/// But for those who hold the layer's file, who go on reading it, random histories are those of a plain directory.
#[test]
fn histories_of_files_whose_layer_is_read_by_the_kernel_leave_the_layer_as_it_is() {
    compare(&["histories"], &[]);
}
