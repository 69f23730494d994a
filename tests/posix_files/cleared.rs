//! Set-id bits, the sticky bit and capabilities: which calls take them away, of whom, and who sees it.

use crate::support::watchdog;
use crate::trees::{Disk, Like, Trees, compare, compare_cached};

const SCRIPT: &str = "posix_files/cleared.py";

#[test]
fn set_id_bits_and_capabilities_go_exactly_when_the_kernel_takes_them() {
    // Many small requests: on a machine that does much else they take their time.
    let _watch = watchdog(600);
    let Some(trees) = Trees::new(Disk::Memory, SCRIPT, &["cleared"]) else { return };
    trees.compare("cleared", Like::Plain, &[]);
    trees.remount();
    let kept = |tree| trees.said("kept", &trees.at(tree).join("cleared"));
    let plain = kept("plain");
    for tree in ["image", "directories"] {
        for (ours, plain) in kept(tree).iter().zip(&plain) {
            assert_eq!(ours, plain, "{tree} after a remount");
        }
    }
    trees.end();
}

/// The kernel keeps the set-id bits of the first, since root writes it, and the capability of the second, of which it refuses
/// to take the set-id bits.
const GONE: [(&str, &str); 4] = [
    ("write lower: ", "7 755/0:0/100/0"),
    ("write new: ", "7 755/0:0/100/0"),
    ("fchown lower: ", "EPERM 6755/0:0/100/0"),
    ("fchown new: ", "EPERM 6755/0:0/100/0"),
];

#[test]
fn capabilities_go_with_set_id_bits_and_with_what_is_refused() {
    compare(Disk::Memory, SCRIPT, &["apart"], Like::Plain, &GONE);
}

#[test]
fn capabilities_go_with_stores_that_come_as_writes() {
    let stores = [("store lower: ", "None 755/0:0/100/0"), ("store new: ", "None 755/0:0/100/0")];
    let gone = [&GONE[..], &stores].concat();
    compare_cached(Disk::Memory, SCRIPT, &["apart"], Like::Plain, &gone);
}

/// What the kernel writes itself in the other test it asks of us here.
#[test]
fn set_id_bits_and_capabilities_go_as_well_where_the_server_writes() {
    compare_cached(Disk::Memory, SCRIPT, &["cleared"], Like::Plain, &[]);
}
