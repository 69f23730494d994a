//! A bounded upper: what counts, what is refused, what gives room back, and that nobody gets more.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that can't go on should fail there

mod kit;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use kit::forms::Form;
use kit::ground::{Ground, Side, leftovers, shell};
use kit::visit::Visit;
use layerfs_driver::sys::Errno;
use layerfs_driver::sys::xattr_at::SetHow;
use layerfs_driver::tree::Name;
use layerfs_driver::union::{
    Caller, HandleId, NewNode, NodeId, OpenHow, RenameHow, SetAttr, Union, UnionError,
};
use layerfs_driver::upper::Bounds;
use support::{Scratch, watchdog};

const MIB: u64 = 1 << 20;
const KEEP_SIZE: u32 = 1;
const PUNCH: u32 = 3;
const ROOT: Caller = Caller { uid: 0, gid: 0, umask: 0 };

/// A lower, and a place for an upper.
struct Lab {
    scratch: Scratch,
    ground: Ground,
}

impl Lab {
    fn new(scratch: Scratch, side: Side) -> Lab {
        let ground = Ground::new(scratch.path(), side);
        Lab { scratch, ground }
    }

    fn mount_as(&self, form: Form, bounds: Bounds) -> Union {
        self.ground.mount_bounded(&self.place(), (form, bounds))
    }

    fn mount(&self, bounds: Bounds) -> Union {
        self.mount_as(Form::Usual, bounds)
    }

    fn place(&self) -> std::path::PathBuf {
        self.scratch.join("place")
    }
}

/// In memory and on a disk, which differ in what they count of directories, links and attributes.
fn labs() -> impl Iterator<Item = Lab> {
    [Scratch::new as fn() -> Scratch, Scratch::on_disk]
        .into_iter()
        .map(|scratch| Lab::new(scratch(), Side::Image))
}

fn of_bytes(bytes: u64) -> Bounds {
    Bounds { bytes: Some(bytes), inodes: None }
}

/// Bytes and objects that the layer has, as the mount shows them.
fn used(union: &Union) -> (u64, u64) {
    let figures = union.filesystem().unwrap();
    ((figures.f_blocks - figures.f_bfree) * figures.f_frsize, figures.f_files - figures.f_ffree)
}

fn errno<T>(done: Result<T, UnionError>) -> Option<Errno> {
    done.err().map(|error| error.errno())
}

/// Writes pieces from an offset on until there is no room, and answers where that was.
fn fill(union: &Union, handle: HandleId, (from, piece): (u64, usize)) -> u64 {
    let bytes = vec![b'x'; piece];
    let mut end = from;
    loop {
        match union.write(handle, &bytes, end) {
            Ok(len) => {
                end += len as u64;
                assert!(end < 64 * MIB, "without a bound it would fill all memory");
            }
            Err(error) => {
                assert_eq!(error.errno(), Errno::NOSPC, "{error}");
                return end;
            }
        }
    }
}

fn made(visit: &Visit<'_>, name: &str) -> HandleId {
    visit.make(name, NewNode::File).unwrap();
    visit.open(name, OpenHow::Write).unwrap()
}

/// What the objects of an upper take, each once.
fn on_disk(upper: &Path) -> u64 {
    let (mut left, mut bytes) = (vec![upper.to_owned()], 0);
    let mut seen = std::collections::BTreeSet::new();
    while let Some(at) = left.pop() {
        for entry in std::fs::read_dir(at).unwrap() {
            let entry = entry.unwrap();
            let told = entry.metadata().unwrap();
            if seen.insert(told.ino()) {
                bytes += told.blocks() * 512;
            }
            if told.is_dir() {
                left.push(entry.path());
            }
        }
    }
    bytes
}

