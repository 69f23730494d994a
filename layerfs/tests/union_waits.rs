//! Who waits while a disk takes its time: the one who asked for it.

#![cfg(feature = "fault")]
#![allow(clippy::unwrap_used, clippy::panic)] // a test that can't go on should fail there

mod kit;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use kit::deeds::Way;
use kit::forms::Form;
use kit::ground::{Ground, Side, leftovers, over_both};
use kit::visit::Visit;
use kit::way::OTHER;
use layerfs_driver::sys::fault::{Plan, with_plan};
use layerfs_driver::union::{NewNode, OpenHow, RenameHow, SetAttr, Union};
use support::{Scratch, need_root, watchdog};

/// Does `slow` on a disk that takes its time for the first call of that name, and `other` meanwhile; whether that came to its
/// end by then.
fn meanwhile(call: &str, slow: impl FnOnce() + Send, other: impl FnOnce() + Send) -> bool {
    let gate = Arc::new(Barrier::new(2));
    let plan = Plan::Halt { n: 1, call: Some(call.into()), gate: Arc::clone(&gate) };
    let (done, is_done) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || assert!(with_plan(plan, slow).1.fired));
        gate.wait();
        scope.spawn(move || {
            other();
            done.send(()).unwrap();
        });
        let is_done = is_done.recv_timeout(Duration::from_secs(10)).is_ok();
        gate.wait();
        is_done
    })
}

fn look(union: &Union, visit: &Visit<'_>) {
    for path in ["moved/plain", "small", "x/one"] {
        union.attr(visit.walk(path).unwrap().id).unwrap();
    }
}

#[test]
fn a_sync_of_a_directory_keeps_no_rename_waiting() {
    need_root!();
    let _watch = watchdog(120);
    over_both(|union, visit| {
        visit.write("d/e/f/deep", b"written").unwrap();
        let deep = visit.walk("d/e/f").unwrap().id;
        let rename = || {
            let visit = Visit::new(union);
            visit.rename("d", "moved", RenameHow::Replace).unwrap();
            look(union, &visit);
        };
        let sync = || union.sync_dir(deep).unwrap();
        assert!(meanwhile("fsync", sync, rename), "a rename waited for a sync");
    });
}

/// A file stands for it, which has its target on the disk before it has its name.
#[test]
fn a_link_that_is_made_where_owners_are_recorded_keeps_no_rename_waiting() {
    need_root!();
    let _watch = watchdog(120);
    let scratch = Scratch::new();
    let ground = Ground::new(scratch.path(), Side::Image);
    let union = ground.mount_as(&scratch.join("place"), Form::Recorded);
    let link = || Way(&union).make("d/e/link", NewNode::Symlink(b"target"), OTHER).unwrap();
    let rename = || Visit::new(&union).rename("d", "moved", RenameHow::Replace).unwrap();
    assert!(meanwhile("fsync", link, rename), "a rename waited for a link");
    let made = Way(&union).walk("moved/e/link").unwrap().id;
    assert_eq!(*union.read_link(made).unwrap(), *b"target");
    assert!(Way(&union).make("moved/e/link", NewNode::Symlink(b"other"), OTHER).is_err());
    assert_eq!(leftovers(&scratch.join("place")), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_large_file_that_is_cut_keeps_no_rename_waiting() {
    need_root!();
    let _watch = watchdog(120);
    let size = |size| SetAttr { size: Some(size), ..SetAttr::default() };
    over_both(|union, visit| {
        visit.write("d/e/f/deep", b"written").unwrap();
        visit.write("big", b"written").unwrap();
        let deep = visit.walk("d/e/f/deep").unwrap().id;
        let rename = |from: &'static str, to: &'static str| {
            move || Visit::new(union).rename(from, to, RenameHow::Replace).unwrap()
        };
        let cut = || assert_eq!(union.set_attr(deep, &size(5)).unwrap().size, 5);
        assert!(meanwhile("ftruncate", cut, rename("d", "moved")), "a rename waited for a cut");
        let empty = || {
            let visit = Visit::new(union);
            union.release(visit.open("big", OpenHow::Truncate).unwrap());
        };
        assert!(meanwhile("ftruncate", empty, rename("moved", "d")), "a rename waited for an open");
        assert_eq!(visit.read("d/e/f/deep").unwrap(), b"writt");
        assert_eq!(visit.read("big").unwrap(), b"");
    });
}

#[test]
fn a_sync_waits_for_no_copy_of_the_file() {
    need_root!();
    let _watch = watchdog(120);
    over_both(|union, visit| {
        let handle = visit.open("big", OpenHow::Read).unwrap();
        let copy = || Visit::new(union).write("big", b"written").unwrap();
        assert!(
            meanwhile("fsync", copy, || union.sync(handle).unwrap()),
            "a sync waited for a copy"
        );
        union.sync(handle).unwrap();
        union.release(handle);
    });
}
