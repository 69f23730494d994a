//! The union under threads: many at once on few names, and the pairs of operations that are most likely to meet.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)] // a test that can't go on should fail there

mod kit;
#[path = "union_races/storm.rs"]
mod storm;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, MutexGuard};
use std::thread;

use kit::ground::{Ground, Side, leftovers, shell};
use kit::seen::{Lenience, Tree, names};
use kit::visit::Visit;
use layerfs_driver::sys::Errno;
use layerfs_driver::union::{NewNode, NodeId, OpenHow, RenameHow, SetAttr, Union};
use support::{Scratch, watchdog};

const THREADS: usize = 8;

/// One test at a time: descriptors are counted.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

struct Lab {
    scratch: Scratch,
    ground: Ground,
}

impl Lab {
    fn new(side: Side) -> Lab {
        let scratch = Scratch::new();
        let ground = Ground::new(scratch.path(), side);
        Lab { scratch, ground }
    }

    fn place(&self) -> PathBuf {
        self.scratch.join("place")
    }

    /// A union with an empty upper.
    fn fresh(&self) -> Union {
        if self.place().exists() {
            std::fs::remove_dir_all(self.place()).unwrap();
        }
        self.ground.mount(&self.place())
    }

    /// What must hold when all is done and forgotten: no orphan, no node too many, and a new mount shows the same.
    fn ends(&self, union: Union, descriptors_before: usize) {
        let shown = Tree::of(&union);
        assert_eq!(leftovers(&self.place()), Vec::<PathBuf>::new(), "left at the end");
        let kept = directories_below(&self.place().join("upper"));
        assert!(
            union.node_count() <= kept,
            "{} nodes for {kept} changed directories",
            union.node_count()
        );
        drop(union);
        let apart = Tree::of(&self.ground.mount(&self.place())).differences(&shown, Lenience::None);
        assert!(apart.is_empty(), "a new mount shows something else: {apart:#?}");
        assert_eq!(descriptors(), descriptors_before, "descriptors");
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The directories at and below a path.
fn directories_below(path: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(path).unwrap().map(Result::unwrap);
    1 + entries
        .filter(|it| it.file_type().unwrap().is_dir())
        .map(|it| directories_below(&it.path()))
        .sum::<usize>()
}

fn storms(side: Side) {
    let _alone = alone();
    let _watch = watchdog(120);
    let lab = Lab::new(side);
    let rounds = if std::env::var_os("LAYERFS_SOAK").is_some() { 20 } else { 3 };
    for round in 0..rounds {
        let before = descriptors();
        let union = lab.fresh();
        let done = AtomicUsize::new(0);
        thread::scope(|scope| {
            for lane in 0..THREADS {
                let (union, done) = (&union, &done);
                scope.spawn(move || {
                    done.fetch_add(
                        storm::run(union, (round * THREADS + lane) as u64, 1500),
                        Ordering::Relaxed,
                    );
                });
            }
        });
        eprintln!("{side:?}, round {round}: {} operations were done", done.load(Ordering::Relaxed));
        lab.ends(union, before);
    }
}

#[test]
fn a_storm_over_an_image_ends_as_a_new_mount_sees_it() {
    support::need_root!();
    storms(Side::Image);
}

#[test]
fn a_storm_over_directories_ends_as_a_new_mount_sees_it() {
    support::need_root!();
    storms(Side::Dirs);
}

/// Runs `deeds` at once, many times, each time on a fresh union; `check` looks at what came of it.
fn race(rounds: usize, deeds: &[&(dyn Fn(&Visit<'_>) + Sync)], check: impl Fn(&Visit<'_>)) {
    let _alone = alone();
    let _watch = watchdog(120);
    for side in [Side::Image, Side::Dirs] {
        let lab = Lab::new(side);
        for _ in 0..rounds {
            let before = descriptors();
            let union = lab.fresh();
            let start = Barrier::new(deeds.len());
            thread::scope(|scope| {
                for deed in deeds {
                    scope.spawn(|| {
                        let visit = Visit::new(&union);
                        start.wait();
                        deed(&visit);
                    });
                }
            });
            check(&Visit::new(&union));
            lab.ends(union, before);
        }
    }
}

#[test]
fn one_of_many_copies_a_file_up_and_nobody_loses_a_write() {
    support::need_root!();
    let turn = AtomicUsize::new(0);
    let write = |visit: &Visit<'_>| {
        let at = turn.fetch_add(1, Ordering::Relaxed) % 6 * 1000;
        let handle = visit.open("big", OpenHow::Write).unwrap();
        visit.union().write(handle, b"################", at as u64).unwrap();
        visit.union().release(handle);
    };
    let read = |visit: &Visit<'_>| {
        for _ in 0..20 {
            let bytes = visit.read("big").unwrap();
            assert_eq!(bytes.len(), 100_000);
            for line in bytes[..99_984].chunks(16).filter(|line| line[0] != b'#' && line[8] != b'#')
            {
                assert_eq!(line, b"0123456789abcde\n");
            }
        }
    };
    race(20, &[&write, &write, &write, &write, &write, &write, &read, &read], |visit| {
        let bytes = visit.read("big").unwrap();
        for at in 0..6 {
            assert_eq!(&bytes[at * 1000..at * 1000 + 16], b"################", "the write at {at}");
        }
    });
}

#[test]
fn a_directory_is_renamed_while_a_file_below_it_is_copied_up() {
    support::need_root!();
    let write = |visit: &Visit<'_>| {
        for path in ["d/e/f/deep", "moved/e/f/deep"] {
            if visit.write(path, b"written").is_ok() {
                return;
            }
        }
        panic!("the file is at neither place");
    };
    let rename = |visit: &Visit<'_>| visit.rename("d", "moved", RenameHow::Replace).unwrap();
    race(40, &[&write, &rename], |visit| {
        assert_eq!(visit.read("moved/e/f/deep").unwrap()[..7], *b"written");
        assert_eq!(visit.read("moved/plain").unwrap().len(), 200);
    });
}

#[test]
fn a_file_unlinked_while_it_is_copied_up_is_written_as_an_orphan() {
    support::need_root!();
    let write = |visit: &Visit<'_>| match visit.open("big", OpenHow::Write) {
        Ok(handle) => {
            visit.union().write(handle, b"written", 5).unwrap();
            let mut bytes = vec![0; 100_001];
            assert_eq!(visit.union().read(handle, &mut bytes, 0).unwrap(), 100_000);
            assert_eq!(bytes[..16], *b"01234writtencde\n");
            visit.union().attr_of_open(handle).unwrap();
            visit.union().release(handle);
        }
        Err(error) => assert_eq!(error.errno(), Errno::NOENT),
    };
    let unlink = |visit: &Visit<'_>| visit.unlink("big").unwrap();
    race(40, &[&write, &unlink], |visit| {
        assert_eq!(visit.walk("big").unwrap_err().errno(), Errno::NOENT)
    });
}

