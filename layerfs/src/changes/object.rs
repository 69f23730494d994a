//! Owns what a walk shows: an object of either side, and all that an archive says of it.

use std::os::fd::{AsFd, OwnedFd};

use super::error::ChangesError;
use super::walk::Sides;
use crate::lower::{LowerFile, LowerNode, Patched};
use crate::store::archive::{EntryPath, Name};
use crate::sys::xattr::Pair;
use crate::sys::{SysError, dir, extents, file};
use crate::tree::{Attr, Ino};
use crate::upper::UpperError;

/// Where an object is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Object<'a> {
    /// In the writable layer, or the index of its work directory, under a name.
    Upper {
        /// Its directory.
        dir: &'a OwnedFd,
        /// Its name there.
        name: &'a [u8],
        /// Its attributes.
        attr: Attr,
        /// Device and number.
        identity: (u64, u64),
        /// The lower file that has its data, where it has not.
        data: Option<&'a LowerNode>,
        /// So many bytes of that, where it has holes; else all.
        below: Option<u64>,
    },
    /// In the lower, untouched.
    Lower(&'a LowerNode, Attr),
}

/// What all names of one file have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Identity {
    Upper(u64, u64),
    Lower(Ino),
}

/// The contents of a file.
pub(super) enum Contents {
    Upper(OwnedFd),
    Lower(LowerFile),
    Both(Both),
}

/// The contents of a file that was written in part.
pub(super) struct Both {
    file: OwnedFd,
    lower: LowerFile,
    below: u64,
    /// Stretches that have room on the disk and were never written.
    unwritten: Vec<(u64, u64)>,
}

impl Object<'_> {
    pub(super) fn attr(&self) -> &Attr {
        match self {
            Object::Upper { attr, .. } | Object::Lower(_, attr) => attr,
        }
    }

    /// What it may be met by under other names; `None` where it has but one.
    pub(super) fn identity(&self, sides: &Sides) -> Option<Identity> {
        if self.attr().nlink < 2 {
            return None;
        }
        Some(match self {
            Object::Upper { identity: (device, inode), .. } => Identity::Upper(*device, *inode),
            Object::Lower(node, _) => Identity::Lower(sides.lower.ino(node)),
        })
    }

    pub(super) fn xattrs(&self, sides: &Sides, path: &[Name]) -> Result<Vec<Pair>, ChangesError> {
        match self {
            Object::Upper { dir, name, .. } => sides.upper.xattrs(dir, name).at(path),
            Object::Lower(node, _) => sides.lower.xattrs(node).at(path),
        }
    }

    pub(super) fn read_link(
        &self,
        sides: &Sides,
        path: &[Name],
    ) -> Result<Box<[u8]>, ChangesError> {
        match self {
            Object::Upper { dir, name, .. } => sides.upper.read_link(dir, name).at(path),
            Object::Lower(node, _) => sides.lower.read_link(node).at(path),
        }
    }

    /// Opens a file; it is an error where another stands at its name by now.
    pub(super) fn open(&self, sides: &Sides, path: &[Name]) -> Result<Contents, ChangesError> {
        match self {
            Object::Upper { data: Some(node), below: None, .. } => {
                sides.lower.open(node).map(Contents::Lower).at(path)
            }
            Object::Upper { dir, name, identity, data, below, .. } => {
                let (file, stat) = sides.upper.open_file(dir, name).at(path)?;
                let is_same = (stat.st_dev, stat.st_ino) == *identity;
                if !is_same || file::type_of(&stat) != file::FileType::RegularFile {
                    return Err(ChangesError::Changed(EntryPath::from_components(path)));
                }
                Ok(match (data, below) {
                    (Some(node), Some(below)) => {
                        file::advise_random(&file).map_err(told_of_open).at(path)?;
                        let unwritten = extents::unwritten(&file, *below);
                        let unwritten = unwritten.map_err(told_of_open).at(path)?;
                        let lower = sides.lower.open(node).at(path)?;
                        Contents::Both(Both { file, lower, below: *below, unwritten })
                    }
                    _ => Contents::Upper(file),
                })
            }
            Object::Lower(node, _) => sides.lower.open(node).map(Contents::Lower).at(path),
        }
    }
}

fn told_of_open(source: SysError) -> UpperError {
    UpperError::Call { deed: "open a file of the upper", source }
}

impl Contents {
    /// Reads at `offset`; 0 bytes at the file's end only.
    pub(super) fn read_at(
        &self,
        buf: &mut [u8],
        offset: u64,
        path: &[Name],
    ) -> Result<usize, ChangesError> {
        let told = |source| UpperError::Call { deed: "read a file of the upper", source };
        match self {
            Contents::Upper(file) => file::read_at(file, buf, offset).map_err(told).at(path),
            Contents::Both(Both { file, lower, below, unwritten }) => {
                let both = Patched::new(file.as_fd(), lower, *below).of_unwritten(unwritten);
                both.read_at(buf, offset).map_err(told).at(path)
            }
            Contents::Lower(file) => file.read_at(buf, offset).at(path),
        }
    }

    /// An error where the file was written while it was read: what was read may never have been its contents. The lower is
    /// never written.
    pub(super) fn expect_unchanged(&self, seen: &Attr, path: &[Name]) -> Result<(), ChangesError> {
        let (Contents::Upper(file) | Contents::Both(Both { file, .. })) = self else {
            return Ok(());
        };
        let stat = file::stat(file)
            .map_err(|source| UpperError::Call { deed: "look at a file of the upper", source });
        let now = Attr::of_stat(&stat.at(path)?);
        match (now.size, now.mtime) == (seen.size, seen.mtime) {
            true => Ok(()),
            false => Err(ChangesError::Changed(EntryPath::from_components(path))),
        }
    }
}

/// Opens one more descriptor of a directory.
pub(super) fn again(dir: &OwnedFd) -> Result<OwnedFd, UpperError> {
    dir::open(dir, ".", file::Symlinks::Stop)
        .map_err(|source| UpperError::Call { deed: "open the upper directory", source })
}

/// Gives an error of a side the path at which it was met.
pub(super) trait At<T> {
    fn at(self, path: &[Name]) -> Result<T, ChangesError>;
}

impl<T> At<T> for Result<T, UpperError> {
    fn at(self, path: &[Name]) -> Result<T, ChangesError> {
        self.map_err(|source| match source {
            UpperError::RedirectRefused(_) => {
                ChangesError::RedirectRefused(EntryPath::from_components(path))
            }
            source if source.is_absent() => ChangesError::Changed(EntryPath::from_components(path)),
            source => ChangesError::Upper { path: EntryPath::from_components(path), source },
        })
    }
}

impl<T> At<T> for Result<T, crate::lower::LowerError> {
    fn at(self, path: &[Name]) -> Result<T, ChangesError> {
        self.map_err(|source| ChangesError::Lower {
            path: EntryPath::from_components(path),
            source,
        })
    }
}
