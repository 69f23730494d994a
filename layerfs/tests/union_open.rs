//! Open files: what is said of them, and what is done to them, when their names or the disk have ended.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that can't go on should fail there

mod kit;
#[path = "../../tests/support/mod.rs"]
mod support;

use kit::ground::{self, Ground, Side, over_both};
use kit::visit::Visit;
use layerfs_driver::sys::Errno;
use layerfs_driver::tree::Name;
use layerfs_driver::union::{Copies, NodeId, OpenHow, RenameHow, RenameTried, SetAttr};
use support::{Scratch, watchdog};

#[test]
fn a_change_of_a_group_without_names_is_seen_through_its_open_file() {
    support::need_root!();
    let _watch = watchdog(120);
    over_both(|union, visit| {
        let id = visit.walk("g1").unwrap().id;
        let handle = visit.open("g1", OpenHow::Read).unwrap();
        for name in ["g1", "g2", "d/g3"] {
            visit.unlink(name).unwrap();
        }
        let set = SetAttr { permissions: Some(0o600), size: Some(3), ..SetAttr::default() };
        let answered = union.set_attr(id, &set).unwrap();
        let attr = union.attr_of_open(handle).unwrap();
        for attr in [answered, attr] {
            assert_eq!((attr.permissions, attr.size, attr.nlink), (0o600, 3, 0));
        }
        let mut bytes = [0; 8];
        let len = union.read(handle, &mut bytes, 0).unwrap();
        assert_eq!(&bytes[..len], b"gro");
        union.release(handle);
    });
}

#[test]
fn behind_the_end_there_is_neither_data_nor_a_hole() {
    support::need_root!();
    let _watch = watchdog(120);
    over_both(|union, visit| {
        // Contents in the index, a file of its own, and a copy.
        for (name, how) in [("g1", OpenHow::Read), ("big", OpenHow::Read), ("k1", OpenHow::Write)] {
            let size = visit.walk(name).unwrap().attr.size;
            let handle = visit.open(name, how).unwrap();
            assert_eq!(union.seek_hole(handle, size - 1).unwrap(), size, "{name}");
            for offset in [size, size + 1] {
                let hole = union.seek_hole(handle, offset).unwrap_err().errno();
                let data = union.seek_data(handle, offset).unwrap_err().errno();
                assert_eq!((hole, data), (Errno::NXIO, Errno::NXIO), "{name} at {offset}");
            }
            union.release(handle);
        }
    });
}

#[test]
fn what_a_full_disk_took_of_a_write_is_told() {
    support::need_root!();
    support::need!("mkfs.ext4");
    if !support::rights::have_loop_devices() {
        return;
    }
    let _watch = watchdog(120);
    let scratch = Scratch::ext4(24);
    let ground = Ground::new(scratch.path(), Side::Dirs);
    let union = ground.mount(&scratch.join("place"));
    let visit = Visit::new(&union);
    let handle = visit.open("small", OpenHow::Write).unwrap();
    let piece = vec![b'x'; 1_000_000];
    let mut end = 0;
    let error = loop {
        match union.write(handle, &piece, end) {
            Ok(len) => end += len as u64,
            Err(error) => break error,
        }
    };
    assert_eq!(error.errno(), Errno::NOSPC);
    assert_eq!(union.attr_of_open(handle).unwrap().size, end, "what was counted is what is there");
    assert!(end % 1_000_000 != 0, "the disk ended between two writes: this shows nothing");
    union.release(handle);
}

/// podman makes a new work directory for each mount.
#[test]
fn hard_links_stay_one_file_when_the_work_directory_was_lost() {
    support::need_root!();
    let _watch = watchdog(120);
    for (first, side) in
        [("g1", Side::Image), ("g2", Side::Image), ("d/g3", Side::Dirs), ("g1", Side::Dirs)]
    {
        let scratch = Scratch::new();
        let (ground, place) = (Ground::new(scratch.path(), side), scratch.join("place"));
        let union = ground.mount(&place);
        let written = Visit::new(&union).write("g1", b"GROUP");
        written.unwrap();
        drop(union);
        std::fs::remove_dir_all(place.join("work")).unwrap();
        let union = ground.mount(&place);
        let visit = Visit::new(&union);
        for name in [first, "g1", "g2", "d/g3"] {
            assert_eq!(visit.read(name).unwrap(), b"GROUP\n", "{name}, {first} first, {side:?}");
            assert_eq!(visit.walk(name).unwrap().attr.nlink, 3, "{name}, {side:?}");
        }
        visit.write(first, b"again").unwrap();
        assert_eq!(visit.read("g2").unwrap(), b"again\n");
        visit.unlink("g1").unwrap();
        assert_eq!(visit.walk("g2").unwrap().attr.nlink, 2);
    }
}