#[test]
fn names_of_a_group_go_one_by_one_in_two_directories() {
    support::need_root!();
    let one = |visit: &Visit<'_>| visit.unlink("g1").unwrap();
    let other = |visit: &Visit<'_>| visit.unlink("d/g3").unwrap();
    race(60, &[&one, &other], |visit| {
        assert_eq!(visit.walk("g2").unwrap().attr.nlink, 1);
        assert_eq!(visit.read("g2").unwrap(), b"group\n");
    });
}

#[test]
fn a_directory_is_removed_or_gets_a_name() {
    support::need_root!();
    let made = AtomicBool::new(false);
    let create = |visit: &Visit<'_>| {
        let done = visit.make("hidden/new", NewNode::File);
        made.store(done.is_ok(), Ordering::Release);
        if let Err(error) = done {
            assert_eq!(error.errno(), Errno::NOENT);
        }
    };
    let rmdir = |visit: &Visit<'_>| {
        if let Err(error) = visit.rmdir("hidden") {
            assert_eq!(error.errno(), Errno::NOTEMPTY);
        }
    };
    race(40, &[&create, &rmdir], |visit| {
        assert_eq!(visit.walk("hidden/new").is_ok(), made.load(Ordering::Acquire), "made and lost");
    });
}

#[test]
fn of_two_renames_that_make_a_loop_one_is_refused() {
    support::need_root!();
    let done = AtomicUsize::new(0);
    let moved = |visit: &Visit<'_>, from: &str, to: &str| match visit.rename(
        from,
        to,
        RenameHow::Replace,
    ) {
        Ok(()) => {
            done.fetch_add(1, Ordering::Relaxed);
        }
        Err(error) => assert!(matches!(error.errno(), Errno::INVAL | Errno::NOENT), "{error}"),
    };
    let one = |visit: &Visit<'_>| moved(visit, "m", "d/e/f/m");
    let other = |visit: &Visit<'_>| moved(visit, "d/e", "m/sub/e");
    race(40, &[&one, &other], |visit| {
        let deeds = done.swap(0, Ordering::Relaxed);
        assert_eq!(deeds, 1, "renames done");
        assert!(visit.walk("m/sub/e/f/deep").is_ok() || visit.walk("d/e/f/m/sub").is_ok());
    });
}

