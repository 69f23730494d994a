//! What lies in a directory of the store and is no part of it: known by its name and its type, and never opened.
//!
//! Nothing of the store is ever called or made so. It is somebody's who put it there: it is told and passed over, and only
//! `fsck --repair` takes it out. `tmp/` and `damaged/` have no strangers, whatever is in them is swept.

use std::fmt;
use std::os::fd::OwnedFd;

use super::container::ContainerId;
use super::digest::Digest;
use super::error::{During, StoreError};
use super::record;
use super::root::Store;
use crate::sys::dir::{self, Listed, ListedKind};
use crate::sys::file::{self, FileType, Symlinks};

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// Its path from the store's root.
    pub(super) path: Box<[u8]>,
    /// What it would have to be to be none.
    expected: &'static str,
}

impl Stranger {
    /// Its path from the store's root, with unprintable bytes escaped.
    pub fn shown(&self) -> String {
        self.path.escape_ascii().to_string()
    }

    /// What is wrong with it.
    pub(super) fn reason(&self) -> String {
        format!("a stranger: here lie {} only", self.expected)
    }
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no part of the store: here lie {} only", self.shown(), self.expected)
    }
}

/// The entries of a directory that holds files by digest.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// The files that are named by a digest.
    pub digests: Vec<Digest>,
    /// Files that were being written when their writer died, or are being written now.
    pub asides: Vec<Box<[u8]>>,
    strangers: Vec<Box<[u8]>>,
}

/// The entries of a directory that holds directories.
#[derive(Debug)]
pub(super) struct Dirs<T> {
    /// What the names of those mean that belong there.
    pub own: Vec<T>,
    strangers: Vec<Box<[u8]>>,
}

/// Lists a directory that holds files by digest.
pub(super) fn files(room: &OwnedFd) -> Result<Files, StoreError> {
    let mut files = Files::default();
    for entry in dir::list(room).during(|| "list a directory of the store".into())? {
        let Some(is_file) = is(room, &entry, ListedKind::File)? else { continue };
        let digest = std::str::from_utf8(&entry.name).ok().and_then(Digest::from_hex);
        // One digest has one name.
        let digest = digest.filter(|digest| digest.hex().as_bytes() == &*entry.name);
        match digest {
            Some(digest) if is_file => files.digests.push(digest),
            None if is_file && record::is_aside(&entry.name) => files.asides.push(entry.name),
            _ => files.strangers.push(entry.name),
        }
    }
    Ok(files)
}

/// Lists one of the directories of objects, which holds those whose digests begin with its name.
pub(super) fn objects(room: &OwnedFd, pair: &str) -> Result<Files, StoreError> {
    let mut files = files(room)?;
    let is_elsewhere = |digest: &mut Digest| !digest.hex().starts_with(pair);
    let strangers = files.digests.extract_if(.., is_elsewhere);
    files.strangers.extend(strangers.map(|digest| digest.hex().into_bytes().into()));
    Ok(files)
}

/// Lists the directories of objects: two digits each.
pub(super) fn object_dirs(store: &Store) -> Result<Dirs<String>, StoreError> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    dirs(&store.objects, |name| {
        (name.len() == 2 && name.bytes().all(is_digit)).then(|| name.to_owned())
    })
}

fn dirs<T>(room: &OwnedFd, read: impl Fn(&str) -> Option<T>) -> Result<Dirs<T>, StoreError> {
    let mut dirs = Dirs { own: Vec::new(), strangers: Vec::new() };
    for entry in dir::list(room).during(|| "list a directory of the store".into())? {
        let Some(is_dir) = is(room, &entry, ListedKind::Directory)? else { continue };
        match std::str::from_utf8(&entry.name).ok().and_then(&read) {
            Some(own) if is_dir => dirs.own.push(own),
            _ => dirs.strangers.push(entry.name),
        }
    }
    Ok(dirs)
}

/// Whether an entry is of that kind; `None` where it has gone. Not every file system lists kinds.
fn is(room: &OwnedFd, entry: &Listed, kind: ListedKind) -> Result<Option<bool>, StoreError> {
    if let Some(known) = entry.kind {
        return Ok(Some(known == kind));
    }
    let stat = match file::stat_at(room, &*entry.name, Symlinks::Stop) {
        Err(error) if error.is_absent() => return Ok(None),
        stat => stat.during(|| "look into the store".into())?,
    };
    let found = match file::type_of(&stat) {
        FileType::RegularFile => ListedKind::File,
        FileType::Directory => ListedKind::Directory,
        FileType::Symlink => ListedKind::Symlink,
        _ => ListedKind::Special,
    };
    Ok(Some(found == kind))
}

impl Store {
    /// Everything in the store's directories that is no part of it.
    pub fn strangers(&self) -> Result<Vec<Stranger>, StoreError> {
        const FILES: &str = "files named by a digest";
        let mut found = Vec::new();
        let mut add = |room: &str, expected: &'static str, names: Vec<Box<[u8]>>| {
            let path = |name: Box<[u8]>| [room.as_bytes(), b"/", &name].concat().into();
            found.extend(names.into_iter().map(|name| Stranger { path: path(name), expected }));
        };
        for (path, room) in [
            ("blobs/sha256", &self.blobs),
            ("layers", &self.layers),
            ("frames", &self.frames),
            ("trees", &self.trees),
            ("images/ids", &self.images),
            ("images/names", &self.names),
        ] {
            add(path, FILES, files(room)?.strangers);
        }
        if let Some(room) = self.open_uppers()? {
            add("uppers", FILES, files(&room)?.strangers);
        }
        let pairs = object_dirs(self)?;
        add("objects", "directories named by two digits", pairs.strangers);
        for pair in pairs.own {
            let room = dir::open(&self.objects, pair.as_str(), Symlinks::Stop);
            let room = room.during(|| "open a directory of objects".into())?;
            let expected = "files named by a digest that begins with its directory's name";
            add(&format!("objects/{pair}"), expected, objects(&room, &pair)?.strangers);
        }
        let containers = self.open_containers()?;
        let dirs = dirs(&containers, ContainerId::parse)?;
        add("containers", "directories named by 64 digits", dirs.strangers);
        Ok(found)
    }
}
