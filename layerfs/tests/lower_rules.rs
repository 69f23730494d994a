//! The rules of a stack of directories, one by one, and what it does with layers that are damaged or change underneath.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that can't go on should fail there

use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use layerfs_driver::lower::{
    DirStack, Lower, LowerError, LowerNode, Redirects, StackOptions, WhNames,
};
use layerfs_driver::sys::Errno;
use layerfs_driver::tree::{Ino, Kind, MarkSpace, Name};
use rustix::fs::{CWD, FileType, Mode, XattrFlags};

// Marks of the user namespace: these tests need no right.
const USER: StackOptions =
    StackOptions { space: MarkSpace::User, redirects: Redirects::Follow, wh_names: WhNames::Plain };

/// Two layers, `top` and `low`, in a directory that goes with it.
struct Layers {
    scratch: tempfile::TempDir,
}

impl Layers {
    fn new() -> Layers {
        let layers = Layers { scratch: tempfile::tempdir().unwrap() };
        for layer in ["top", "low"] {
            std::fs::create_dir(layers.at(layer)).unwrap();
        }
        layers
    }

    fn at(&self, path: &str) -> PathBuf {
        self.scratch.path().join(path)
    }

    fn file(&self, path: &str) -> PathBuf {
        let at = self.at(path);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(&at, path).unwrap();
        at
    }

    fn mark(&self, path: &str, name: &str, value: &[u8]) {
        rustix::fs::lsetxattr(
            self.at(path),
            format!("user.overlay.{name}"),
            value,
            XattrFlags::empty(),
        )
        .unwrap();
    }

    fn stack(&self, options: StackOptions) -> Lower {
        Lower::Dirs(DirStack::open_paths(&[self.at("top"), self.at("low")], options).unwrap())
    }
}

/// Asks a root for many names that nobody has: from then on only layers are asked that have a name.
fn missed(lower: Lower) -> Lower {
    for number in 0..60 {
        assert!(find(&lower, &format!("nobody has {number}")).unwrap().is_none());
    }
    lower
}

fn names(path: &str) -> Vec<Name> {
    path.split('/').map(|name| Name::new(name.as_bytes()).unwrap()).collect()
}

fn find(lower: &Lower, path: &str) -> Result<Option<LowerNode>, LowerError> {
    lower.at_path(&names(path))
}

fn there(lower: &Lower, path: &str) -> LowerNode {
    find(lower, path).unwrap().unwrap_or_else(|| panic!("{path} is absent"))
}

/// The bytes of a file: each holds the path by which the test made it.
fn read(lower: &Lower, path: &str) -> String {
    let file = lower.open(&there(lower, path)).unwrap();
    let mut bytes = vec![0; 4096];
    let len = file.read_at(&mut bytes, 0).unwrap();
    String::from_utf8(bytes[..len].to_vec()).unwrap()
}

fn listed(lower: &Lower, path: &str) -> Vec<String> {
    let dir = if path.is_empty() { lower.root() } else { there(lower, path) };
    lower.list(&dir).unwrap().into_iter().map(|entry| entry.name.to_string()).collect()
}

fn errno(result: Result<Option<LowerNode>, LowerError>) -> Errno {
    result.map(|node| node.is_some()).unwrap_err().errno()
}

#[test]
fn names_of_archives_hide_where_they_are_read_and_are_names_elsewhere() {
    let layers = Layers::new();
    for path in
        ["low/gone", "low/both", "low/dir/below", "low/again/below", "top/both", "top/again/new"]
    {
        layers.file(path);
    }
    for mark in [
        "top/.wh.gone",
        "top/.wh.both",
        "top/.wh.again",
        "top/dir/.wh..wh..opq",
        "top/.wh..wh.plnk",
    ] {
        layers.file(mark);
    }
    let read_names = StackOptions { wh_names: WhNames::Whiteouts, ..USER };
    for lower in [layers.stack(read_names), missed(layers.stack(read_names))] {
        assert_eq!(listed(&lower, ""), ["again", "both", "dir"]);
        assert!(find(&lower, "gone").unwrap().is_none());
        assert!(find(&lower, ".wh.gone").unwrap().is_none());
        assert_eq!(read(&lower, "both"), "top/both", "a whiteout never speaks of its own layer");
        assert!(listed(&lower, "dir").is_empty());
        assert_eq!(listed(&lower, "again"), ["new"], "removed and made again");
    }
    let plain = missed(layers.stack(USER));
    assert_eq!(read(&plain, ".wh.gone"), "top/.wh.gone");
    assert_eq!(read(&plain, "gone"), "low/gone");
}

