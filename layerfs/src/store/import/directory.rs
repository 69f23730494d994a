//! A directory as an archive: walked by descriptors, entry by entry in the order of names.
//!
//! Other file systems mounted below are left out, as is the store itself: of a directory its mount point stays, empty; of
//! a file nothing. Subvolumes of btrfs that lie below belong to it. Attributes by which union file systems know how layers are merged are left out, too, and told. A file that
//! changes while it is read is an error, not a wrong copy. The archive is made on a thread of its own, so that reading it is
//! reading a stream.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use crate::store::archive::{
    ArchiveWriter, DEPTH_MAX, Entry, EntryKind, EntryPath, Name, Timestamp, Xattr,
    is_mark_of_a_union,
};
use crate::store::error::{During, StoreError};
use crate::sys::file::{self, FileType, Stat, Symlinks};
use crate::sys::{SysError, dir, xattr};

/// Walks directories and writes what it finds.
pub(super) struct Walk<W: Write> {
    archive: ArchiveWriter<W>,
    device: u64,
    /// What must not be walked into: the store.
    hidden: (u64, u64),
    /// Files with several names, by device and inode: the first name met.
    links: HashMap<(u64, u64), EntryPath>,
    path: Vec<Name>,
    /// The first object with an attribute that would be a mark to a union file system, and how many such attributes there are.
    marks: Option<(EntryPath, u64)>,
    buf: Vec<u8>,
}

impl<W: Write> Walk<W> {
    /// Writes the tree below `root` to `out`, but not the directory `store`.
    pub(super) fn write(root: &OwnedFd, store: &OwnedFd, out: W) -> Result<W, WalkError> {
        let hidden = file::stat(store)?;
        let stat = file::stat(root)?;
        let mut walk = Walk {
            archive: ArchiveWriter::new(out),
            device: stat.st_dev,
            hidden: (hidden.st_dev, hidden.st_ino),
            links: HashMap::new(),
            path: Vec::new(),
            marks: None,
            buf: vec![0; 256 * 1024],
        };
        walk.describe(root, &stat)?;
        walk.enter(root, &stat)?;
        if let Some((first, len)) = walk.marks {
            tracing::warn!(
                "attributes that a union file system would take for its marks are left out: {len}, the first of `/{first}`"
            );
        }
        Ok(walk.archive.finish()?)
    }

    fn describe(&mut self, dir: &OwnedFd, stat: &Stat) -> Result<(), WalkError> {
        let entry = self.entry(stat, EntryKind::Directory, xattr::all(dir)?);
        Ok(self.archive.entry(&entry)?)
    }

    fn enter(&mut self, dir: &OwnedFd, stat: &Stat) -> Result<(), WalkError> {
        if (stat.st_dev, stat.st_ino) == self.hidden {
            return Ok(());
        }
        let mut entries = dir::list(dir)?;
        entries.sort();
        for entry in entries {
            let name =
                Name::new(&entry.name).map_err(|_| WalkError::Name(self.shown(&entry.name)))?;
            if entry.name.starts_with(b".wh.") {
                return Err(WalkError::Whiteout(self.shown(&entry.name)));
            }
            // The walk is a recursion: the bound keeps it within the stack of its thread.
            if self.path.len() == DEPTH_MAX {
                return Err(WalkError::TooDeep);
            }
            self.path.push(name);
            let walked = self.child(dir, &entry.name);
            let shown = self.here();
            self.path.pop();
            walked.map_err(|error| error.at(&shown))?;
        }
        Ok(())
    }

