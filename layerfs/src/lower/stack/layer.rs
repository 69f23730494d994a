//! Owns one layer of a stack: a directory held apart from the mounts below it, and how its objects are reached.

use std::borrow::Cow;

use super::trail::Trail;
use crate::lower::error::LowerError;
use crate::sys::beneath::{self, Purpose};
use crate::sys::change::{self, StatVfs};
use crate::sys::file::{self, Stat, Symlinks};
use crate::sys::{Errno, OwnedFd, SysError, dir, host, mount};
use crate::tree::named_ids::{self, Way};
use crate::tree::{Attr, IdMap, Name, id_map};

/// The longest path that one call opens, its NUL not counted (`PATH_MAX`).
const PATH_LEN_MAX: usize = 4095;

/// File systems whose listings give the numbers that `stat` gives: ext2 to 4, XFS, tmpfs. Others (btrfs at subvolumes,
/// overlayfs, FUSE) may not.
const HONEST_LISTINGS: [u64; 3] = [0xef53, 0x5846_5342, 0x0102_1994];

/// btrfs.
const WITH_SUBVOLUMES: u64 = 0x9123_683e;

#[derive(Debug)]
pub(super) struct Layer {
    root: OwnedFd,
    pub(super) root_stat: Stat,
    /// What names its file system over remounts, or the part of it that the root lies in.
    pub(super) filesystem: [u8; 16],
    /// What the kernel's overlayfs calls the file system.
    pub(super) uuid: [u8; 16],
    /// The file system has parts with inode numbers of their own.
    pub(super) has_subvolumes: bool,
    /// What a listing says of an entry's number is what `stat` says.
    pub(super) listing_is_honest: bool,
    /// A listing has every name that leads to something.
    pub(super) lists_all: bool,
    /// Held through a read-only copy of its mount: nothing that is opened here can be written, whoever gets it.
    pub(super) is_shut: bool,
    /// How the ids of this layer are turned back into stored ones, where its own mount shows others.
    pub(super) shown_ids: Option<IdMap>,
    /// Owners, permissions and types are taken from records.
    pub(super) has_records: bool,
}

impl Layer {
    pub(super) fn filesystem(&self) -> Result<StatVfs, SysError> {
        change::filesystem(&self.root)
    }

    /// Takes a directory as a layer.
    pub(super) fn new(given: OwnedFd) -> Result<Layer, SysError> {
        let clone = mount::read_only_copy(&given)?;
        let is_clone = clone.is_some();
        let root = match clone {
            Some(root) => root,
            None => beneath::open(&given, b".", Purpose::Walk)?,
        };
        let readable = dir::open(&root, ".", Symlinks::Stop)?;
        let magic = host::space(&readable)?.magic;
        let (honest, has_subvolumes) = (HONEST_LISTINGS.contains(&magic), magic == WITH_SUBVOLUMES);
        // The UUID, where the kernel tells it, is that of all subvolumes.
        let (filesystem, uuid) = match has_subvolumes {
            true => {
                let part = mount::id_of_fsid(change::filesystem(&readable)?.f_fsid);
                (part, mount::btrfs_uuid(&readable)?)
            }
            false => {
                let whole = mount::filesystem_id(&readable)?;
                (whole, whole)
            }
        };
        Ok(Layer {
            root_stat: file::stat(&root)?,
            filesystem,
            uuid,
            has_subvolumes,
            // Without a clone an entry may be a mount point, and a listing gives the number of what it covers.
            listing_is_honest: is_clone && honest,
            lists_all: honest || has_subvolumes,
            is_shut: is_clone,
            shown_ids: None,
            has_records: false,
            root,
        })
    }

    /// Opens what stands at the end of a trail.
    pub(super) fn open(&self, trail: &Trail, purpose: Purpose) -> Result<OwnedFd, LowerError> {
        let names = trail.names();
        let mut held: Option<OwnedFd> = None;
        let mut rest = names.as_slice();
        loop {
            let (path, len) = one_call(rest);
            rest = &rest[len..];
            let step = if rest.is_empty() { purpose } else { Purpose::Walk };
            let opened = beneath::open(held.as_ref().unwrap_or(&self.root), &path, step)
                .map_err(|error| refused(error, trail))?;
            if rest.is_empty() {
                return Ok(opened);
            }
            held = Some(opened);
        }
    }

    /// Opens the directory that holds the end of a trail; answers it with the last name, which is `.` for the root.
    pub(super) fn open_parent<'a>(
        &self,
        trail: &'a Trail,
    ) -> Result<(OwnedFd, &'a [u8]), LowerError> {
        match trail.last() {
            Some((parent, name)) => Ok((self.open(parent, Purpose::Walk)?, name.as_bytes())),
            None => Ok((self.open(trail, Purpose::Walk)?, b".")),
        }
    }

    /// The attributes, their owner as the other layers store it.
    pub(super) fn attr_of(&self, stat: &Stat) -> Attr {
        let mut attr = Attr::of_stat(stat);
        if let Some(ids) = &self.shown_ids {
            attr.uid = ids.users.stored(attr.uid).unwrap_or(id_map::NOBODY);
            attr.gid = ids.groups.stored(attr.gid).unwrap_or(id_map::NOBODY);
        }
        attr
    }

    /// The value of an attribute, with the ids in it as the other layers store them.
    pub(super) fn stored(&self, name: &[u8], value: Box<[u8]>) -> Box<[u8]> {
        let Some(ids) = &self.shown_ids else { return value };
        let stored = named_ids::mapped(ids, (name, &value), Way::Back).map(Cow::into_owned);
        stored.map_or(value, Into::into)
    }
}

/// The first names that fit in one path, joined, and how many they are; `.` for none.
fn one_call(names: &[&Name]) -> (Vec<u8>, usize) {
    let mut path = Vec::new();
    for (count, name) in names.iter().enumerate() {
        let name = name.as_bytes();
        if path.len() + 1 + name.len() > PATH_LEN_MAX {
            return (path, count);
        }
        if count > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(name);
    }
    if path.is_empty() { (b".".to_vec(), 0) } else { (path, names.len()) }
}

/// What a refused call on something that was found before means: gone, or something else in its place, is a change.
pub(super) fn refused(source: SysError, trail: &Trail) -> LowerError {
    match source.errno() {
        Errno::NOENT | Errno::LOOP | Errno::NOTDIR => LowerError::Changed(trail.shown()),
        _ => LowerError::Call { path: trail.shown(), source },
    }
}

/// Whether another mount stands where a directory was to be opened: the tree has nothing below it.
pub(super) fn is_covered(error: &LowerError) -> bool {
    matches!(error, LowerError::Call { source, .. } if source.errno() == Errno::XDEV)
}