#[test]
fn an_opaque_name_in_a_root_hides_the_layers_below() {
    let layers = Layers::new();
    layers.file("low/gone");
    layers.file("top/.wh..wh..opq");
    let lower = layers.stack(StackOptions { wh_names: WhNames::Whiteouts, ..USER });
    assert!(listed(&lower, "").is_empty());
    assert!(find(&lower, "gone").unwrap().is_none());
}

#[test]
fn an_empty_file_is_a_whiteout_by_mark_only_where_its_directory_says_so() {
    let layers = Layers::new();
    for path in ["low/x/gone", "low/x/full", "low/plain/gone"] {
        layers.file(path);
    }
    for path in ["top/x/gone", "top/plain/gone"] {
        layers.file(path);
        std::fs::write(layers.at(path), b"").unwrap();
        layers.mark(path, "whiteout", b"");
    }
    layers.file("top/x/full");
    layers.mark("top/x/full", "whiteout", b"");
    layers.mark("top/x", "opaque", b"x");
    let lower = layers.stack(USER);
    assert_eq!(listed(&lower, "x"), ["full"]);
    assert!(find(&lower, "x/gone").unwrap().is_none());
    assert_eq!(read(&lower, "x/full"), "top/x/full", "it is not empty");
    assert_eq!(read(&lower, "plain/gone"), "");
}

#[test]
fn marks_of_the_other_namespace_are_ordinary_attributes() {
    let layers = Layers::new();
    layers.file("low/dir/below");
    layers.file("top/dir/above");
    layers.mark("top/dir", "opaque", b"y");
    layers.mark("top/dir", "overlay.opaque", b"escaped");
    let user = layers.stack(USER);
    assert_eq!(listed(&user, "dir"), ["above"]);
    let dir = there(&user, "dir");
    let own = user.xattrs(&dir).unwrap();
    assert_eq!(own, [(b"user.overlay.opaque"[..].into(), b"escaped"[..].into())]);
    assert_eq!(user.xattr(&dir, b"user.overlay.opaque").unwrap().as_deref(), Some(&b"escaped"[..]));
    let trusted = layers.stack(StackOptions { space: MarkSpace::Trusted, ..USER });
    assert_eq!(listed(&trusted, "dir"), ["above", "below"]);
    let value = trusted.xattr(&there(&trusted, "dir"), b"user.overlay.opaque").unwrap();
    assert_eq!(value.as_deref(), Some(&b"y"[..]));
}

#[test]
fn redirects_are_followed_refused_or_broken() {
    let layers = Layers::new();
    layers.file("low/old/deep/file");
    layers.file("low/one/file");
    for (dir, redirect) in
        [("moved", &b"/old/deep"[..]), ("sibling", b"one"), ("bad", b"/old/../one")]
    {
        std::fs::create_dir(layers.at("top").join(dir)).unwrap();
        layers.mark(&format!("top/{dir}"), "redirect", redirect);
    }
    let lower = layers.stack(USER);
    assert_eq!(read(&lower, "moved/file"), "low/old/deep/file");
    assert_eq!(read(&lower, "sibling/file"), "low/one/file");
    assert_eq!(lower.path(&there(&lower, "moved/file")).unwrap(), names("moved/file"));
    assert_eq!(errno(find(&lower, "bad")), Errno::IO);
    let strict = layers.stack(StackOptions { redirects: Redirects::Refuse, ..USER });
    assert_eq!(errno(find(&strict, "moved")), Errno::PERM);
    assert_eq!(read(&strict, "old/deep/file"), "low/old/deep/file");
}

