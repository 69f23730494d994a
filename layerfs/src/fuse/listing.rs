//! Listings as FUSE has them: `.` and `..` in front, and cookies that leave room for them.

use super::door::Door;
use crate::sys::Errno;
use crate::tree::{Kind, Name};
use crate::union::{DirEntry, NodeId, Union, UnionError};
use crate::wire::form::EntryOut;
use crate::wire::{Answer, Entry, Listing};

/// Entries that one listing with attributes looks up, at most: its buffer holds no more of the shortest.
const PLUS_MAX: usize = 512;

/// Cookies 1 and 2 are behind `.` and `..`; the union's follow.
const DOTS: u64 = 2;

/// One entry of a listing.
pub(super) struct Listed<'a> {
    pub cookie: u64,
    pub ino: u64,
    pub kind: u8,
    pub bytes: &'a [u8],
    /// `None` for `.` and `..`, which the kernel does not count as looked up.
    pub name: Option<&'a Name>,
}

/// Gives the entries behind `cookie` to `take`, until it has no more room for one.
pub(super) fn list(
    union: &Union,
    dir: NodeId,
    cookie: u64,
    mut take: impl FnMut(&Listed<'_>) -> bool,
) -> Result<(), UnionError> {
    let parent = if cookie < DOTS { union.parent(dir)? } else { dir };
    for (number, bytes, id) in [(1, &b"."[..], dir), (2, &b".."[..], parent)] {
        let kind = Kind::Directory.dt();
        let dot = Listed { cookie: number, ino: id.ino().0, kind, bytes, name: None };
        if cookie < number && !take(&dot) {
            return Ok(());
        }
    }
    union.list(dir, cookie.saturating_sub(DOTS), |entry: &DirEntry| {
        take(&Listed {
            cookie: entry.cookie + DOTS,
            ino: entry.ino.0,
            kind: entry.kind.dt(),
            bytes: entry.name.as_bytes(),
            name: Some(&entry.name),
        })
    })
}

/// The same with attributes: each name is looked up, and counted so.
///
/// A name whose lookup fails stands in the directory all the same, and has no node to be answered: its entry says that
/// nothing is known of it, and the kernel looks the name up when it is wanted.
pub(super) fn list_plus(
    door: &Door,
    dir: NodeId,
    cookie: u64,
    listing: &mut Listing,
) -> Result<(), UnionError> {
    let union = &door.union;
    let mut found = Vec::new();
    // The names first: a lookup takes the lock that a listing holds.
    list(union, dir, cookie, |entry| {
        let name = entry.name.cloned();
        found.push((entry.cookie, entry.ino, entry.kind, name, entry.bytes.to_vec()));
        found.len() < PLUS_MAX
    })?;
    for (cookie, ino, kind, name, bytes) in found {
        // A name that went since it was listed is passed over; `.` and `..` are not looked up.
        let looked = match name.map(|name| union.lookup(dir, &name)) {
            Some(Err(error)) if error.errno() == Errno::NOENT => continue,
            Some(Err(_)) | None => None,
            Some(Ok(looked)) => Some(looked),
        };
        let known = looked.as_ref().map_or_else(EntryOut::default, |looked| door.entry(looked));
        if !listing.add(Some(&known), Entry { ino, cookie, kind, name: &bytes }) {
            if looked.is_some() {
                door.forget(known.node, 1);
            }
            break;
        }
    }
    Ok(())
}
