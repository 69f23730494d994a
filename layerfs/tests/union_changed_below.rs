//! A union over a lower that others change while it is used: what is told is what the last lookup found, or `ESTALE`.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that can't go on should fail there

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use layerfs_driver::lower::{DirStack, Lower, Redirects, StackOptions, WhNames};
use layerfs_driver::sys::{Errno, dir};
use layerfs_driver::tree::{MarkSpace, Name};
use layerfs_driver::union::{HandleId, Looked, Mode, NodeId, OpenHow, Union, UnionError};
use layerfs_driver::upper::{Durability, Partial, Records, Upper, UpperOptions, Whiteouts};

/// A lower `low` with the file `f` in a directory `d`, below a union with an upper.
struct Ground {
    scratch: tempfile::TempDir,
    union: Union,
}

impl Ground {
    fn new() -> Ground {
        let scratch = tempfile::tempdir().unwrap();
        let at = |path: &str| scratch.path().join(path);
        for dir in ["low/d", "upper", "work"] {
            std::fs::create_dir_all(at(dir)).unwrap();
        }
        std::fs::write(at("low/d/f"), "first").unwrap();
        let opened = |path: &str| dir::open_path(at(path).as_path()).unwrap();
        let (redirects, wh_names) = (Redirects::Follow, WhNames::Plain);
        let options = StackOptions { space: MarkSpace::User, redirects, wh_names };
        let stack = DirStack::open_paths(&[at("low")], options).unwrap();
        let options = UpperOptions {
            space: MarkSpace::User,
            redirects: Redirects::Follow,
            durability: Durability::Volatile,
            wh_names: WhNames::Plain,
            whiteouts: Whiteouts::Auto,
            records: Records::Never,
            partial: Partial::Never,
        };
        let upper = Upper::open(opened("upper"), &opened("work"), options).unwrap();
        let union = Union::new(Lower::Dirs(stack), Mode::Writable(upper)).unwrap();
        Ground { scratch, union }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.scratch.path().join(path)
    }

    fn found(&self, path: &str) -> Result<Looked, UnionError> {
        let steps: Vec<&str> = path.split('/').collect();
        let mut dir = NodeId::ROOT;
        for step in &steps[..steps.len() - 1] {
            dir = self.union.lookup(dir, &name(step))?.id;
        }
        self.union.lookup(dir, &name(steps[steps.len() - 1]))
    }

    fn open(&self, path: &str, how: OpenHow) -> HandleId {
        self.union.open(self.found(path).unwrap().id, how).unwrap()
    }

    fn read(&self, handle: HandleId) -> String {
        let mut bytes = [0; 100];
        let len = self.union.read(handle, &mut bytes, 0).unwrap();
        String::from_utf8(bytes[..len].to_vec()).unwrap()
    }

    fn listed(&self) -> Vec<String> {
        let mut names = Vec::new();
        let dir = self.found("d").unwrap().id;
        self.union
            .list(dir, 0, |entry| {
                names.push(entry.name.to_string());
                true
            })
            .unwrap();
        names
    }
}

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

/// Writes until the inode's clock has moved.
fn overwrite(path: &Path, text: &str) {
    let ctime = || path.metadata().map(|meta| (meta.ctime(), meta.ctime_nsec())).unwrap();
    let before = ctime();
    while ctime() == before {
        std::fs::write(path, text).unwrap();
    }
}

#[test]
fn a_file_written_below_is_stale_until_it_is_looked_up_again() {
    let ground = Ground::new();
    let before = ground.found("d/f").unwrap();
    overwrite(&ground.at("low/d/f"), "other");
    for how in [OpenHow::Read, OpenHow::Write] {
        assert_eq!(ground.union.open(before.id, how).unwrap_err().errno(), Errno::STALE);
    }
    let after = ground.found("d/f").unwrap();
    assert_eq!(after.id, before.id);
    assert_ne!(after.generation, before.generation, "nobody keeps what was read of it");
    assert_eq!(ground.read(ground.open("d/f", OpenHow::Read)), "other");
}

#[test]
fn an_open_file_written_below_is_the_same_and_its_next_open_reads_anew() {
    let ground = Ground::new();
    let before = ground.found("d/f").unwrap();
    let held = ground.open("d/f", OpenHow::Read);
    assert!(!ground.union.opened(held).unwrap().is_changed());
    overwrite(&ground.at("low/d/f"), "other");
    let after = ground.found("d/f").unwrap();
    assert_eq!((after.id, after.generation), (before.id, before.generation));
    let (first, second) = (ground.open("d/f", OpenHow::Read), ground.open("d/f", OpenHow::Read));
    assert_eq!(
        [first, second].map(|open| ground.union.opened(open).unwrap().is_changed()),
        [true, false]
    );
    assert_eq!([held, first].map(|open| ground.read(open)), ["other", "other"]);
}