#[test]
fn data_that_lies_elsewhere_is_found_or_is_an_error() {
    let layers = Layers::new();
    layers.file("low/data");
    for (file, mark) in [("whole", &b""[..]), ("partial", &[1]), ("bad", &[9, 9]), ("lost", b"")] {
        layers.file(&format!("top/{file}"));
        layers.mark(&format!("top/{file}"), "metacopy", mark);
    }
    layers.mark("top/whole", "redirect", b"/data");
    let lower = layers.stack(USER);
    assert_eq!(read(&lower, "whole"), "low/data");
    for (file, word) in
        [("partial", "normalize"), ("bad", "metacopy mark"), ("lost", "no layer below")]
    {
        let error = find(&lower, file).unwrap_err();
        assert_eq!(error.errno(), Errno::IO);
        let line = error.to_string();
        assert!(line.contains(&format!("`{file}`")) && line.contains(word), "{line}");
    }
}

#[test]
fn a_symlink_is_never_followed() {
    let layers = Layers::new();
    layers.file("low/real/secret");
    layers.file("low/dir/low");
    symlink("../low/real", layers.at("top/real")).unwrap();
    std::fs::create_dir_all(layers.at("top/dir")).unwrap();
    symlink("/", layers.at("low/over")).unwrap();
    layers.file("top/over/file");
    let lower = layers.stack(USER);
    assert!(find(&lower, "real/secret").unwrap().is_none());
    assert_eq!(&*lower.read_link(&there(&lower, "real")).unwrap(), b"../low/real");
    assert_eq!(listed(&lower, "over"), ["file"], "a directory hides a link below");
    // Swapped after the lookup.
    let dir = there(&lower, "dir");
    std::fs::rename(layers.at("low/dir"), layers.at("low/gone")).unwrap();
    symlink("real", layers.at("low/dir")).unwrap();
    let error = lower.list(&dir).unwrap_err();
    assert_eq!(error.errno(), Errno::STALE, "{error}");
    assert_eq!(errno(lower.lookup(&dir, &names("secret")[0])), Errno::STALE);
}

#[test]
fn a_file_that_changed_after_lookup_is_stale() {
    let layers = Layers::new();
    for path in ["low/written", "low/replaced", "low/gone", "low/same"] {
        layers.file(path);
    }
    let lower = layers.stack(USER);
    let node = |name: &str| there(&lower, name);
    let nodes = [node("written"), node("replaced"), node("gone")];
    let same = node("same");
    // The clock of inode times may stand still for some milliseconds: written until it has moved.
    let before = ctime(&layers.at("low/written"));
    while ctime(&layers.at("low/written")) == before {
        std::fs::write(layers.at("low/written"), b"other bytes").unwrap();
    }
    std::fs::rename(layers.file("low/new"), layers.at("low/replaced")).unwrap();
    std::fs::remove_file(layers.at("low/gone")).unwrap();
    for node in &nodes {
        assert_eq!(lower.open(node).unwrap_err().errno(), Errno::STALE);
    }
    lower.open(&same).unwrap();
    assert_eq!(lower.attr(&nodes[0]).unwrap().size, 11, "attributes are those of now");
    assert_eq!(lower.attr(&nodes[1]).unwrap_err().errno(), Errno::STALE);
    assert_eq!(read(&lower, "replaced"), "low/new", "looked up again");
}

fn ctime(path: &Path) -> (i64, i64) {
    let meta = path.metadata().unwrap();
    (meta.ctime(), meta.ctime_nsec())
}

#[test]
fn what_is_mounted_below_a_layer_is_no_part_of_it() {
    let root = Lower::Dirs(DirStack::open_paths(&["/"], USER).unwrap());
    // Through a clone what /proc covers is seen, and without the right to make one nothing.
    assert!(listed(&root, "proc").is_empty());
    assert!(find(&root, "proc/self").unwrap().is_none());
    assert_eq!(root.attr(&there(&root, "proc")).unwrap().kind, Kind::Directory);
}