#[test]
fn a_layer_is_filled_to_its_bound_and_no_further() {
    support::need_root!();
    let _watch = watchdog(120);
    for lab in labs() {
        let union = lab.mount(of_bytes(MIB));
        let visit = Visit::new(&union);
        let handle = made(&visit, "new");
        let end = fill(&union, handle, (0, 100_000));
        assert!(end > MIB - 32_768 && end <= MIB, "{end}");
        assert_eq!(union.attr_of_open(handle).unwrap().size, end, "what was counted is there");
        assert!(used(&union).0 <= MIB && on_disk(&lab.place().join("upper")) <= MIB);
        // What has its room is written as ever, and what needs none is done.
        assert_eq!(union.write(handle, &[b'y'; 50_000], end - 50_000).unwrap(), 50_000);
        assert_eq!(errno(union.write(handle, b"y", end)), Some(Errno::NOSPC));
        visit.rename("new", "moved", RenameHow::Replace).unwrap();
        // A hole takes nothing, and what is cut off gives back.
        union.truncate(handle, 64 * MIB).unwrap();
        union.truncate(handle, end / 2).unwrap();
        let again = fill(&union, handle, (end / 2, 10_000));
        assert!(again.abs_diff(end) <= 8192, "{again}, and before {end}");
        union.release(handle);
        visit.unlink("moved").unwrap();
        let handle = made(&visit, "next");
        let last = fill(&union, handle, (0, 7000));
        assert!(last.abs_diff(end) <= 8192, "{last}, and before {end}");
        union.release(handle);
    }
}

#[test]
fn those_who_write_at_once_get_no_more_together() {
    support::need_root!();
    let _watch = watchdog(120);
    for lab in labs() {
        let union = lab.mount(of_bytes(2 * MIB));
        let visit = Visit::new(&union);
        let handles: Vec<HandleId> =
            (0..4).map(|number| made(&visit, &format!("new{number}"))).collect();
        std::thread::scope(|scope| {
            for (handle, piece) in handles.iter().zip([4096, 30_000, 200_000, 1_000_000]) {
                let union = &union;
                scope.spawn(move || fill(union, *handle, (0, piece)));
            }
        });
        let taken = on_disk(&lab.place().join("upper"));
        assert!(taken <= 2 * MIB && taken > 2 * MIB - 65_536, "{taken}");
        // Two in one file, over what the other has.
        union.truncate(handles[3], 0).unwrap();
        std::thread::scope(|scope| {
            for piece in [50_000, 70_000] {
                let (union, handle) = (&union, handles[3]);
                scope.spawn(move || fill(union, handle, (0, piece)));
            }
        });
        let taken = on_disk(&lab.place().join("upper"));
        assert!(taken <= 2 * MIB && taken > 2 * MIB - 65_536, "{taken}");
        handles.into_iter().for_each(|handle| union.release(handle));
    }
}

#[test]
fn what_lost_its_name_counts_until_its_last_close() {
    support::need_root!();
    let _watch = watchdog(120);
    for lab in labs() {
        let union = lab.mount(of_bytes(MIB));
        let visit = Visit::new(&union);
        let before = used(&union);
        let handle = made(&visit, "new");
        fill(&union, handle, (0, 65_536));
        visit.unlink("new").unwrap();
        let other = made(&visit, "other");
        assert_eq!(errno(union.write(other, &[1; 65_536], 0)), Some(Errno::NOSPC));
        union.release(handle);
        assert_eq!(union.write(other, &[1; 65_536], 0).unwrap(), 65_536);
        union.release(other);
        visit.unlink("other").unwrap();
        // What never had one, too.
        let nameless = union.create_nameless(NodeId::ROOT, 0o600, ROOT).unwrap();
        let handle = union.open(nameless.id, OpenHow::Write).unwrap();
        fill(&union, handle, (0, 65_536));
        assert!(used(&union).0 > MIB - 32_768);
        union.release(handle);
        union.forget(nameless.id, 1);
        assert_eq!(used(&union), before);
    }
}

