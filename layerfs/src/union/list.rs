//! Listings: the names of both sides, each under a cookie of its own.
//!
//! Constraints: a name that stands through a listing is given once, whatever changes beside it; a cookie means the
//! same place from the first request to the last. So a name that the lower has keeps its place in the lower's order,
//! copied up, whited out or made again; a name that only the upper has gets a number when it is first listed, and
//! keeps it for as long as it stands and its directory is known.
//!
//! A change of one name changes one place of the listing: made anew for each, the listings of a directory that is
//! emptied would cost the square of its names. Of an image's directory that nobody has changed no listing is kept: it is in
//! the index, and a walk through a large image would leave all of its names in memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use parking_lot::{RwLockReadGuard, RwLockWriteGuard};

use super::error::{UnionError, answer};
use super::ids::NodeId;
use super::mount::{Shared, Union};
use super::node::{DirState, Node};
use crate::lower::{LowerEntry, LowerNode};
use crate::sys::Errno;
use crate::tree::{Ino, Kind, Name};
use crate::upper::{Glance, Listed};

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

/// A directory's entries as they are now.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Of every name that the lower has, in its order, which is that of the names: the n-th has cookie n, counted from 1.
    lower: Vec<Slot>,
    /// Of names that only the upper has, by cookie.
    upper: BTreeMap<u64, DirEntry>,
}

/// The place of a name that the lower has.
#[derive(Debug)]
struct Slot {
    entry: DirEntry,
    /// It stands: no whiteout hides it.
    is_shown: bool,
}