#[test]
fn paths_are_longer_than_one_call_takes() {
    let layers = Layers::new();
    let name = "d".repeat(250);
    let mut dir =
        rustix::fs::open(layers.at("low"), rustix::fs::OFlags::PATH, Mode::empty()).unwrap();
    for _ in 0..40 {
        rustix::fs::mkdirat(&dir, &*name, Mode::RWXU).unwrap();
        dir = rustix::fs::openat(&dir, &*name, rustix::fs::OFlags::PATH, Mode::empty()).unwrap();
    }
    rustix::fs::mknodat(&dir, "fifo", FileType::Fifo, Mode::RWXU, 0).unwrap();
    let lower = layers.stack(USER);
    let path = vec![name.as_str(); 40].join("/") + "/fifo";
    let node = there(&lower, &path);
    assert_eq!(lower.attr(&node).unwrap().kind, Kind::Fifo);
    assert_eq!(lower.path(&node).unwrap(), names(&path));
    assert_eq!(lower.open(&node).unwrap_err().errno(), Errno::INVAL, "a fifo is not opened");
}

fn opened(path: &Path) -> std::os::fd::OwnedFd {
    layerfs_driver::sys::dir::open_path(path).unwrap()
}

/// A stack of `top` and `low` that hides some of their directories.
fn hiding(layers: &Layers, hidden: &[&str], options: StackOptions) -> Lower {
    let stack = DirStack::open_paths(&[layers.at("top"), layers.at("low")], options).unwrap();
    Lower::Dirs(stack.hiding(hidden.iter().map(|path| opened(&layers.at(path)))).unwrap())
}

#[test]
fn a_hidden_directory_is_absent_in_every_layer_and_hides_nothing_itself() {
    let layers = Layers::new();
    for path in ["top/v/both/own", "top/v/kept", "low/v/both/below", "low/v/low/own", "low/v/top"] {
        layers.file(path);
    }
    let shown = |hidden: &[&str]| {
        let lower = hiding(&layers, hidden, USER);
        for name in ["both", "kept", "low", "top"] {
            let found = find(&lower, &format!("v/{name}")).unwrap().is_some();
            assert_eq!(found, listed(&lower, "v").contains(&name.to_owned()), "{name}");
        }
        lower
    };
    let lower = shown(&["top/v/both"]);
    assert_eq!(listed(&lower, "v/both"), ["below"], "the layer below still has the name");
    let lower = shown(&["top/v/both", "low/v/both", "low/v/low"]);
    assert_eq!(listed(&lower, "v"), ["kept", "top"]);
    let hidden = |name: &str| lower.has_hidden(&there(&lower, "v"), &names(name)[0]).unwrap();
    assert_eq!(["both", "low", "kept", "nobody"].map(hidden), [true, true, false, false]);
    assert_eq!(listed(&hiding(&layers, &["low"], USER), ""), ["v"], "a root was asked for");
}

#[test]
fn no_way_leads_to_a_hidden_directory() {
    let layers = Layers::new();
    layers.file("low/store/deep/secret");
    layers.file("low/plain/file");
    for (dir, redirect) in
        [("whole", &b"/store"[..]), ("deep", b"/store/deep"), ("sibling", b"store")]
    {
        std::fs::create_dir(layers.at("top").join(dir)).unwrap();
        layers.mark(&format!("top/{dir}"), "redirect", redirect);
    }
    assert_eq!(listed(&layers.stack(USER), "deep"), ["secret"]);
    let lower = hiding(&layers, &["low/store"], USER);
    assert_eq!(listed(&lower, ""), ["deep", "plain", "sibling", "whole"]);
    for dir in ["whole", "deep", "sibling"] {
        assert!(listed(&lower, dir).is_empty(), "{dir}");
    }
    assert!(find(&lower, "store/deep").unwrap().is_none());
    // It is told by its number, and the number is kept: a directory made in its place is another one.
    std::fs::remove_dir_all(layers.at("low/store")).unwrap();
    layers.file("low/store/new");
    assert_eq!(listed(&lower, "store"), ["new"]);
}

#[test]
fn numbers_of_two_file_systems_are_told_apart() {
    let layers = Layers::new();
    let other = tempfile::tempdir_in("/dev/shm").unwrap();
    layers.file("top/here");
    std::fs::write(other.path().join("there"), b"x").unwrap();
    let device = |path: &Path| path.metadata().unwrap().dev();
    if device(other.path()) == device(&layers.at("top")) {
        writeln!(
            std::io::stderr(),
            "skipped: /dev/shm and the temporary directory are one file system"
        )
        .unwrap();
        return;
    }
    let stack = DirStack::open_paths(&[layers.at("top"), other.path().to_owned()], USER).unwrap();
    let lower = Lower::Dirs(stack);
    let ino = |path: PathBuf| path.metadata().unwrap().ino();
    let there = |name: &str| lower.ino(&there(&lower, name));
    assert_eq!(there("here"), Ino(ino(layers.at("top/here"))));
    assert_eq!(there("there"), Ino(1 << 56 | ino(other.path().join("there"))));
    for entry in lower.list(&lower.root()).unwrap() {
        assert_eq!(entry.ino, there(&entry.name.to_string()), "as lookups say");
    }
}