#[test]
fn what_is_replaced_gives_back_and_names_of_one_file_count_once() {
    support::need_root!();
    let _watch = watchdog(120);
    for lab in labs() {
        let union = lab.mount(of_bytes(MIB));
        let visit = Visit::new(&union);
        let of = |name: &str, len: usize| {
            let handle = made(&visit, name);
            assert_eq!(union.write(handle, &vec![1; len], 0).unwrap(), len);
            union.release(handle);
        };
        of("one", 500_000);
        let with_one = used(&union);
        of("two", 400_000);
        visit.rename("two", "one", RenameHow::Replace).unwrap();
        let (bytes, inodes) = used(&union);
        assert_eq!(inodes, with_one.1);
        assert!(bytes < with_one.0 - 90_000, "{bytes}, and before {with_one:?}");
        let before = used(&union);
        visit.link("one", "again").unwrap();
        visit.link("one", "d/again").unwrap();
        visit.unlink("one").unwrap();
        visit.unlink("again").unwrap();
        assert!(used(&union).0 >= before.0, "it has a name");
        visit.unlink("d/again").unwrap();
        of("three", 900_000);
        // Of a name of the lower nothing is left but a name.
        let with_three = used(&union);
        visit.unlink("small").unwrap();
        visit.rename("three", "kept", RenameHow::Replace).unwrap();
        visit.unlink("kept").unwrap();
        assert!(used(&union).0 < with_three.0 - 890_000);
        assert_eq!(used(&union).1, with_three.1 - 1);
    }
}

#[test]
fn a_copy_up_for_which_there_is_no_room_leaves_the_lower_to_be_seen() {
    support::need_root!();
    let _watch = watchdog(120);
    let both = |form| labs().map(move |lab| (lab, form));
    for (lab, form) in both(Form::Usual).chain(both(Form::Partial)) {
        let union = lab.mount_as(form, of_bytes(96 << 10));
        let visit = Visit::new(&union);
        let (before, shown) = (used(&union), visit.read("big").unwrap());
        assert_eq!(errno(visit.open("big", OpenHow::Write)), Some(Errno::NOSPC), "{form:?}");
        assert_eq!(visit.read("big").unwrap(), shown);
        assert_eq!(used(&union).0, before.0, "{form:?}");
        assert_eq!(leftovers(&lab.place()), [] as [std::path::PathBuf; 0]);
        // To empty it takes nothing.
        let handle = visit.open("big", OpenHow::Truncate).unwrap();
        assert!(fill(&union, handle, (0, 4096)) > 48 << 10, "{form:?}");
        union.release(handle);
    }
}

#[test]
fn of_a_file_that_is_written_in_part_its_blocks_count() {
    support::need_root!();
    let _watch = watchdog(120);
    for lab in labs() {
        let union = lab.mount_as(Form::Blocks, of_bytes(96 << 10));
        let visit = Visit::new(&union);
        let before = used(&union).0;
        let shown = visit.read("big").unwrap();
        let handle = visit.open("big", OpenHow::Write).unwrap();
        assert_eq!(union.write(handle, b"word", 50_000).unwrap(), 4);
        let (after, size) = (used(&union).0, shown.len() as u64);
        assert!(after > before && after < before + 32_768, "{before}, then {after}");
        let end = fill(&union, handle, (size, 10_000));
        assert!(end > size + 32_768 && used(&union).0 <= 96 << 10, "{end}");
        union.release(handle);
        let mut expected = shown;
        expected[50_000..50_004].copy_from_slice(b"word");
        assert_eq!(visit.read("big").unwrap()[..expected.len()], expected[..]);
    }
}

#[test]
fn what_a_file_lacks_is_brought_up_where_there_is_room_for_no_more_than_that() {
    support::need_root!();
    let _watch = watchdog(120);
    for lab in labs() {
        let union = lab.mount_as(Form::Blocks, of_bytes(256 << 10));
        let visit = Visit::new(&union);
        let shown = visit.read("big").unwrap();
        let len = shown.len() - 8192;
        let handle = visit.open("big", OpenHow::Write).unwrap();
        assert_eq!(union.write(handle, &shown[..len], 0).unwrap(), len);
        let other = made(&visit, "other");
        let end = fill(&union, other, (0, 4096));
        union.truncate(other, end - 20_480).unwrap();
        union.make_whole().unwrap();
        union.release(handle);
        union.release(other);
        assert_eq!(visit.read("big").unwrap(), shown);
    }
}

