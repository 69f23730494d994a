//! Layers that are grown on a disk from generated steps, with every mark that a layer can have.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode, XattrFlags};

/// Names are few, so that layers meet.
const NAMES: [&str; 4] = ["a", "b", "c", "\u{e9}"];

/// What one step puts at a path.
#[derive(Clone, Debug)]
pub enum Thing {
    Directory,
    Opaque,
    /// Bytes, and permissions.
    File(u16, u32),
    Empty,
    Symlink(u8),
    Fifo,
    Device,
    /// A second name for what stands at that path.
    Link(Vec<usize>),
    Whiteout,
    /// By mark, in a directory that says so.
    MarkWhiteout,
    /// A directory whose lower part has another name in the same directory.
    Sibling(usize),
    /// A directory whose lower part is at that path.
    Moved(Vec<usize>),
    /// A file whose data lies below, at the same path or, if given, at another.
    Metacopy(Option<Vec<usize>>),
    /// Attributes that users see, and some that they do not.
    Attributes,
}

pub type Step = (Vec<usize>, Thing);

fn path() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..NAMES.len(), 1..=3)
}

fn thing() -> impl Strategy<Value = Thing> {
    prop_oneof![
        4 => Just(Thing::Directory),
        1 => Just(Thing::Opaque),
        4 => (0..6000_u16, prop_oneof![Just(0o644), Just(0o4755), Just(0o600)])
            .prop_map(|(len, mode)| Thing::File(len, mode)),
        1 => Just(Thing::Empty),
        1 => any::<u8>().prop_map(Thing::Symlink),
        1 => Just(Thing::Fifo),
        1 => Just(Thing::Device),
        1 => path().prop_map(Thing::Link),
        3 => Just(Thing::Whiteout),
        2 => Just(Thing::MarkWhiteout),
        1 => (0..NAMES.len()).prop_map(Thing::Sibling),
        2 => path().prop_map(Thing::Moved),
        1 => prop::option::of(path()).prop_map(Thing::Metacopy),
        1 => Just(Thing::Attributes),
    ]
}

/// Layers, the first on top.
pub fn layers() -> impl Strategy<Value = Vec<Vec<Step>>> {
    prop::collection::vec(prop::collection::vec((path(), thing()), 1..14), 1..=4)
}

/// Grows a layer in an empty directory; a step that has no place there is passed over.
pub fn grow(root: &Path, steps: &[Step]) {
    let mut grower = Grower { root: root.to_owned(), marked: BTreeSet::new() };
    for (count, (path, thing)) in steps.iter().enumerate() {
        grower.step(path, thing, count);
    }
}

struct Grower {
    root: PathBuf,
    /// Directories with whiteouts by mark, which must not become opaque: one mark can't say both.
    marked: BTreeSet<PathBuf>,
}

impl Grower {
    fn at(&self, path: &[usize]) -> PathBuf {
        path.iter().fold(self.root.clone(), |at, name| at.join(NAMES[*name]))
    }

    fn step(&mut self, path: &[usize], thing: &Thing, count: usize) {
        let at = self.at(path);
        let parent = at.parent().unwrap().to_owned();
        if std::fs::create_dir_all(&parent).is_err() {
            return;
        }
        let is_free = at.symlink_metadata().is_err();
        match thing {
            Thing::Directory if is_free => std::fs::create_dir(&at).unwrap(),
            Thing::Opaque => self.opaque(&at),
            Thing::File(len, mode) if is_free => file(&at, *len, *mode, count),
            Thing::Empty if is_free => std::fs::write(&at, b"").unwrap(),
            Thing::Symlink(to) if is_free => symlink(format!("../{to}"), &at).unwrap(),
            Thing::Fifo if is_free => node(&at, FileType::Fifo, 0),
            Thing::Device if is_free => {
                node(&at, FileType::CharacterDevice, rustix::fs::makedev(1, 3));
            }
            Thing::Link(to) if is_free => link(&self.at(to), &at),
            Thing::Whiteout if is_free => node(&at, FileType::CharacterDevice, 0),
            Thing::MarkWhiteout if is_free => self.mark_whiteout(&at, &parent),
            Thing::Sibling(name) => {
                self.moved(&at, &parent.join(NAMES[*name]), NAMES[*name].to_owned());
            }
            Thing::Moved(to) => self.moved(&at, &self.at(to), absolute(to)),
            Thing::Metacopy(to) if is_free => metacopy(&at, to.as_deref(), count),
            Thing::Attributes if !is_free => attributes(&at),
            _ => {}
        }
    }