#[test]
fn a_listing_in_pieces_gives_every_name_that_stands_once() {
    support::need_root!();
    let _alone = alone();
    let _watch = watchdog(120);
    let lab = Lab::new(Side::Image);
    let union = lab.fresh();
    let visit = Visit::new(&union);
    for number in 0..40 {
        visit.make(&format!("m/stands{number}"), NewNode::File).unwrap();
    }
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for lane in 0..3 {
            let (union, over) = (&union, &over);
            scope.spawn(move || {
                let visit = Visit::new(union);
                for round in 0.. {
                    if over.load(Ordering::Acquire) {
                        return;
                    }
                    let (one, two) = (format!("m/{lane}-{}", round % 7), format!("m/{lane}-moved"));
                    visit.make(&one, NewNode::File).unwrap();
                    visit.rename(&one, &two, RenameHow::Replace).unwrap();
                    visit.unlink(&two).unwrap();
                }
            });
        }
        let m = visit.walk("m").unwrap().id;
        for piece in (1..9).cycle().take(150) {
            let listed = names(&union, m, piece).unwrap();
            for name in (0..40)
                .map(|number| format!("stands{number}"))
                .chain(["one", "two", "sub"].map(String::from))
            {
                let count =
                    listed.iter().filter(|(it, _)| it.as_bytes() == name.as_bytes()).count();
                assert_eq!(count, 1, "{name} in pieces of {piece}");
            }
        }
        over.store(true, Ordering::Release);
    });
}

/// Closes a file without a name for the last time while `deed` is done with its node.
fn last_closes(deed: impl Fn(&Union, NodeId) + Sync) {
    let _alone = alone();
    let _watch = watchdog(120);
    for side in [Side::Image, Side::Dirs] {
        let lab = Lab::new(side);
        let union = lab.fresh();
        for _ in 0..1000 {
            let visit = Visit::new(&union);
            visit.make("nameless", NewNode::File).unwrap();
            let id = visit.walk("nameless").unwrap().id;
            let handle = visit.open("nameless", OpenHow::Read).unwrap();
            visit.unlink("nameless").unwrap();
            let start = Barrier::new(2);
            thread::scope(|scope| {
                scope.spawn(|| {
                    start.wait();
                    union.release(handle);
                });
                start.wait();
                deed(&union, id);
            });
        }
    }
}

#[test]
fn what_is_changed_of_a_file_as_it_is_closed_for_the_last_time_stays_changed() {
    support::need_root!();
    let set = SetAttr { permissions: Some(0o640), ..SetAttr::default() };
    last_closes(|union, id| {
        assert_eq!(union.set_attr(id, &set).unwrap().permissions, 0o640);
        assert_eq!(union.attr(id).unwrap().permissions, 0o640);
    });
}

