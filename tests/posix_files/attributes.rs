//! Extended attributes: every name, size and kind, on objects of every type.

use std::process::Command;

use crate::support::{need, need_root, watchdog};
use crate::trees::{self, Disk, Import, Like, Trees, compare, ran};

const SCRIPT: &str = "posix_files/attributes.py";

#[test]
fn attributes_of_every_name_are_those_of_a_plain_directory() {
    compare(Disk::Ext4, SCRIPT, &["names"], Like::Plain, &[]);
}

#[test]
fn attributes_of_every_size_go_into_every_buffer_as_in_a_plain_directory() {
    compare(Disk::Ext4, SCRIPT, &["sizes"], Like::Plain, &[]);
}

#[test]
fn attributes_are_as_long_as_the_disk_takes_them() {
    for disk in [Disk::Memory, Disk::Xfs, Disk::Btrfs] {
        compare(disk, SCRIPT, &["large"], Like::Plain, &[]);
    }
}

#[test]
fn an_attribute_that_does_not_fit_leaves_what_was_there() {
    compare(Disk::Ext4, SCRIPT, &["full"], Like::Plain, &[]);
}

#[test]
fn users_have_the_attributes_that_they_have_in_a_plain_directory() {
    compare(Disk::Ext4, SCRIPT, &["users"], Like::Plain, &[]);
}

/// Of the longest name and the longest value that there can be, of very many, and of none.
#[test]
fn attributes_of_an_images_layers_are_whole() {
    need_root!();
    need!("python3", "mount");
    let _watch = watchdog(240);
    let Some(disk) = trees::disk(Disk::Xfs, 512) else { return };
    let trees = Trees::on(disk, SCRIPT, &[], Import::Directory);
    trees.said("archive", trees.at("").as_path());
    trees.layerfs(&["import", "root.tar", "packed:1"]);
    std::fs::create_dir(trees.at("packed")).unwrap();
    trees.layerfs(&["mount", "packed:1", "packed"]);
    let expected = trees.said("packed", trees.at("").as_path());
    for when in ["lower", "copied up"] {
        let mut shown = trees.said("shown", &trees.at("packed"));
        assert_eq!(shown, expected, "{when}");
        shown.clear();
        ran(Command::new("find").arg(trees.at("packed")).args(["-exec", "touch", "-h", "{}", "+"]));
    }
    trees.layerfs(&["umount", "packed"]);
    trees.end();
}