    fn opaque(&mut self, at: &Path) {
        if at.symlink_metadata().is_err() {
            std::fs::create_dir(at).unwrap();
        }
        if at.symlink_metadata().unwrap().is_dir() && !self.marked.contains(at) {
            set(at, "trusted.overlay.opaque", b"y");
        }
    }

    fn mark_whiteout(&mut self, at: &Path, parent: &Path) {
        if get(parent, "trusted.overlay.opaque").as_deref() == Some(b"y") {
            return;
        }
        set(parent, "trusted.overlay.opaque", b"x");
        self.marked.insert(parent.to_owned());
        std::fs::write(at, b"").unwrap();
        set(at, "trusted.overlay.whiteout", b"y");
    }

    /// As a rename leaves it: a redirect here, a whiteout there.
    fn moved(&mut self, at: &Path, from: &Path, redirect: String) {
        let is_free = |path: &Path| path.symlink_metadata().is_err();
        let has_parent = from.parent().unwrap().symlink_metadata().is_ok_and(|meta| meta.is_dir());
        if !is_free(at)
            || !is_free(from)
            || !has_parent
            || at.starts_with(from)
            || from.starts_with(at)
        {
            return;
        }
        std::fs::create_dir(at).unwrap();
        set(at, "trusted.overlay.redirect", redirect.as_bytes());
        node(from, FileType::CharacterDevice, 0);
    }
}

fn absolute(path: &[usize]) -> String {
    path.iter().map(|name| format!("/{}", NAMES[*name])).collect()
}

fn file(at: &Path, len: u16, mode: u32, count: usize) {
    let bytes: Vec<u8> = (0..len).map(|n| n.to_le_bytes()[0] ^ count.to_le_bytes()[0]).collect();
    std::fs::write(at, bytes).unwrap();
    std::os::unix::fs::chown(at, Some(1000 + u32::from(len)), Some(2000)).unwrap();
    std::fs::set_permissions(at, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn node(at: &Path, kind: FileType, device: u64) {
    rustix::fs::mknodat(CWD, at, kind, Mode::from_raw_mode(0o600), device).unwrap();
}

fn link(from: &Path, at: &Path) {
    // Not of whiteouts, whose link count nobody promises, and not of directories.
    if from
        .symlink_metadata()
        .is_ok_and(|meta| meta.is_file() && get(from, "trusted.overlay.whiteout").is_none())
    {
        std::fs::hard_link(from, at).unwrap();
    }
}

fn metacopy(at: &Path, to: Option<&[usize]>, count: usize) {
    file(at, 0, 0o640, count);
    std::fs::File::options().write(true).open(at).unwrap().set_len(777).unwrap();
    set(at, "trusted.overlay.metacopy", b"");
    if let Some(to) = to {
        set(at, "trusted.overlay.redirect", absolute(to).as_bytes());
    }
}

fn attributes(at: &Path) {
    let meta = at.symlink_metadata().unwrap();
    // Linux takes no user attributes on other types.
    if meta.is_file() || meta.is_dir() {
        set(at, "user.tag", &meta.ino().to_le_bytes());
        set(at, "user.overlay.opaque", b"y");
    }
    set(at, "trusted.overlay.overlay.opaque", b"escaped");
    set(at, "trusted.overlay.overlay.overlay.opaque", b"escaped twice");
    set(at, "trusted.overlay.impure", b"y");
    set(at, "trusted.other", b"ordinary");
}

fn set(at: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(at, name, value, XattrFlags::empty()).unwrap();
}

fn get(at: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 256];
    let len = rustix::fs::lgetxattr(at, name, &mut value[..]).ok()?;
    value.truncate(len);
    Some(value)
}
