//! An image's merged tree is what a stack of its unpacked layers is, and damage in the store is an error.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that can't go on should fail there

use std::collections::BTreeMap;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use layerfs_driver::lower::{
    DirStack, ImageTree, Lower, LowerNode, Redirects, StackOptions, WhNames,
};
use layerfs_driver::store::digest::Digest;
use layerfs_driver::sys::Errno;
use layerfs_driver::tree::{Ino, MarkSpace, Name, Origin};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rustix::fs::{CWD, FileType, Mode, XattrFlags};

#[path = "kit/image.rs"]
mod image;
#[path = "lower_trees/seen.rs"]
mod seen;

use image::{Imported, of_archive, of_directories};
use seen::{Seen, Tree};

const NAMES: [&str; 4] = ["a", "b", "c", "\u{e9}"];

#[derive(Clone, Debug)]
enum Thing {
    Directory,
    File(u16, u32),
    Sparse,
    Symlink,
    Fifo,
    Link(Vec<usize>),
    Whiteout,
    Opaque,
    Attributes,
}

fn path() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..NAMES.len(), 1..=3)
}

fn thing() -> impl Strategy<Value = Thing> {
    prop_oneof![
        3 => Just(Thing::Directory),
        4 => (0..9000_u16, prop_oneof![Just(0o644), Just(0o2755)])
            .prop_map(|(len, mode)| Thing::File(len, mode)),
        1 => Just(Thing::Sparse),
        1 => Just(Thing::Symlink),
        1 => Just(Thing::Fifo),
        2 => path().prop_map(Thing::Link),
        3 => Just(Thing::Whiteout),
        1 => Just(Thing::Opaque),
        1 => Just(Thing::Attributes),
    ]
}

fn layers() -> impl Strategy<Value = Vec<Vec<(Vec<usize>, Thing)>>> {
    prop::collection::vec(prop::collection::vec((path(), thing()), 1..14), 1..=4)
}

fn grow(root: &Path, steps: &[(Vec<usize>, Thing)]) {
    let at = |path: &[usize]| path.iter().fold(root.to_owned(), |at, n| at.join(NAMES[*n]));
    for (path, thing) in steps {
        let (at, to) =
            (at(path), if let Thing::Link(to) = thing { at(to) } else { PathBuf::new() });
        let parent = at.parent().unwrap();
        if std::fs::create_dir_all(parent).is_err() {
            continue;
        }
        let name = at.file_name().unwrap().to_str().unwrap();
        let is_free = at.symlink_metadata().is_err();
        match thing {
            Thing::Directory if is_free => std::fs::create_dir(&at).unwrap(),
            Thing::File(len, mode) if is_free => {
                std::fs::write(&at, vec![len.to_le_bytes()[0]; usize::from(*len)]).unwrap();
                std::fs::set_permissions(&at, std::fs::Permissions::from_mode(*mode)).unwrap();
            }
            Thing::Sparse if is_free => {
                let file = std::fs::File::create(&at).unwrap();
                file.set_len(300_000).unwrap();
                file.write_all_at(b"data", 200_000).unwrap();
            }
            Thing::Symlink if is_free => symlink("../nowhere", &at).unwrap(),
            Thing::Fifo if is_free => {
                rustix::fs::mknodat(CWD, &at, FileType::Fifo, Mode::RUSR, 0).unwrap();
            }
            Thing::Link(_) if is_free && to.is_file() => std::fs::hard_link(&to, &at).unwrap(),
            Thing::Whiteout => std::fs::write(parent.join(format!(".wh.{name}")), b"").unwrap(),
            Thing::Opaque => std::fs::write(parent.join(".wh..wh..opq"), b"").unwrap(),
            Thing::Attributes if at.is_file() || at.is_dir() => {
                for name in ["user.tag", "user.overlay.opaque"] {
                    rustix::fs::lsetxattr(&at, name, b"value", XattrFlags::empty()).unwrap();
                }
            }
            _ => {}
        }
    }
}