#[test]
fn room_that_is_allocated_counts_and_is_there_to_be_written() {
    support::need_root!();
    let _watch = watchdog(120);
    for (lab, tells) in labs().zip([false, true]) {
        let union = lab.mount(of_bytes(MIB));
        let visit = Visit::new(&union);
        let handle = made(&visit, "new");
        let before = used(&union).0;
        assert_eq!(errno(union.allocate(handle, 0, 0, 2 * MIB)), Some(Errno::NOSPC));
        let size = union.attr_of_open(handle).unwrap().size;
        assert_eq!((used(&union).0, size), (before, 0), "the file is as it was");
        union.allocate(handle, KEEP_SIZE, 0, 500_000).unwrap();
        assert!(used(&union).0 >= before + 500_000, "what lies behind the end, too");
        let other = made(&visit, "other");
        let end = fill(&union, other, (0, 65_536));
        assert!(end < MIB - 500_000);
        // Nothing is left, but for who has it already.
        for at in (0..500_000).step_by(50_000).filter(|_| tells) {
            assert_eq!(union.write(handle, &[1; 50_000], at).unwrap(), 50_000, "{at}");
        }
        assert_eq!(errno(union.allocate(handle, 0, 400_000, 300_000)), Some(Errno::NOSPC));
        assert_eq!(union.allocate(handle, 0, 0, 500_000).is_ok(), tells);
        union.allocate(handle, PUNCH, 0, 409_600).unwrap();
        assert!(fill(&union, other, (end, 65_536)) >= end + 409_600 - 8192);
        union.release(handle);
        union.release(other);
    }
}

#[test]
fn files_and_directories_are_counted_and_names_are_not() {
    support::need_root!();
    let _watch = watchdog(120);
    for lab in labs() {
        let union = lab.mount(Bounds { bytes: None, inodes: Some(10) });
        let visit = Visit::new(&union);
        let figures = union.filesystem().unwrap();
        assert_eq!((figures.f_files, figures.f_ffree), (10, 9), "the root is one");
        visit.make("file", NewNode::File).unwrap();
        visit.make("dir", NewNode::Directory).unwrap();
        visit.make("dir/link", NewNode::Symlink(b"target")).unwrap();
        for name in ["again", "dir/again"] {
            visit.link("file", name).unwrap();
        }
        visit.unlink("small").unwrap();
        assert_eq!(used(&union).1, 4, "a whiteout is a name");
        // The file and the directories on the way to it.
        visit.write("d/e/f/deep", b"new").unwrap();
        assert_eq!(used(&union).1, 8);
        for name in ["x1", "x2"] {
            visit.make(name, NewNode::File).unwrap();
        }
        for new in [NewNode::File, NewNode::Directory, NewNode::Symlink(b"x")] {
            assert_eq!(errno(visit.make("x3", new)), Some(Errno::NOSPC));
        }
        assert_eq!(errno(visit.open("tx", OpenHow::Write)), Some(Errno::NOSPC));
        let nameless = union.create_nameless(NodeId::ROOT, 0o600, ROOT);
        assert_eq!(errno(nameless), Some(Errno::NOSPC));
        assert_eq!(leftovers(&lab.place()), [] as [std::path::PathBuf; 0]);
        // What needs none is done, and gives back.
        visit.rename("x1", "x2", RenameHow::Replace).unwrap();
        visit.make("x3", NewNode::File).unwrap();
        visit.unlink("dir/link").unwrap();
        visit.unlink("dir/again").unwrap();
        visit.rmdir("dir").unwrap();
        assert_eq!(used(&union).1, 8);
    }
}

