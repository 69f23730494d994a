//! Listings: the names of both sides, each under a cookie of its own.
//!
//! Constraints: a name that stands through a listing is given once, whatever changes beside it; a cookie means the
//! same place from the first request to the last. So a name that the lower has keeps its place in the lower's order,
//! copied up, whited out or made again; a name that only the upper has gets a number when it is first listed, and
//! keeps it for as long as it stands and its directory is known.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::error::{UnionError, answer};
use super::ids::NodeId;
use super::mount::{Shared, Union};
use super::node::{DirState, Node};
use crate::sys::Errno;
use crate::tree::{Ino, Kind, Name};
use crate::upper::{Glance, Look};

/// Cookies of names that only the upper has begin here: no lower directory has so many entries.
const UPPER_COOKIES: u64 = 1 << 62;

/// One entry of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Where the listing goes on behind this entry.
    pub cookie: u64,
    /// The name.
    pub name: Name,
    /// Its type.
    pub kind: Kind,
    /// The inode number that `stat` shows for it.
    pub ino: Ino,
}

/// A directory's entries at one version of it, by cookie.
#[derive(Debug)]
pub(super) struct Listing {
    version: u64,
    entries: Vec<DirEntry>,
}

impl Union {
    /// The entries of a directory behind `cookie`, 0 for the first, in the order of their cookies, without `.` and
    /// `..`. `take` answers `false` for the first entry that it has no room for.
    pub fn list(
        &self,
        id: NodeId,
        cookie: u64,
        mut take: impl FnMut(&DirEntry) -> bool,
    ) -> Result<(), UnionError> {
        let _topology = self.topology.read();
        let dir = self.dir_node(id)?;
        // Whoever begins a listing gets what there is now; whoever goes on, what was begun.
        if cookie == 0 && self.lower.may_change() {
            dir.dir.write().listing = None;
        }
        let listing = self.listing(&dir)?;
        let first = listing.entries.partition_point(|entry| entry.cookie <= cookie);
        for entry in &listing.entries[first..] {
            if !take(entry) {
                break;
            }
        }
        Ok(())
    }

    /// The directory that holds a directory; the root holds itself.
    pub fn parent(&self, id: NodeId) -> Result<NodeId, UnionError> {
        let _topology = self.topology.read();
        Ok(self.dir_node(id)?.one_name().map_or(NodeId::ROOT, |(parent, _)| parent))
    }

    /// Whether a directory shows nothing. The caller holds its lock.
    pub(super) fn is_empty(&self, dir: &Shared) -> Result<bool, UnionError> {
        let names = self.upper_names(dir)?;
        if names.values().any(Option::is_some) {
            return Ok(false);
        }
        match dir.lower() {
            Some(lower) => {
                Ok(self.lower.list(&lower)?.iter().all(|entry| names.contains_key(&entry.name)))
            }
            None => Ok(true),
        }
    }

    fn listing(&self, dir: &Shared) -> Result<Arc<Listing>, UnionError> {
        {
            let state = dir.dir.read();
            if let Some(known) = known(&state) {
                return Ok(known);
            }
        }
        let mut state = dir.dir.write();
        if state.removed {
            return answer(Errno::NOENT);
        }
        if let Some(known) = known(&state) {
            return Ok(known);
        }
        let listing = Arc::new(self.make_listing(dir, &mut state)?);
        state.listing = Some(Arc::clone(&listing));
        Ok(listing)
    }

    fn make_listing(&self, dir: &Shared, state: &mut DirState) -> Result<Listing, UnionError> {
        let mut names = self.upper_names(dir)?;
        let mut entries = Vec::new();
        if let Some(lower) = dir.lower() {
            for (cookie, entry) in (1..).zip(self.lower.list(&lower)?) {
                let (kind, ino) = match names.remove(&entry.name) {
                    None => (entry.kind, entry.ino),
                    Some(None) => continue,
                    Some(Some(seen)) => seen,
                };
                entries.push(DirEntry { cookie, name: entry.name, kind, ino });
            }
        }
        let first = entries.len();
        for (name, seen) in names {
            let Some((kind, ino)) = seen else { continue };
            let cookie = *state.cookies.entry(name.clone()).or_insert_with(|| {
                UPPER_COOKIES + self.next_cookie.fetch_add(1, Ordering::Relaxed)
            });
            entries.push(DirEntry { cookie, name, kind, ino });
        }
        entries[first..].sort_by_key(|entry| entry.cookie);
        Ok(Listing { version: state.version, entries })
    }

    /// What the upper says of the names of a directory: hidden, or a type and a number.
    fn upper_names(&self, dir: &Shared) -> Result<HashMap<Name, Option<(Kind, Ino)>>, UnionError> {
        let mut names = HashMap::new();
        let (Some(upper), Some(above)) = (&self.upper, self.upper_dir_if_any(dir)?) else {
            return Ok(names);
        };
        for listed in upper.list(&above)? {
            let seen = match listed.kind {
                None => None,
                Some(kind) => Some((kind, self.listed_ino(dir, &above, &listed.name)?)),
            };
            names.insert(listed.name, seen);
        }
        Ok(names)
    }

    /// The number of a name of the upper, without giving it a node: as a lookup would number it. What a lookup would refuse
    /// for its marks is listed all the same.
    fn listed_ino(&self, dir: &Node, above: &OwnedFd, name: &Name) -> Result<Ino, UnionError> {
        match self.looked_up_ino(dir, above, name) {
            Err(error) if error.is_of_marks() => self.own_ino(above, name),
            known => known,
        }
    }

    fn looked_up_ino(&self, dir: &Node, above: &OwnedFd, name: &Name) -> Result<Ino, UnionError> {
        match self.writable()?.look(above, name.as_bytes())? {
            Look::Found(found) => Ok(self.number_of(dir, name, &found)?.ino()),
            Look::Absent | Look::Whiteout => answer(Errno::IO),
        }
    }

    /// The number of an object of which nothing but its own file system is asked.
    fn own_ino(&self, above: &OwnedFd, name: &Name) -> Result<Ino, UnionError> {
        match self.writable()?.glance(above, name.as_bytes())? {
            Glance::Object(_, stat) => Ok(self.lower.ino_of_upper(&stat)?),
            Glance::Absent | Glance::Whiteout => answer(Errno::IO),
        }
    }
}

fn known(state: &DirState) -> Option<Arc<Listing>> {
    state.listing.as_ref().filter(|listing| listing.version == state.version).cloned()
}