#[test]
fn a_file_replaced_below_is_another_and_the_open_one_stays_what_it_was() {
    let ground = Ground::new();
    let before = ground.found("d/f").unwrap();
    let held = ground.open("d/f", OpenHow::Read);
    std::fs::write(ground.at("low/new"), "other").unwrap();
    std::fs::rename(ground.at("low/new"), ground.at("low/d/f")).unwrap();
    assert_eq!(ground.union.attr(before.id).unwrap_err().errno(), Errno::STALE);
    assert_ne!(ground.found("d/f").unwrap().id, before.id);
    assert_eq!(ground.read(ground.open("d/f", OpenHow::Read)), "other");
    assert_eq!(ground.read(held), "first");
    std::fs::remove_file(ground.at("low/d/f")).unwrap();
    assert_eq!(ground.found("d/f").unwrap_err().errno(), Errno::NOENT);
}

#[test]
fn a_listing_that_is_begun_shows_what_there_is() {
    let ground = Ground::new();
    assert_eq!(ground.listed(), ["f"]);
    std::fs::write(ground.at("low/d/e"), "").unwrap();
    assert_eq!(ground.listed(), ["e", "f"]);
    // Merged with an upper directory, whose times say nothing of the lower's.
    ground.open("d/f", OpenHow::Write);
    std::fs::remove_file(ground.at("low/d/e")).unwrap();
    assert_eq!(ground.listed(), ["f"]);
}

#[test]
fn what_was_moved_below_is_copied_up_where_it_was_found_last() {
    let ground = Ground::new();
    ground.found("d/f").unwrap();
    std::fs::rename(ground.at("low/d"), ground.at("low/e")).unwrap();
    let handle = ground.open("e/f", OpenHow::Write);
    ground.union.write(handle, b"ours!", 0).unwrap();
    assert_eq!(std::fs::read_to_string(ground.at("upper/e/f")).unwrap(), "ours!");
    assert!(!ground.at("upper/d").exists());
    std::fs::write(ground.at("low/e/g"), "g").unwrap();
    let held = ground.open("e/g", OpenHow::Read);
    std::fs::rename(ground.at("low/e/g"), ground.at("low/e/h")).unwrap();
    ground.union.write(ground.open("e/h", OpenHow::Write), b"h", 0).unwrap();
    assert!(ground.at("upper/e/h").exists() && !ground.at("upper/e/g").exists());
    assert_eq!(ground.read(held), "h", "an open file follows its copy");
}

#[test]
fn a_name_linked_below_to_what_was_copied_up_is_never_the_copy() {
    let ground = Ground::new();
    ground.union.write(ground.open("d/f", OpenHow::Write), b"ours!", 0).unwrap();
    std::fs::hard_link(ground.at("low/d/f"), ground.at("low/d/g")).unwrap();
    assert_eq!(ground.found("d/g").unwrap_err().errno(), Errno::STALE);
    assert_eq!(ground.read(ground.open("d/f", OpenHow::Read)), "ours!");
    assert_eq!(std::fs::read_to_string(ground.at("low/d/f")).unwrap(), "first");
}

#[test]
fn a_copy_is_never_half_of_a_change_below() {
    // The writer may rest while one file is copied: then its copy is whole, and the next is tried.
    assert!(
        (0..50).any(|_| a_copy_beside_a_writer_is_refused()),
        "50 copies, and none was refused"
    );
}

fn a_copy_beside_a_writer_is_refused() -> bool {
    use std::os::unix::fs::FileExt;
    const LEN: usize = 16 << 20;
    let ground = Ground::new();
    let path = ground.at("low/d/large");
    std::fs::write(&path, vec![b'a'; LEN]).unwrap();
    let over = std::sync::atomic::AtomicBool::new(false);
    let begun = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            let piece = vec![b'b'; 1 << 16];
            begun.wait();
            for at in (0..LEN as u64).step_by(1 << 16).cycle() {
                file.write_all_at(&piece, at).unwrap();
                if over.load(std::sync::atomic::Ordering::Acquire) {
                    return;
                }
            }
        });
        begun.wait();
        let refused = (0..20).any(|_| {
            let opened =
                ground.found("d/large").and_then(|it| ground.union.open(it.id, OpenHow::Write));
            // It may also have changed between the lookup and the open.
            opened.is_err_and(|error| {
                assert_eq!(error.errno(), Errno::STALE, "{error}");
                error.to_string().contains("while it was copied")
            })
        });
        over.store(true, std::sync::atomic::Ordering::Release);
        refused
    })
}