#[test]
fn the_index_of_hard_links_is_made_for_its_first_entry_and_again_where_it_was_lost() {
    support::need_root!();
    let _watch = watchdog(120);
    for side in [Side::Image, Side::Dirs] {
        let scratch = Scratch::new();
        let (ground, place) = (Ground::new(scratch.path(), side), scratch.join("place"));
        let records = place.join("work/layerfs");
        // What a killed mount of an earlier version left.
        std::fs::create_dir_all(records.join("orphans")).unwrap();
        std::fs::write(records.join("orphans/#1"), "open and without a name").unwrap();
        let names = || std::fs::read_dir(&records).unwrap().count();
        let mounted = || ground.mount(&place);
        let union = mounted();
        let visit = Visit::new(&union);
        visit.write("small", b"one").unwrap();
        let handle = visit.open("small", OpenHow::Write).unwrap();
        visit.unlink("small").unwrap();
        union.release(handle);
        assert_eq!(names(), 0, "{side:?}: nothing needed a record");
        visit.unlink("g1").unwrap();
        assert_eq!((names(), visit.walk("g2").unwrap().attr.nlink), (1, 2), "{side:?}");
        visit.write("g2", b"GROUP").unwrap();
        drop(visit);
        drop(union);
        let union = mounted();
        let visit = Visit::new(&union);
        assert_eq!(visit.read("d/g3").unwrap(), b"GROUP\n", "{side:?}");
        assert_eq!(visit.walk("g2").unwrap().attr.nlink, 2, "{side:?}");
        drop(visit);
        drop(union);
        std::fs::remove_dir_all(records.join("index")).unwrap();
        let union = mounted();
        let visit = Visit::new(&union);
        assert_eq!(visit.read("d/g3").unwrap(), b"GROUP\n", "{side:?}, the index was lost");
        assert_eq!(visit.walk("g2").unwrap().attr.nlink, 2, "{side:?}, the index was lost");
    }
}

/// What was listed and is gone again costs nothing, and neither does a directory that nobody holds.
#[test]
fn what_is_gone_or_forgotten_takes_no_memory() {
    support::need_root!();
    let _watch = watchdog(120);
    over_both(|union, _| {
        let before = union.node_count();
        {
            let visit = Visit::new(union);
            visit.make("m/new", layerfs_driver::union::NewNode::Directory).unwrap();
            for number in 0..200 {
                let name = format!("m/new/{number}");
                visit.make(&name, layerfs_driver::union::NewNode::File).unwrap();
                let id = visit.walk("m/new").unwrap().id;
                let mut listed = 0;
                union
                    .list(id, 0, |_| {
                        listed += 1;
                        true
                    })
                    .unwrap();
                assert_eq!(listed, 1);
                visit.unlink(&name).unwrap();
            }
            let id = visit.walk("m/new").unwrap().id;
            assert_eq!(union.cookie_count(id), 0, "cookies of names that are gone");
        }
        // `m` is merged; what stands only in the upper is found again by its name.
        assert!(union.node_count() <= before + 1, "{} nodes, {before} before", union.node_count());
    });
}

/// A walk that reads a large image would leave an object of each of its files.
#[test]
fn a_file_of_an_image_that_was_read_and_closed_takes_no_memory_while_the_kernel_holds_it() {
    support::need_root!();
    let _watch = watchdog(120);
    let scratch = Scratch::new();
    let ground = Ground::new(scratch.path(), Side::Image);
    let union = ground.mount(&scratch.join("place"));
    let visit = Visit::new(&union);
    let held = visit.walk("small").unwrap();
    let before = union.node_count();
    for how in [OpenHow::Read, OpenHow::Run] {
        let (first, second) =
            (visit.open("small", how).unwrap(), union.open(held.id, how).unwrap());
        union.release(first);
        assert_eq!(union.node_count(), before + 1, "it is open");
        union.release(second);
        assert_eq!(union.node_count(), before, "it is not");
    }
    assert_eq!(union.attr(held.id).unwrap(), held.attr);
    // What the index does not know of it is kept.
    let handle = visit.open("small", OpenHow::Write).unwrap();
    union.release(handle);
    assert_eq!(union.node_count(), before + 1, "it is a copy");
    let handle = union.open(visit.walk("big").unwrap().id, OpenHow::Read).unwrap();
    visit.unlink("big").unwrap();
    union.release(handle);
    drop(visit);
    assert!(Visit::new(&union).walk("big").is_err());
}

/// A redirect is an attribute, and an attribute has an end.
#[test]
fn a_directory_too_deep_for_a_redirect_is_not_renamed_and_stays() {
    support::need_root!();
    let _watch = watchdog(120);
    let scratch = Scratch::new();
    let (name, low) = ("n".repeat(200), scratch.join("low"));
    let path = vec![name; 18].join("/");
    std::fs::create_dir_all(low.join(&path)).unwrap();
    std::fs::write(low.join(&path).join("file"), "deep").unwrap();
    let union = ground::joined(ground::lower_of(&[low]), &scratch.join("place"));
    let visit = Visit::new(&union);
    let moved = visit.rename(&path, "moved", RenameHow::Replace);
    assert_eq!(moved.unwrap_err().errno(), Errno::XDEV);
    assert_eq!(visit.read(&format!("{path}/file")).unwrap(), b"deep");
    // What is above it can be: its own path is short.
    let (top, below) = path.split_once('/').unwrap();
    visit.rename(top, "moved", RenameHow::Replace).unwrap();
    assert_eq!(visit.read(&format!("moved/{below}/file")).unwrap(), b"deep");
}