/// Numbers and link counts are each side's own: a stack counts names of a layer, an image the names that can be seen.
fn comparable(mut tree: Tree) -> Tree {
    for seen in tree.values_mut() {
        if let Seen::There(entry) = seen {
            (entry.ino, entry.nlink) = (0, 0);
        }
    }
    tree
}

/// The names of each number are as many as its link count says.
fn check_link_counts(tree: &Tree) {
    let mut names: BTreeMap<u64, u64> = BTreeMap::new();
    let entries =
        || tree.values().map(|seen| if let Seen::There(entry) = seen { entry } else { panic!() });
    for entry in entries() {
        *names.entry(entry.ino).or_default() += 1;
    }
    for entry in entries().filter(|entry| entry.mode >> 12 != 0o04) {
        assert_eq!(names[&entry.ino], entry.nlink);
    }
}

#[test]
fn an_image_is_a_stack_of_its_layers() {
    // In the user namespace the marks that some layers carry are private, as all are in an image.
    let options = StackOptions {
        space: MarkSpace::User,
        redirects: Redirects::Refuse,
        wh_names: WhNames::Whiteouts,
    };
    let cases = std::env::var("PROPTEST_CASES").map_or(60, |n| n.parse().unwrap());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let run = TestRunner::new(config).run(&layers(), |layers| {
        let scratch = tempfile::tempdir().unwrap();
        let dirs: Vec<PathBuf> =
            (0..layers.len()).map(|n| scratch.path().join(format!("l{n}"))).collect();
        for (dir, steps) in dirs.iter().zip(&layers) {
            std::fs::create_dir(dir).unwrap();
            grow(dir, steps);
        }
        // The mark on directories hides nothing in an image, and here would.
        let image = seen::of_lower(&of_directories(&dirs).lower());
        strip_marks(&dirs);
        let stack = seen::of_lower(&Lower::Dirs(DirStack::open_paths(&dirs, options).unwrap()));
        check_link_counts(&image);
        prop_assert_eq!(comparable(image), comparable(stack));
        Ok(())
    });
    if let Err(error) = run {
        panic!("{error}");
    }
}

fn strip_marks(dirs: &[PathBuf]) {
    for dir in dirs {
        strip(dir);
    }
}

fn strip(at: &Path) {
    if at.symlink_metadata().unwrap().is_dir() {
        match rustix::fs::lremovexattr(at, "user.overlay.opaque") {
            Ok(()) | Err(rustix::io::Errno::NODATA) => {}
            Err(error) => panic!("{error}"),
        }
        for entry in std::fs::read_dir(at).unwrap() {
            strip(&entry.unwrap().path());
        }
    }
}

fn sample() -> Imported {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |path: &str, contents: &[u8], attribute: Option<&str>| {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mode(0o640);
        header.set_mtime(1_700_000_000);
        if let Some(name) = attribute {
            let key = format!("SCHILY.xattr.{name}");
            archive.append_pax_extensions([(key.as_str(), &b"y"[..])]).unwrap();
        }
        archive.append_data(&mut header, path, contents).unwrap();
    };
    add("dir/small", b"0123456789", Some("user.tag"));
    add("dir/large", &vec![7; 10_000], Some("trusted.overlay.redirect"));
    add("dir/other", b"", Some("user.overlay.metacopy"));
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Link);
    header.set_size(0);
    archive.append_link(&mut header, "dir/sub/link", "dir/small").unwrap();
    header.set_entry_type(tar::EntryType::Symlink);
    archive.append_link(&mut header, "dir/pointer", "small").unwrap();
    of_archive(archive)
}

fn find(lower: &Lower, path: &str) -> LowerNode {
    let names: Vec<Name> = path.split('/').map(|n| Name::new(n.as_bytes()).unwrap()).collect();
    lower.at_path(&names).unwrap().unwrap_or_else(|| panic!("{path} is absent"))
}