#[test]
fn names_that_nobody_has_are_absent_and_files_are_no_directories() {
    let layers = Layers::new();
    layers.file("low/file");
    let lower = layers.stack(USER);
    let file = there(&lower, "file");
    assert_eq!(errno(lower.lookup(&file, &names("x")[0])), Errno::NOTDIR);
    assert_eq!(lower.list(&file).unwrap_err().errno(), Errno::NOTDIR);
    assert!(find(&lower, "file/x").unwrap().is_none());
    assert_eq!(lower.open(&lower.root()).unwrap_err().errno(), Errno::INVAL);
    assert_eq!(lower.read_link(&file).unwrap_err().errno(), Errno::INVAL);
    let none: [&Path; 0] = [];
    assert!(matches!(DirStack::open_paths(&none, USER), Err(LowerError::NoLayers)));
}

#[test]
fn a_whiteout_device_hides_and_is_hidden() {
    let layers = Layers::new();
    layers.file("low/gone");
    // Linux lets everyone make this one device.
    rustix::fs::mknodat(CWD, layers.at("top/gone"), FileType::CharacterDevice, Mode::RUSR, 0)
        .unwrap();
    let lower = layers.stack(USER);
    assert!(listed(&lower, "").is_empty());
    assert!(find(&lower, "gone").unwrap().is_none());
}

#[test]
fn holes_are_told() {
    let layers = Layers::new();
    let path = layers.file("low/sparse");
    std::fs::File::options().write(true).open(&path).unwrap().set_len(1 << 20).unwrap();
    let lower = layers.stack(USER);
    let file = lower.open(&there(&lower, "sparse")).unwrap();
    assert_eq!((file.size(), file.fd().is_some()), (1 << 20, true));
    assert_eq!(file.next_data(0).unwrap(), Some(0));
    let hole = file.next_hole(0).unwrap();
    assert!(hole < 1 << 20, "{hole}");
    assert_eq!(file.next_data(hole).unwrap(), None);
}

#[test]
fn a_name_that_a_layer_gets_later_is_found_within_a_moment_or_at_once_where_that_was_asked_for() {
    let layers = Layers::new();
    layers.file("low/old");
    let each_time = DirStack::open_paths(&[layers.at("top"), layers.at("low")], USER).unwrap();
    let each_time = missed(Lower::Dirs(each_time.asking_each_time()));
    let lower = missed(layers.stack(USER));
    layers.file("low/new");
    assert_eq!(read(&each_time, "new"), "low/new");
    let begun = std::time::Instant::now();
    while find(&lower, "new").unwrap().is_none() {
        assert!(begun.elapsed().as_secs() < 60, "it is never found");
    }
    assert_eq!(read(&lower, "new"), "low/new");
}

#[test]
fn a_name_that_a_mark_of_its_directory_hides_stays_hidden() {
    let layers = Layers::new();
    layers.file("low/moved");
    layers.mark("top", "opaque", b"x");
    layers.mark("top", "layerfs.hides", b"moved");
    for lower in [layers.stack(USER), missed(layers.stack(USER))] {
        assert!(find(&lower, "moved").unwrap().is_none());
    }
}

/// Where it can't be told which names there are, each layer tells what is wrong with it.
#[test]
fn a_layer_that_can_not_be_listed_is_asked_each_time() {
    let layers = Layers::new();
    layers.file("low/old");
    layers.mark("top", "opaque", b"x");
    layers.mark("top", "layerfs.hides", b"a/b");
    let lower = layers.stack(USER);
    for number in 0..60 {
        let asked = find(&lower, &format!("nobody has {number}"));
        assert!(matches!(asked, Err(LowerError::Hides { .. })), "{asked:?}");
    }
}