/// Whoever answers requests has it done elsewhere then.
#[test]
fn a_rename_that_has_to_copy_a_large_file_says_so_and_does_nothing() {
    support::need_root!();
    let _watch = watchdog(120);
    let scratch = Scratch::new();
    let low = scratch.join("low");
    std::fs::create_dir(&low).unwrap();
    for (name, len) in [("large", 300 * 1024), ("small", 3), ("other", 3)] {
        std::fs::write(low.join(name), vec![b'x'; len]).unwrap();
    }
    let union = ground::joined(ground::lower_of(&[low]), &scratch.join("place"));
    let name = |text: &str| Name::new(text.as_bytes()).unwrap();
    let tried = |from: &str, to: &str, how| {
        let (from, to) = (name(from), name(to));
        union.try_rename((NodeId::ROOT, &from), (NodeId::ROOT, &to), how).unwrap()
    };
    let upper = || std::fs::read_dir(scratch.join("place/upper")).unwrap().count();
    let much = RenameTried::WouldLast(Copies::Much);
    assert_eq!(tried("large", "new", RenameHow::Replace), much);
    assert_eq!(tried("small", "large", RenameHow::Exchange), much);
    // It is little, and synced before it has its name.
    assert_eq!(tried("small", "new", RenameHow::Replace), RenameTried::WouldLast(Copies::Little));
    assert_eq!((upper(), union.node_count()), (0, 1), "nothing is done, and nothing held");
    for copied in ["small", "other"] {
        Visit::new(&union).write(copied, b"").unwrap();
    }
    assert_eq!(tried("small", "new", RenameHow::Replace), RenameTried::Done);
    // What is replaced is not copied.
    assert_eq!(tried("other", "large", RenameHow::Replace), RenameTried::Done);
    let visit = Visit::new(&union);
    assert_eq!(visit.read("large").unwrap(), b"xxx");
    assert!(visit.walk("other").is_err());
}

/// A child has its parent's descriptors until it executes another program.
#[test]
fn an_upper_is_free_when_its_union_is_gone_whatever_was_started_meanwhile() {
    support::need_root!();
    let _watch = watchdog(120);
    let scratch = Scratch::new();
    let low = scratch.join("low");
    std::fs::create_dir(&low).unwrap();
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = &over;
        scope.spawn(move || {
            while !over.load(std::sync::atomic::Ordering::Acquire) {
                assert!(std::process::Command::new("true").status().unwrap().success());
            }
        });
        let mount =
            || ground::joined(ground::lower_of(std::slice::from_ref(&low)), &scratch.join("place"));
        let mounts = || (0..1500).for_each(|_| drop(mount()));
        let free = std::panic::catch_unwind(std::panic::AssertUnwindSafe(mounts));
        over.store(true, std::sync::atomic::Ordering::Release);
        assert!(free.is_ok(), "it was in use");
    });
}

/// The kernel sends the close of a program without waiting for it. Who empties the file meanwhile waits for that close, and is
/// refused where it does not come in time.
#[test]
fn who_empties_a_program_waits_for_a_close_that_is_under_way() {
    support::need_root!();
    let _watch = watchdog(120);
    over_both(|union, visit| {
        let id = visit.walk("kept").unwrap().id;
        for round in 0.. {
            let runs = union.open(id, OpenHow::Run).unwrap();
            let (sender, thread) = std::sync::mpsc::channel();
            let (emptied, late) = std::thread::scope(|scope| {
                let emptied = scope.spawn(move || {
                    sender.send(rustix::thread::gettid().as_raw_nonzero()).unwrap();
                    union.open(id, OpenHow::TruncateToRead)
                });
                let (thread, begun) = (thread.recv().unwrap(), std::time::Instant::now());
                while !emptied.is_finished() && !is_asleep(thread.get()) {
                    std::thread::yield_now();
                }
                union.release(runs);
                // What it waits is 0.1 s, and this machine may do much else.
                let late = begun.elapsed() > std::time::Duration::from_millis(50);
                (emptied.join().unwrap(), late)
            });
            match emptied {
                Ok(handle) => {
                    union.release(handle);
                    break;
                }
                Err(error) => {
                    assert_eq!(error.errno(), Errno::TXTBSY);
                    assert!(late && round < 100, "refused although the program was closed");
                }
            }
        }
        // Nobody closes this one.
        let runs = union.open(id, OpenHow::Run).unwrap();
        let refused = union.open(id, OpenHow::TruncateToRead).unwrap_err();
        assert_eq!(refused.errno(), Errno::TXTBSY);
        union.release(runs);
        let emptied = union.open(id, OpenHow::TruncateToRead).unwrap();
        union.release(emptied);
    });
}

/// Whether a thread of this process waits for something.
fn is_asleep(thread: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat"));
    stat.is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S')))
}
