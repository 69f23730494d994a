//! Listings as FUSE has them: `.` and `..` in front, and cookies that leave room for them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fuser::{Generation, INodeNo, ReplyDirectoryPlus};

use super::answer;
use super::belief::LASTING;
use super::door::Door;
use super::session;
use crate::sys::Errno;
use crate::tree::Name;
use crate::union::{DirEntry, NodeId, Union, UnionError};

/// Cookies 1 and 2 are behind `.` and `..`; the union's follow.
const DOTS: u64 = 2;

/// One entry of a listing.
pub(super) struct Listed<'a> {
    pub cookie: u64,
    pub ino: INodeNo,
    pub kind: fuser::FileType,
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
        let kind = fuser::FileType::Directory;
        let dot = Listed { cookie: number, ino: INodeNo(id.ino().0), kind, bytes, name: None };
        if cookie < number && !take(&dot) {
            return Ok(());
        }
    }
    union.list(dir, cookie.saturating_sub(DOTS), |entry: &DirEntry| {
        take(&Listed {
            cookie: entry.cookie + DOTS,
            ino: INodeNo(entry.ino.0),
            kind: answer::kind(entry.kind),
            bytes: entry.name.as_bytes(),
            name: Some(&entry.name),
        })
    })
}

/// The same with attributes: each name is looked up, and counted so.
///
/// A name whose lookup fails stands in the directory all the same, and has no node to be answered. For the crate an entry
/// without a node has no number either, and some programs pass over such. So the answer ends before it: the kernel goes
/// on with READDIR, which needs none. Where it does not, because of a lookup meanwhile, the name comes without its number.
pub(super) fn list_plus(
    door: &Door,
    dir: NodeId,
    cookie: u64,
    reply: &mut ReplyDirectoryPlus,
) -> Result<(), UnionError> {
    let union = &door.union;
    let mut found = Vec::new();
    // The names first: a lookup takes the lock that a listing holds.
    list(union, dir, cookie, |entry| {
        let name = entry.name.cloned();
        found.push((entry.cookie, entry.ino, entry.kind, name, entry.bytes.to_vec()));
        found.len() < session::PLUS_MAX
    })?;
    let mut is_first = true;
    for (cookie, mut ino, kind, name, bytes) in found {
        // A name that went since it was listed is passed over; `.` and `..` are not looked up.
        let looked = match name.map(|name| union.lookup(dir, &name)) {
            Some(Err(error)) if error.errno() == Errno::NOENT => continue,
            Some(Err(_)) if !is_first => break,
            Some(Err(_)) => {
                ino = INodeNo(0);
                None
            }
            Some(Ok(looked)) => Some(looked),
            None => None,
        };
        is_first = false;
        let (attr, generation) = match &looked {
            Some(looked) => door.entry(looked),
            None => (session::bare(ino, kind), Generation(0)),
        };
        let belief = looked.as_ref().map_or(LASTING, |looked| door.belief(looked.id));
        if reply.add(ino, cookie, OsStr::from_bytes(&bytes), &belief, &attr, generation) {
            if let Some(looked) = looked {
                union.forget(looked.id, 1);
            }
            break;
        }
    }
    Ok(())
}
