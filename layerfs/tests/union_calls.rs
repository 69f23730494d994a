//! What operations cost: the calls of the kernel that each makes over directories, where every look at the lower is three.

#![cfg(feature = "fault")]
#![allow(clippy::unwrap_used, clippy::panic)] // a test that can't go on should fail there

mod kit;
#[path = "../../tests/support/mod.rs"]
mod support;

use kit::ground;
use kit::visit::Visit;
use layerfs_driver::sys::Errno;
use layerfs_driver::sys::fault::{Plan, with_plan};
use layerfs_driver::tree::Name;
use layerfs_driver::union::{Caller, Copies, NewNode, NodeId, SetAttr, Touches, Union};
use support::{Scratch, watchdog};

/// The fault points that a deed passes; a descriptor that is closed is none.
fn points<T>(deed: impl FnOnce() -> T) -> u64 {
    with_plan(Plan::Count, deed).1.points
}

/// A directory of both sides, with `lower0` to `lower9` and `upper0` to `upper9`.
fn merged(check: impl Fn(&Union, &Visit<'_>)) {
    support::need_root!();
    let _watch = watchdog(120);
    let scratch = Scratch::new();
    let low = scratch.join("low");
    std::fs::create_dir_all(low.join("d")).unwrap();
    for number in 0..10 {
        std::fs::write(low.join(format!("d/lower{number}")), "x").unwrap();
    }
    let union = ground::joined(ground::lower_of(&[low]), &scratch.join("place"));
    let visit = Visit::new(&union);
    for number in 0..10 {
        visit.make(&format!("d/upper{number}"), NewNode::File).unwrap();
        visit.write(&format!("d/upper{number}"), b"x").unwrap();
    }
    // The first whiteout makes the device that the others are links to.
    visit.unlink("d/lower9").unwrap();
    check(&union, &visit);
}

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

/// The index of hard links, which there is as soon as one was copied up, costs a copy one look, where it has none.
#[test]
fn the_index_is_asked_once_when_a_copy_is_looked_up() {
    support::need_root!();
    let _watch = watchdog(120);
    let scratch = Scratch::new();
    let low = scratch.join("low");
    std::fs::create_dir(&low).unwrap();
    for name in ["copied", "one"] {
        std::fs::write(low.join(name), "x").unwrap();
    }
    std::fs::hard_link(low.join("one"), low.join("two")).unwrap();
    let mounted =
        || ground::joined(ground::lower_of(std::slice::from_ref(&low)), &scratch.join("place"));
    let cost = |name_looked: &str| {
        let union = mounted();
        // The directory is open.
        assert!(union.lookup(NodeId::ROOT, &name("absent")).is_err());
        points(|| union.lookup(NodeId::ROOT, &name(name_looked)).unwrap())
    };
    Visit::new(&mounted()).write("copied", b"y").unwrap();
    let without_index = cost("copied");
    Visit::new(&mounted()).write("one", b"y").unwrap();
    assert_eq!(cost("copied"), without_index + 1);
    // And its count, which is shown too.
    let of_group = cost("one");
    assert!(of_group <= without_index + 5, "{of_group} calls, {without_index} without a group");
}

#[test]
fn a_name_is_looked_at_once_for_a_lookup_or_a_removal() {
    merged(|union, visit| {
        let dir = visit.walk("d").unwrap().id;
        // The upper has nothing; the lower is opened, looked at and asked for a mark.
        let cost = points(|| union.lookup(dir, &name("lower1")).unwrap());
        assert!(cost <= 4, "{cost} calls to look up a lower file");
        // The same, and the link.
        let cost = points(|| union.unlink(dir, &name("lower1")).unwrap());
        assert!(cost <= 5, "{cost} calls to unlink a lower file");
        let cost = points(|| union.unlink(dir, &name("upper1")).unwrap());
        assert!(cost <= 7, "{cost} calls to unlink an upper file");
        let caller = Caller { uid: 0, gid: 0, umask: 0o022 };
        let new = name("new");
        let cost = points(|| union.create((dir, &new), NewNode::File, 0o644, caller).unwrap());
        assert!(cost <= 8, "{cost} calls to make a file");
    });
}

/// Layers that say nothing of a name are not asked for it again and again.
#[test]
fn absent_names_of_many_layers_cost_no_more_than_those_of_few() {
    support::need_root!();
    let _watch = watchdog(120);
    let scratch = Scratch::new();
    let layers: Vec<_> = (0..100).map(|number| scratch.join(format!("low{number}"))).collect();
    for (number, layer) in (0..).zip(&layers) {
        std::fs::create_dir_all(layer.join("d")).unwrap();
        std::fs::write(layer.join(format!("d/of {number}")), "x").unwrap();
    }
    let union = ground::joined(ground::lower_of(&layers), &scratch.join("place"));
    let visit = Visit::new(&union);
    let dir = visit.walk("d").unwrap().id;
    let cost = |absent: &str| points(|| assert!(union.lookup(dir, &name(absent)).is_err()));
    let first = cost("first");
    assert!(first >= 200, "{first} calls");
    for number in 0..20 {
        cost(&format!("absent {number}"));
    }
    // Until the list is a second old: a machine that is busy may make another.
    let then = (0..50).map(|number| cost(&format!("later {number}"))).min().unwrap();
    assert!(then <= 5, "{then} calls, the first time {first}");
    let found = (0..50).map(|_| points(|| union.lookup(dir, &name("of 90")).unwrap())).min();
    assert!(found.unwrap() <= 12, "{found:?} calls for a name that one of a hundred layers has");
}

/// The sync of a copy is for its data: an empty one waits for no disk.
#[test]
fn a_copy_of_nothing_is_not_synced() {
    support::need_root!();
    let _watch = watchdog(120);
    let scratch = Scratch::new();
    let low = scratch.join("low");
    std::fs::create_dir(&low).unwrap();
    std::fs::write(low.join("full"), "x").unwrap();
    std::fs::write(low.join("empty"), "").unwrap();
    std::os::unix::fs::symlink("full", low.join("link")).unwrap();
    let union = ground::joined(ground::lower_of(&[low]), &scratch.join("place"));
    let visit = Visit::new(&union);
    for (name, touches, copies) in [
        ("full", Touches::Attributes, Copies::Little),
        ("empty", Touches::Attributes, Copies::Nothing),
        ("link", Touches::Attributes, Copies::Nothing),
    ] {
        let id = visit.walk(name).unwrap().id;
        assert_eq!(union.copies(id, touches), copies, "{name}");
        let plan = Plan::Fail { n: 1, errno: Errno::IO, call: Some("fsync".into()) };
        let own = SetAttr { uid: Some(7), ..SetAttr::default() };
        let (done, outcome) = with_plan(plan, || union.set_attr(id, &own));
        let is_synced = copies == Copies::Little;
        assert_eq!((done.is_ok(), outcome.fired), (!is_synced, is_synced), "{name}");
    }
}