#[test]
fn contents_are_read_at_any_offset() {
    let imported = sample();
    let lower = imported.lower();
    for (path, len, has_file) in [("dir/small", 10, false), ("dir/large", 10_000, true)] {
        let file = lower.open(&find(&lower, path)).unwrap();
        assert_eq!((file.size(), file.fd().is_some()), (len, has_file));
        let mut buf = [0; 4];
        assert_eq!(file.read_at(&mut buf, len - 2).unwrap(), 2);
        assert_eq!(file.read_at(&mut buf, len).unwrap(), 0);
        assert_eq!(file.read_at(&mut buf, 1 << 40).unwrap(), 0);
        assert_eq!((file.next_data(3).unwrap(), file.next_hole(3).unwrap()), (Some(3), len));
        assert_eq!(file.next_data(len).unwrap(), None);
    }
    let mut buf = [0; 4];
    lower.open(&find(&lower, "dir/small")).unwrap().read_at(&mut buf, 3).unwrap();
    assert_eq!(&buf, b"3456");
}

#[test]
fn numbers_are_even_and_lead_back() {
    let imported = sample();
    let lower = imported.lower();
    let Lower::Image(tree) = &lower else { panic!() };
    assert_eq!(lower.ino(&lower.root()), Ino(1));
    for ordinal in 1..tree.inode_count() {
        let ino = Ino(2 * u64::from(ordinal));
        assert_eq!(tree.ordinal_of(ino).map(|o| o.number()), Some(ordinal));
    }
    for none in [0, 3, 5, 2 * u64::from(tree.inode_count()), u64::MAX - 1] {
        assert_eq!(tree.ordinal_of(Ino(none)), None, "{none}");
    }
    let stat = layerfs_driver::sys::file::stat(std::fs::File::open("/").unwrap()).unwrap();
    assert_eq!(lower.ino_of_upper(&stat).unwrap(), Ino(2 * stat.st_ino + 1));
}

#[test]
fn a_group_knows_all_its_names_and_an_origin_its_node() {
    let imported = sample();
    let lower = imported.lower();
    let node = find(&lower, "dir/sub/link");
    assert!(lower.is_group(&node).unwrap());
    let names: Vec<String> =
        lower.names(&node).unwrap().iter().map(|(_, name)| name.to_string()).collect();
    assert_eq!(names, ["small", "link"]);
    assert!(lower.names(&lower.root()).unwrap().is_empty());
    let origin = lower.origin(&node).unwrap().unwrap();
    let back = lower.by_origin(&origin).unwrap().unwrap();
    assert_eq!(lower.ino(&back), lower.ino(&node));
    let Origin::Image { fold_version, chain_id, ordinal } = origin else { panic!() };
    let others = [
        Origin::Image { fold_version: fold_version + 1, chain_id, ordinal },
        Origin::Image { fold_version, chain_id: Digest::of(b"other"), ordinal },
        Origin::Image { fold_version, chain_id, ordinal: 1_000_000 },
    ];
    for other in others {
        assert!(lower.by_origin(&other).unwrap().is_none(), "{other:?}");
        assert_eq!(lower.ino_of_origin(&other), None);
    }
}

#[test]
fn marks_of_an_archive_are_neither_honoured_nor_shown() {
    let imported = sample();
    let lower = imported.lower();
    for (path, mark) in
        [("dir/large", &b"trusted.overlay.redirect"[..]), ("dir/other", b"user.overlay.metacopy")]
    {
        let node = find(&lower, path);
        assert!(lower.xattrs(&node).unwrap().is_empty(), "{path}");
        assert_eq!(lower.xattr(&node, mark).unwrap(), None);
        lower.open(&node).unwrap();
    }
    let shown = lower.xattr(&find(&lower, "dir/small"), b"user.tag").unwrap();
    assert_eq!(shown.as_deref(), Some(&b"y"[..]));
}