#[test]
fn names_take_room_too() {
    support::need_root!();
    let _watch = watchdog(120);
    for lab in labs() {
        let union = lab.mount(Bounds { bytes: Some(256 << 10), inodes: Some(100) });
        let visit = Visit::new(&union);
        visit.make("file", NewNode::File).unwrap();
        let long = |number: usize| format!("{number:0>200}");
        let refused = (0..20_000).find_map(|number| errno(visit.link("file", &long(number))));
        assert_eq!(refused, Some(Errno::NOSPC), "links without end");
    }
}

#[test]
fn attributes_take_room_too() {
    support::need_root!();
    let _watch = watchdog(120);
    for lab in labs() {
        let union = lab.mount(of_bytes(64 << 10));
        let visit = Visit::new(&union);
        let files = ["file", "other"].map(|name| {
            visit.make(name, NewNode::File).unwrap();
            visit.walk(name).unwrap().id
        });
        let before = used(&union).0;
        for len in [2000, 3000] {
            for file in files {
                union.set_xattr(file, (b"user.one", &vec![b'v'; len]), SetHow::Any).unwrap();
            }
        }
        let after = used(&union).0;
        assert!(after >= before + 4096 && after <= before + 12_288, "{before}, then {after}");
        drop(visit);
        drop(union);
        let union = lab.mount(of_bytes(64 << 10));
        let visit = Visit::new(&union);
        assert_eq!(used(&union).0, after, "the next mount counts them, too");
        let files = ["file", "other"].map(|name| visit.walk(name).unwrap().id);
        for file in files {
            union.remove_xattr(file, b"user.one").unwrap();
        }
        assert_eq!(used(&union).0, before);
        let file = visit.walk("file").unwrap().id;
        union.set_xattr(file, (b"user.one", &[b'v'; 3000]), SetHow::Any).unwrap();
        visit.unlink("file").unwrap();
        assert!(used(&union).0 <= before);
        let each = |number: usize| {
            let name = format!("f{number}");
            visit.make(&name, NewNode::File)?;
            let file = visit.walk(&name)?.id;
            union.set_xattr(file, (b"user.one", &[b'v'; 3000]), SetHow::Any)
        };
        assert_eq!((0..100).find_map(|number| errno(each(number))), Some(Errno::NOSPC));
        assert!(used(&union).0 <= 64 << 10);
    }
}

#[test]
fn attributes_without_end_are_refused_before_they_can_not_be_counted() {
    support::need_root!();
    let _watch = watchdog(120);
    for lab in labs() {
        let union = lab.mount(of_bytes(64 * MIB));
        let visit = Visit::new(&union);
        visit.make("file", NewNode::File).unwrap();
        let file = visit.walk("file").unwrap().id;
        let set = |number: usize| {
            let name = format!("user.{number:0>240}");
            union.set_xattr(file, (name.as_bytes(), &[b'v'; 100]), SetHow::Any)
        };
        // ext4 has no more than one block of them.
        assert_eq!((0..1000).find_map(|number| errno(set(number))), Some(Errno::NOSPC));
        assert_eq!(errno(set(0)), None, "one that is there has another value");
        let counted = used(&union).0;
        drop(visit);
        drop(union);
        assert_eq!(used(&lab.mount(of_bytes(64 * MIB))).0, counted);
    }
}