    fn child(&mut self, dir: &OwnedFd, name: &[u8]) -> Result<(), WalkError> {
        let stat = file::stat_at(dir, name, Symlinks::Stop)?;
        if file::type_of(&stat) == FileType::Directory {
            let below = dir::open(dir, name, Symlinks::Stop)?;
            let stat = file::stat(&below)?;
            self.describe(&below, &stat)?;
            return match self.is_foreign(dir, name, &stat)? {
                true => Ok(()),
                false => self.enter(&below, &stat),
            };
        }
        // A socket is nothing without the process that listens at it, and no archive holds one.
        let is_told = !matches!(file::type_of(&stat), FileType::Socket | FileType::Unknown);
        if !is_told || self.is_foreign(dir, name, &stat)? {
            return Ok(());
        }
        if stat.st_nlink > 1 {
            let file = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&file) {
                let link = EntryKind::Hardlink { target: first.clone() };
                let entry = self.entry(&stat, link, Vec::new());
                return Ok(self.archive.entry(&entry)?);
            }
            self.links.insert(file, self.here());
        }
        let (major, minor) = file::device_numbers(&stat);
        let kind = match file::type_of(&stat) {
            FileType::RegularFile => return self.file(dir, name, &stat),
            FileType::Symlink => EntryKind::Symlink { target: dir::read_link(dir, name)? },
            // How overlayfs writes a whiteout, and what one would be taken for.
            FileType::CharacterDevice if (major, minor) == (0, 0) => {
                return Err(WalkError::Whiteout(self.here().to_string()));
            }
            FileType::CharacterDevice => EntryKind::CharDevice { major, minor },
            FileType::BlockDevice => EntryKind::BlockDevice { major, minor },
            FileType::Fifo => EntryKind::Fifo,
            FileType::Socket | FileType::Directory | FileType::Unknown => return Ok(()),
        };
        let xattrs = xattr::all_at(dir, name)?;
        let entry = self.entry(&stat, kind, xattrs);
        Ok(self.archive.entry(&entry)?)
    }

    /// Whether an object is one of another file system that is mounted on its name. A device number alone does not say so:
    /// overlayfs shows files of its layers under other numbers than its directories, and btrfs those of its subvolumes.
    fn is_foreign(&self, dir: &OwnedFd, name: &[u8], stat: &Stat) -> Result<bool, SysError> {
        Ok(stat.st_dev != self.device && file::is_mount_point_at(dir, name)?.unwrap_or(true))
    }

    fn file(&mut self, dir: &OwnedFd, name: &[u8], seen: &Stat) -> Result<(), WalkError> {
        let fd = file::open_read(dir, name, Symlinks::Stop)?;
        let stat = file::stat(&fd)?;
        let is_seen = (stat.st_dev, stat.st_ino) == (seen.st_dev, seen.st_ino);
        if !is_seen || file::type_of(&stat) != FileType::RegularFile {
            return Err(WalkError::Changed);
        }
        let entry = self.entry(&stat, EntryKind::File, xattr::all(&fd)?);
        self.archive.entry(&entry)?;
        let mut left = entry.size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.buf.len());
            let len = file::read(&fd, &mut self.buf[..most])?;
            if len == 0 {
                return Err(WalkError::Changed);
            }
            self.archive.data(&self.buf[..len])?;
            left -= len as u64;
        }
        let after = file::stat(&fd)?;
        let same = (after.st_size, after.st_mtime, after.st_mtime_nsec)
            == (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
        if same { Ok(()) } else { Err(WalkError::Changed) }
    }

    fn entry(&mut self, stat: &Stat, kind: EntryKind, mut xattrs: Vec<xattr::Pair>) -> Entry {
        let all = xattrs.len();
        xattrs.retain(|(name, _)| !is_mark_of_a_union(name));
        if xattrs.len() < all {
            let here = self.here();
            self.marks.get_or_insert((here, 0)).1 += (all - xattrs.len()) as u64;
        }
        let size =
            if kind == EntryKind::File { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 };
        let nanos = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
        Entry {
            path: self.here(),
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: Timestamp { secs: stat.st_mtime, nanos },
            size,
            xattrs: xattrs.into_iter().map(|(name, value)| Xattr { name, value }).collect(),
        }
    }

    fn here(&self) -> EntryPath {
        EntryPath::from_components(&self.path)
    }

    fn shown(&self, name: &[u8]) -> String {
        format!("{}/{}", self.here(), name.escape_ascii())
    }
}

/// Why a directory can't be made an archive.
#[derive(Debug, thiserror::Error)]
pub(super) enum WalkError {
    #[error("`{0}`: {1}")]
    Call(String, SysError),
    #[error("`{0}` is not a name")]
    Name(String),
    #[error("`{0}` would be a whiteout in an image: remove or rename it")]
    Whiteout(String),
    #[error("the tree is more than {DEPTH_MAX} directories deep")]
    TooDeep,
    #[error("it changed while it was read")]
    Changed,
    #[error("`{0}` changed while it was read: stop what writes to it and try again")]
    ChangedAt(String),
    /// The reader of the archive is gone.
    #[error("{0}")]
    Stream(#[from] io::Error),
}

impl From<SysError> for WalkError {
    fn from(error: SysError) -> Self {
        WalkError::Call(".".into(), error)
    }
}

impl WalkError {
    /// The same, at a path, unless it has one.
    fn at(self, path: &EntryPath) -> Self {
        match self {
            WalkError::Call(place, error) if place == "." => {
                WalkError::Call(path.to_string(), error)
            }
            WalkError::Changed => WalkError::ChangedAt(path.to_string()),
            other => other,
        }
    }
}

/// The tree below `root` as a stream of archive bytes.
pub(super) fn archive_of(
    root: OwnedFd,
    store: &OwnedFd,
) -> Result<Box<dyn Read + Send>, StoreError> {
    let store = dir::open(store, ".", Symlinks::Stop).during(|| "open the store".into())?;
    let archive = crate::store::layer::produced(move |out| {
        Walk::write(&root, &store, out).map(|_| ()).map_err(|error| match error {
            WalkError::Stream(error) => error,
            told => io::Error::other(told.to_string()),
        })
    });
    match archive {
        Ok(archive) => Ok(Box::new(archive)),
        Err(source) => Err(StoreError::Stream { what: "start a thread".into(), source }),
    }
}
