//! Listings while their directory changes.

use crate::trees::{Disk, Like, compare};

const SCRIPT: &str = "posix_dirs/listed.py";

#[test]
fn a_listing_gives_what_stands_once_whatever_happens_to_the_rest() {
    compare(Disk::Ext4, SCRIPT, &["changing", "emptied"], Like::Plain, &[]);
}

#[test]
fn every_cookie_goes_on_where_it_was_given() {
    compare(Disk::Ext4, SCRIPT, &["cookies", "by_library"], Like::Plain, &[]);
}