/// Everything that can be done, in short.
fn deeds(union: &Union, visit: &Visit<'_>) -> Result<(), UnionError> {
    let rename = |from: &str, to: &str| visit.rename(from, to, RenameHow::Replace);
    visit.write("big", b"begin")?;
    visit.write("d/e/f/deep", &[1; 9000])?;
    visit.write("g1", b"GROUP")?;
    visit.link("g2", "d/g4")?;
    for name in ["g1", "g2", "k1", "k2", "d/k3", "small", "d/plain"] {
        visit.unlink(name)?;
    }
    visit.make("dir", NewNode::Directory)?;
    visit.make("dir/sub", NewNode::Directory)?;
    visit.make("dir/sub/link", NewNode::Symlink(&[b't'; 300]))?;
    visit.make("dir/file", NewNode::File)?;
    visit.write("dir/file", &[2; 70_000])?;
    visit.link("dir/file", "dir/again")?;
    visit.unlink("dir/file")?;
    rename("dir/again", "kept")?;
    rename("kept", "stay")?;
    for name in ["allgone/one", "allgone/two"] {
        visit.unlink(name)?;
    }
    rename("dir/sub", "allgone")?;
    visit.rename("tx", "c", RenameHow::Exchange)?;
    let id = visit.walk("stay")?.id;
    union.set_attr(id, &SetAttr { size: Some(20_000), ..SetAttr::default() })?;
    let id = visit.walk("whited")?.id;
    union.set_attr(id, &SetAttr { uid: Some(7), ..SetAttr::default() })?;
    let handle = visit.open("sparse", OpenHow::Truncate)?;
    union.write(handle, b"end", 1_000_000)?;
    union.release(handle);
    let name = Name::new(b"gone").unwrap();
    visit.make("gone", NewNode::File)?;
    let handle = visit.open("gone", OpenHow::Write)?;
    union.write(handle, &[3; 30_000], 0)?;
    union.unlink(NodeId::ROOT, &name)?;
    union.release(handle);
    for name in ["n/one", "n/two"] {
        visit.unlink(name)?;
    }
    visit.rmdir("n")?;
    visit.make("n", NewNode::Directory)
}

#[test]
fn what_is_counted_is_what_the_next_mount_finds() {
    support::need_root!();
    let _watch = watchdog(240);
    let forms = [
        Form::Usual,
        Form::MarkedWhiteouts,
        Form::WhNames,
        Form::Recorded,
        Form::Partial,
        Form::Blocks,
        Form::Volatile,
    ];
    for (form, side) in forms.into_iter().flat_map(|form| [(form, Side::Image), (form, Side::Dirs)])
    {
        for scratch in [Scratch::new as fn() -> Scratch, Scratch::on_disk] {
            if form == Form::WhNames && side == Side::Image {
                continue;
            }
            let scratch = scratch();
            let is_usual = matches!(form, Form::Usual | Form::Recorded | Form::Blocks);
            // A disk takes its time to sync.
            if scratch.path().starts_with("/var/tmp") && !is_usual {
                continue;
            }
            let lab = Lab::new(scratch, side);
            let bounds = Bounds { bytes: Some(64 * MIB), inodes: Some(1000) };
            let union = lab.mount_as(form, bounds);
            let visit = Visit::new(&union);
            deeds(&union, &visit).unwrap();
            drop(visit);
            let counted = used(&union);
            drop(union);
            let mut found = used(&lab.mount_as(form, bounds));
            if matches!(form, Form::MarkedWhiteouts | Form::WhNames) {
                // The file that whiteouts are links of, which was none of the layer's own.
                found.1 -= 1;
            }
            assert_eq!(found, counted, "{form:?}, {side:?}, {}", lab.scratch.path().display());
        }
    }
}

#[cfg(feature = "fault")]
#[test]
fn after_a_refused_call_no_less_is_counted_than_there_is() {
    use layerfs_driver::sys::fault::{Plan, with_plan};
    support::need_root!();
    let _watch = watchdog(240);
    let lab = Lab::new(Scratch::on_disk(), Side::Image);
    let bounds = Bounds { bytes: Some(64 * MIB), inodes: Some(1000) };
    for (errno, first) in [(Errno::IO, 1), (Errno::NOSPC, 4)] {
        for n in (first..).step_by(7) {
            let place = lab.scratch.join(format!("place{n}"));
            let union = lab.ground.mount_bounded(&place, (Form::Blocks, bounds));
            let visit = Visit::new(&union);
            let plan = Plan::Fail { n, errno, call: None };
            let (done, outcome) = with_plan(plan, || deeds(&union, &visit));
            drop(visit);
            let counted = used(&union);
            drop(union);
            let found = used(&lab.ground.mount_bounded(&place, (Form::Blocks, bounds)));
            let told = format!("call {n}: {done:?}, {counted:?} counted and {found:?} there");
            assert!(found.0 <= counted.0 && found.1 <= counted.1, "{told}");
            std::fs::remove_dir_all(&place).unwrap();
            if !outcome.fired {
                break;
            }
        }
    }
}

