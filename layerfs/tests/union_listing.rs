//! Listings while names come and go: what they cost, and that one that is under way goes on as it was begun.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that can't go on should fail there

mod kit;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use kit::ground::{Ground, Side};
use kit::visit::Visit;
use layerfs_driver::union::{DirEntry, NewNode, NodeId, RenameHow, Union};
use support::{Scratch, watchdog};

/// At most `most` entries behind a cookie.
fn piece(union: &Union, id: NodeId, cookie: u64, most: usize) -> Vec<DirEntry> {
    let mut found = Vec::new();
    union
        .list(id, cookie, |entry| {
            found.push(entry.clone());
            found.len() < most
        })
        .unwrap();
    found
}

#[cfg(feature = "fault")]
mod counted {
    use super::*;
    use crate::kit::ground::over_both;
    use layerfs_driver::sys::fault::{Plan, with_plan};
    use layerfs_driver::tree::Kind;

    const NAMES: u64 = 300;

    fn points<T>(deed: impl FnOnce() -> T) -> u64 {
        with_plan(Plan::Count, deed).1.points
    }

    #[test]
    fn a_listing_looks_at_each_file_of_the_upper_once() {
        support::need_root!();
        let _watch = watchdog(120);
        over_both(|union, visit| {
            visit.make("m/new", NewNode::Directory).unwrap();
            for number in 0..NAMES {
                visit.make(&format!("m/new/{number}"), NewNode::File).unwrap();
                visit.write(&format!("m/new/{number}"), b"x").unwrap();
            }
            let id = visit.walk("m/new").unwrap().id;
            let all = points(|| assert_eq!(piece(union, id, 0, 1000).len() as u64, NAMES));
            // Its metadata and its origin, and a few calls for the directory.
            assert!(all <= 2 * NAMES + 20, "{all} calls for {NAMES} files");
        });
    }

    #[test]
    fn a_change_of_a_name_does_not_make_the_listing_anew() {
        support::need_root!();
        let _watch = watchdog(120);
        over_both(|union, visit| {
            for number in 0..NAMES {
                visit.make(&format!("m/{number}"), NewNode::File).unwrap();
            }
            let id = visit.walk("m").unwrap().id;
            let (mut cookie, mut seen) = (0, 0);
            loop {
                let mut found = Vec::new();
                let cost = points(|| found = piece(union, id, cookie, 10));
                assert!(cookie == 0 || cost == 0, "{cost} calls to go on behind {seen} names");
                let Some(last) = found.last() else { break };
                cookie = last.cookie;
                for entry in found {
                    seen += 1;
                    let path = format!("m/{}", entry.name);
                    if entry.kind == Kind::File {
                        visit.unlink(&path).unwrap();
                    }
                    // A name that comes, and goes, changes nothing of the rest.
                    visit.make("m/between", NewNode::File).unwrap();
                    visit.unlink("m/between").unwrap();
                }
            }
            // `one`, `two` and `sub` are the lower's.
            assert_eq!(seen, NAMES + 3);
            let left: Vec<_> = piece(union, id, 0, 1000).into_iter().map(|it| it.name).collect();
            assert_eq!(left.iter().map(ToString::to_string).collect::<Vec<_>>(), ["sub"]);
        });
    }
}

/// A little generator: the same numbers for the same seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

const NAMES: [&str; 8] = ["one", "two", "sub", "a", "b", "c", "d", "e"];
const DIRS: [&str; 3] = ["m", "x", "moveme"];

/// One random change of names; most are refused. Answers the paths that it is about.
fn change(visit: &Visit<'_>, numbers: &mut Numbers) -> [String; 2] {
    let mut path = || format!("{}/{}", DIRS[numbers.below(3)], NAMES[numbers.below(8)]);
    let (one, two) = (path(), path());
    // What is refused changes nothing, which is compared as well.
    let _refused_or_done = match numbers.below(9) {
        0 | 1 => visit.make(&one, NewNode::File),
        2 => visit.make(&one, NewNode::Directory),
        3 => visit.unlink(&one),
        4 => visit.rmdir(&one),
        5 => visit.rename(&one, &two, RenameHow::Replace),
        6 => visit.rename(&one, &two, RenameHow::Exchange),
        7 => visit.link(&one, &two),
        _ => visit.write(&one, b"more"),
    };
    [one, two]
}

/// What is listed is what a lookup finds: the cookies by path.
fn compared(
    union: &Union,
    visit: &Visit<'_>,
    (told, most): (&str, usize),
) -> BTreeMap<String, u64> {
    let mut cookies = BTreeMap::new();
    for dir in DIRS {
        let id = visit.walk(dir).unwrap().id;
        let mut cookie = 0;
        loop {
            let found = piece(union, id, cookie, most);
            let Some(last) = found.last() else { break };
            cookie = last.cookie;
            for entry in found {
                let path = format!("{dir}/{}", entry.name);
                let looked =
                    visit.walk(&path).unwrap_or_else(|error| panic!("{told}: {path}: {error}"));
                let shown = (looked.id.ino(), looked.attr.kind);
                assert_eq!(shown, (entry.ino, entry.kind), "{told}: {path}");
                assert_eq!(cookies.insert(path, entry.cookie), None, "{told}: twice");
            }
        }
        for path in NAMES.map(|name| format!("{dir}/{name}")) {
            assert_eq!(cookies.contains_key(&path), visit.walk(&path).is_ok(), "{told}: {path}");
        }
    }
    cookies
}

#[test]
fn a_listing_follows_every_change_and_who_stands_keeps_the_cookie() {
    support::need_root!();
    let _watch = watchdog(120);
    for side in [Side::Image, Side::Dirs] {
        let scratch = Scratch::new();
        let ground = Ground::new(scratch.path(), side);
        let place = scratch.join("place");
        for seed in 0..10 {
            if place.exists() {
                std::fs::remove_dir_all(&place).unwrap();
            }
            let union = ground.mount(&place);
            let visit = Visit::new(&union);
            let mut numbers = Numbers(seed);
            let mut before = compared(&union, &visit, ("at first", 1));
            for step in 0..60 {
                let told = format!("{side:?}, seed {seed}, step {step}");
                // Listings that are begun, and go on after the change.
                let begun = DIRS.map(|dir| {
                    let id = visit.walk(dir).unwrap().id;
                    (id, piece(&union, id, 0, 1).last().map_or(0, |entry| entry.cookie))
                });
                let paths = change(&visit, &mut numbers);
                let rest = |(id, cookie)| piece(&union, id, cookie, 100);
                let gone_on =
                    begun.map(|begun| if begun.1 == 0 { Vec::new() } else { rest(begun) });
                let now = compared(&union, &visit, (&told, 1 + step % 4));
                // Over directories what was compared was made anew.
                for (begun, gone_on) in
                    begun.into_iter().zip(gone_on).filter(|(begun, _)| begun.1 > 0)
                {
                    assert_eq!(gone_on, rest(begun), "{told}: {paths:?}");
                }
                for (path, cookie) in before.iter().filter(|(path, _)| !paths.contains(path)) {
                    assert_eq!(now.get(path), Some(cookie), "{told}: {paths:?}: {path}");
                }
                before = now;
            }
        }
    }
}