/// What became of a name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Became<'a> {
    /// Nothing stands there any more.
    Gone(&'a Name),
    /// A node of that type and number.
    Node(&'a Name, Kind, NodeId),
}

impl Listing {
    /// The entries behind `cookie`, in the order of their cookies.
    fn behind(&self, cookie: u64) -> impl Iterator<Item = &DirEntry> {
        let first = usize::try_from(cookie).unwrap_or(usize::MAX).min(self.lower.len());
        let lower = self.lower[first..].iter().filter(|slot| slot.is_shown);
        let upper = self.upper.range(cookie.saturating_add(1)..);
        lower.map(|slot| &slot.entry).chain(upper.map(|(_, entry)| entry))
    }

    /// The place of a name that the lower has.
    fn slot(&mut self, name: &Name) -> Option<&mut Slot> {
        let at = self.lower.binary_search_by(|slot| slot.entry.name.cmp(name)).ok()?;
        self.lower.get_mut(at)
    }
}

/// Notes that a directory's names are about to change. The caller holds its lock and says so before it changes anything:
/// what fails half-way may have changed a name, and leaves no listing that is older than that. What succeeds gives the
/// listing back to [`Union::end_change`].
pub(super) fn begin_change(state: &mut DirState) -> Option<Listing> {
    state.listing.take()
}

impl Union {
    /// The entries of a directory behind `cookie`, 0 for the first, in the order of their cookies, without `.` and
    /// `..`. `take` answers `false` for the first entry that it has no room for; it is called under the directory's lock.
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
        dir.shown.store(true, Ordering::Release);
        if self.list_unchanged(&dir, cookie, &mut take)? {
            return Ok(());
        }
        let state = self.listed(&dir)?;
        // The first that is not taken ends it.
        state.listing.iter().flat_map(|listing| listing.behind(cookie)).all(take);
        Ok(())
    }

    /// The same of an image's directory that has no upper side, straight from the index; `false` where it is another. The
    /// cookies are those that a listing gives, which takes over where the directory changes meanwhile.
    fn list_unchanged(
        &self,
        dir: &Node,
        cookie: u64,
        take: &mut dyn FnMut(&DirEntry) -> bool,
    ) -> Result<bool, UnionError> {
        let state = dir.dir.read();
        if state.removed {
            return answer(Errno::NOENT);
        }
        let Some(lower @ LowerNode::Image(_)) = dir.lower() else { return Ok(false) };
        if state.listing.is_some() || dir.is_upper() {
            return Ok(false);
        }
        let (from, mut at) = (usize::try_from(cookie).unwrap_or(usize::MAX), cookie);
        self.lower.list_from(&lower, from, &mut |LowerEntry { name, kind, ino }| {
            at += 1;
            take(&DirEntry { cookie: at, name, kind, ino })
        })?;
        Ok(true)
    }

    /// Whether somebody may have been given a listing of a directory since this was asked last. Whoever changed a name in it
    /// asks, and has listings that are under way forgotten.
    pub fn take_shown(&self, id: NodeId) -> bool {
        self.table.get(id).is_none_or(|dir| dir.shown.swap(false, Ordering::AcqRel))
    }

    /// The directory that holds a directory; the root holds itself.
    pub fn parent(&self, id: NodeId) -> Result<NodeId, UnionError> {
        let _topology = self.topology.read();
        Ok(self.dir_node(id)?.one_name().map_or(NodeId::ROOT, |(parent, _)| parent))
    }

    /// Whether a directory shows nothing. The caller holds its lock.
    pub(super) fn is_empty(&self, dir: &Shared) -> Result<bool, UnionError> {
        let listed = match (&self.upper, self.upper_dir_if_any(dir)?) {
            (Some(upper), Some(above)) => upper.list(&above)?,
            _ => Vec::new(),
        };
        if listed.iter().any(|listed| listed.kind.is_some()) {
            return Ok(false);
        }
        let Some(lower) = dir.lower() else { return Ok(true) };
        let hidden: HashSet<Name> = listed.into_iter().map(|listed| listed.name).collect();
        Ok(self.lower.list(&lower)?.iter().all(|entry| hidden.contains(&entry.name)))
    }

    /// Ends a change that succeeded: the listing goes on with what became of the names.
    pub(super) fn end_change(
        &self,
        state: &mut DirState,
        listing: Option<Listing>,
        names: &[Became<'_>],
    ) {
        state.listing = listing;
        for became in names {
            match became {
                Became::Gone(name) => {
                    let cookie = state.cookies.remove(*name);
                    let Some(listing) = &mut state.listing else { continue };
                    if let Some(cookie) = cookie {
                        listing.upper.remove(&cookie);
                    }
                    if let Some(slot) = listing.slot(name) {
                        slot.is_shown = false;
                    }
                }
                Became::Node(name, kind, id) => self.show(state, (name, *kind, id.ino())),
            }
        }
    }

    /// Shows a name of the upper in the directory's listing, where there is one.
    fn show(&self, state: &mut DirState, (name, kind, ino): (&Name, Kind, Ino)) {
        let Some(listing) = &mut state.listing else { return };
        if let Some(slot) = listing.slot(name) {
            (slot.entry.kind, slot.entry.ino, slot.is_shown) = (kind, ino, true);
            return;
        }
        let new = || UPPER_COOKIES + self.next_cookie.fetch_add(1, Ordering::Relaxed);
        let cookie = *state.cookies.entry(name.clone()).or_insert_with(new);
        listing.upper.insert(cookie, DirEntry { cookie, name: name.clone(), kind, ino });
    }

    /// The directory's state with a listing in it.
    fn listed<'a>(&self, dir: &'a Shared) -> Result<RwLockReadGuard<'a, DirState>, UnionError> {
        {
            let state = dir.dir.read();
            if state.listing.is_some() && !state.removed {
                return Ok(state);
            }
        }
        let mut state = dir.dir.write();
        if state.removed {
            return answer(Errno::NOENT);
        }
        if state.listing.is_none() {
            self.make_listing(dir, &mut state)?;
        }
        Ok(RwLockWriteGuard::downgrade(state))
    }

    fn make_listing(&self, dir: &Shared, state: &mut DirState) -> Result<(), UnionError> {
        let mut names = self.upper_names(dir)?;
        let mut listing = Listing::default();
        let lower = dir.lower().map_or(Ok(Vec::new()), |lower| self.lower.list(&lower))?;
        for (cookie, entry) in (1..).zip(lower) {
            let (seen, is_shown) = match names.remove(&entry.name) {
                None => ((entry.kind, entry.ino), true),
                Some(Some(seen)) => (seen, true),
                Some(None) => ((entry.kind, entry.ino), false),
            };
            let entry = DirEntry { cookie, name: entry.name, kind: seen.0, ino: seen.1 };
            listing.lower.push(Slot { entry, is_shown });
        }
        state.listing = Some(listing);
        for (name, seen) in names {
            if let Some((kind, ino)) = seen {
                self.show(state, (&name, kind, ino));
            }
        }
        Ok(())
    }

    /// What the upper says of the names of a directory: hidden, or a type and a number.
    fn upper_names(&self, dir: &Shared) -> Result<HashMap<Name, Option<(Kind, Ino)>>, UnionError> {
        let mut names = HashMap::new();
        let (Some(upper), Some(above)) = (&self.upper, self.upper_dir_if_any(dir)?) else {
            return Ok(names);
        };
        for mut listed in upper.list(&above)? {
            let seen = match listed.kind {
                None => None,
                Some(kind) => Some((kind, self.listed_ino(dir, &above, &mut listed)?)),
            };
            names.insert(listed.name, seen);
        }
        Ok(names)
    }

    /// The number of a name of the upper, without giving it a node: as a lookup would number it. What a lookup would refuse
    /// for its marks is listed all the same.
    fn listed_ino(
        &self,
        dir: &Node,
        above: &OwnedFd,
        listed: &mut Listed,
    ) -> Result<Ino, UnionError> {
        let name = &listed.name;
        let stat = match listed.stat.take() {
            Some(stat) => stat,
            None => match self.writable()?.glance_listed(above, name.as_bytes())? {
                Glance::Object(_, stat) => stat,
                Glance::Absent | Glance::Whiteout => return answer(Errno::IO),
            },
        };
        match self.number_of(dir, (above, name), &stat) {
            Err(error) if error.is_of_marks() => Ok(self.lower.ino_of_upper(&stat)?),
            known => Ok(known?.ino()),
        }
    }
}