#[cfg(feature = "fault")]
#[test]
fn what_is_removed_while_descriptors_are_short_gives_its_room_back() {
    use layerfs_driver::sys::fault::{Plan, with_plan};
    support::need_root!();
    let _watch = watchdog(120);
    let lab = Lab::new(Scratch::new(), Side::Image);
    let union = lab.mount(of_bytes(MIB));
    let visit = Visit::new(&union);
    let before = used(&union);
    for n in 1.. {
        let handle = made(&visit, "new");
        assert_eq!(union.write(handle, &[1; 100_000], 0).unwrap(), 100_000);
        union.release(handle);
        let plan = Plan::Fail { n, errno: Errno::MFILE, call: Some("openat".into()) };
        let (done, outcome) = with_plan(plan, || visit.unlink("new"));
        done.or_else(|_| visit.unlink("new")).unwrap();
        assert_eq!(used(&union), before, "call {n}");
        if !outcome.fired {
            assert!(n > 1, "it opens nothing to remove a name");
            break;
        }
    }
}

#[test]
fn what_was_there_counts_and_more_than_may_be_is_let_out_and_not_in() {
    support::need_root!();
    let _watch = watchdog(120);
    for lab in labs() {
        std::fs::create_dir_all(lab.place().join("upper")).unwrap();
        shell(
            &lab.place(),
            "head -c 200000 /dev/zero | tr '\\0' x > upper/was; ln upper/was upper/again",
        );
        let union = lab.mount(of_bytes(128 << 10));
        let visit = Visit::new(&union);
        let figures = union.filesystem().unwrap();
        assert_eq!((figures.f_bfree, figures.f_bavail), (0, 0));
        assert_eq!(errno(visit.make("new", NewNode::File)), Some(Errno::NOSPC));
        assert_eq!(errno(visit.link("was", "third")), Some(Errno::NOSPC));
        visit.write("was", b"what has its room").unwrap();
        visit.unlink("small").unwrap();
        visit.rename("was", "moved", RenameHow::Replace).unwrap();
        visit.unlink("moved").unwrap();
        assert_eq!(errno(visit.make("new", NewNode::File)), Some(Errno::NOSPC));
        visit.unlink("again").unwrap();
        visit.make("new", NewNode::File).unwrap();
        visit.write("new", &[1; 50_000]).unwrap();
    }
}

#[test]
fn the_figures_of_a_bounded_mount_are_those_of_its_bound() {
    support::need_root!();
    let _watch = watchdog(120);
    let lab = Lab::new(Scratch::on_disk(), Side::Image);
    let disk = lab.ground.mount(&lab.place()).filesystem().unwrap();
    let figures = lab.mount(of_bytes(20 * MIB)).filesystem().unwrap();
    assert_eq!(figures.f_blocks * figures.f_frsize, 20 * MIB);
    assert_eq!((figures.f_files, figures.f_namemax), (5120, disk.f_namemax));
    assert!(figures.f_bavail <= figures.f_bfree && figures.f_bfree < figures.f_blocks);
    let figures = lab.mount(Bounds { bytes: None, inodes: Some(7) }).filesystem().unwrap();
    assert_eq!((figures.f_blocks, figures.f_files), (disk.f_blocks, 7));
    // What the disk has no room for is not to be had.
    let figures = lab.mount(of_bytes(1 << 50)).filesystem().unwrap();
    assert!(figures.f_bavail < figures.f_bfree);
}