#[test]
fn an_object_that_is_cut_or_gone_is_an_error_and_not_absence() {
    let imported = sample();
    let lower = imported.lower();
    let node = find(&lower, "dir/large");
    let hex = Digest::of(&vec![7; 10_000]).hex();
    let object = imported.store_path(&format!("objects/{}/{hex}", &hex[..2]));
    std::fs::set_permissions(&object, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::File::options().write(true).open(&object).unwrap().set_len(9_999).unwrap();
    let error = lower.open(&node).unwrap_err();
    assert_eq!(error.errno(), Errno::IO);
    assert!(error.to_string().contains("9999 bytes, not 10000"), "{error}");
    std::fs::remove_file(&object).unwrap();
    assert_eq!(lower.open(&node).unwrap_err().errno(), Errno::IO);
}

#[test]
fn an_index_cut_under_an_open_file_is_an_error_and_not_zeros() {
    let imported = sample();
    let lower = imported.lower();
    let file = lower.open(&find(&lower, "dir/small")).unwrap();
    let index = imported.store_path(&format!("trees/{}", imported.chain.hex()));
    std::fs::set_permissions(&index, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::File::options().write(true).open(&index).unwrap().set_len(0).unwrap();
    assert_eq!(file.read_at(&mut [0; 4], 0).unwrap_err().errno(), Errno::IO);
    assert_eq!(lower.list(&lower.root()).unwrap_err().errno(), Errno::IO);
}

/// Each answer is made of a page that was proved before, was dropped from memory since, and can't be read again. The page
/// reads as zeros, of which "absent", "no attribute" and "not a link" can be made, too.
#[test]
fn no_answer_is_made_of_a_page_that_was_proved_and_then_lost() {
    let imported = sample();
    let path = imported.store_path(&format!("trees/{}", imported.chain.hex()));
    let whole = std::fs::read(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    type Ask = fn(&Lower, &LowerNode) -> Option<Errno>;
    fn told<T>(answer: Result<T, layerfs_driver::lower::LowerError>) -> Option<Errno> {
        answer.err().map(|error| error.errno())
    }
    let dir = Name::new(b"dir").unwrap();
    let table: [(&str, &str, Ask); 11] = [
        ("lookup", "dir", |lower, node| told(lower.lookup(node, &Name::new(b"small").unwrap()))),
        ("attr", "dir/small", |lower, node| told(lower.attr(node))),
        ("list", "dir", |lower, node| told(lower.list(node))),
        ("child_count", "dir", |lower, node| told(lower.child_count(node))),
        ("read_link", "dir/pointer", |lower, node| told(lower.read_link(node))),
        ("xattr", "dir/small", |lower, node| told(lower.xattr(node, b"user.tag"))),
        ("xattrs", "dir/small", |lower, node| told(lower.xattrs(node))),
        ("open", "dir/small", |lower, node| told(lower.open(node))),
        ("names", "dir/small", |lower, node| told(lower.names(node))),
        ("is_group", "dir/small", |lower, node| told(lower.is_group(node))),
        ("path", "dir/small", |lower, node| told(lower.path(node))),
    ];
    for (call, at, ask) in table {
        let lower = imported.lower();
        let node = find(&lower, at);
        // Every block is one that was proved.
        seen::of_lower(&lower);
        assert_eq!(ask(&lower, &node), None, "{call}");
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_len(0).unwrap();
        assert_eq!(ask(&lower, &node), Some(Errno::IO), "{call}");
        // Once is for good: what the page held is not known any more.
        file.write_all_at(&whole, 0).unwrap();
        assert_eq!(told(lower.lookup(&lower.root(), &dir)), Some(Errno::IO), "{call}");
    }
}

#[test]
fn a_node_of_another_tree_is_refused() {
    let imported = sample();
    let lower = imported.lower();
    let scratch = tempfile::tempdir().unwrap();
    let options = StackOptions {
        space: MarkSpace::User,
        redirects: Redirects::Refuse,
        wh_names: WhNames::Plain,
    };
    let other = Lower::Dirs(DirStack::open_paths(&[scratch.path()], options).unwrap());
    assert_eq!(lower.attr(&other.root()).unwrap_err().errno(), Errno::IO);
    assert_eq!(other.attr(&lower.root()).unwrap_err().errno(), Errno::IO);
    ImageTree::open(&imported.store, &Digest::of(b"none")).unwrap_err();
}