#[test]
fn a_file_that_is_opened_as_it_is_closed_for_the_last_time_is_open_or_gone() {
    support::need_root!();
    last_closes(|union, id| match union.open(id, OpenHow::Write) {
        Ok(handle) => {
            assert_eq!(union.write(handle, b"written", 0).unwrap(), 7);
            assert_eq!(union.attr_of_open(handle).unwrap().size, 7);
            assert_eq!(union.attr(id).unwrap().size, 7);
            union.release(handle);
        }
        Err(error) => assert_eq!(error.errno(), Errno::STALE),
    });
}

#[test]
fn attributes_are_not_those_of_a_file_that_takes_the_name() {
    support::need_root!();
    let _alone = alone();
    let _watch = watchdog(120);
    let lab = Lab::new(Side::Dirs);
    let union = lab.fresh();
    let visit = Visit::new(&union);
    for _ in 0..3000 {
        for (name, bytes) in [("name", &b"one"[..]), ("other", b"another")] {
            visit.make(name, NewNode::File).unwrap();
            visit.write(name, bytes).unwrap();
        }
        let id = visit.walk("name").unwrap().id;
        let start = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                Visit::new(&union).rename("other", "name", RenameHow::Replace).unwrap();
            });
            start.wait();
            for _ in 0..8 {
                match union.attr(id) {
                    Ok(attr) => assert_eq!(attr.size, 3),
                    Err(error) => assert!([Errno::NOENT, Errno::STALE].contains(&error.errno())),
                }
            }
        });
        visit.unlink("name").unwrap();
    }
}

/// Nothing of others waits for a copy: no look at a file, and no rename of the very directory.
#[test]
fn nobody_waits_while_a_large_file_is_copied_up() {
    support::need_root!();
    let _alone = alone();
    let _watch = watchdog(120);
    let lab = Lab::new(Side::Dirs);
    shell(lab.scratch.path(), "head -c 96M /dev/zero | tr '\\0' x > plain/low/d/e/huge");
    // A copy may be over before the others begin: then nothing was shown, and it is made again.
    for _ in 0..20 {
        let union = lab.fresh();
        let held = Visit::new(&union);
        let huge = held.walk("d/e/huge").unwrap().id;
        let (copied, busy) = (AtomicBool::new(false), lab.place().join("work/work"));
        let shown = thread::scope(|scope| {
            let copy = scope.spawn(|| {
                let done = Visit::new(&union).write("d/e/huge", b"written");
                copied.store(true, Ordering::Release);
                done.unwrap();
            });
            let visit = Visit::new(&union);
            while std::fs::read_dir(&busy).unwrap().next().is_none()
                && !copied.load(Ordering::Acquire)
            {
                thread::yield_now();
            }
            // Looks at the very file that is copied: they must not keep the rename waiting, nor it the end of the copy.
            let looks = scope.spawn(|| {
                while !copied.load(Ordering::Acquire) {
                    let value = union.xattr(huge, b"user.absent");
                    assert_eq!(value.unwrap_err().errno(), Errno::NODATA);
                    union.xattr_names(huge).unwrap();
                    let handle = union.open(huge, OpenHow::Read).unwrap();
                    union.read(handle, &mut [0; 8], 8).unwrap();
                    union.release(handle);
                }
            });
            visit.rename("d", "moved", RenameHow::Replace).unwrap();
            for _ in 0..100 {
                union.attr(visit.walk("moved/plain").unwrap().id).unwrap();
            }
            let shown = !copied.load(Ordering::Acquire);
            while !copied.load(Ordering::Acquire) {
                visit.rename("moved", "d", RenameHow::Replace).unwrap();
                visit.rename("d", "moved", RenameHow::Replace).unwrap();
            }
            copy.join().unwrap();
            looks.join().unwrap();
            assert_eq!(visit.read("moved/e/huge").unwrap()[..8], *b"writtenx");
            shown
        });
        if shown {
            return;
        }
    }
    panic!("a rename or a look at a file waited for the copy, 20 times");
}
