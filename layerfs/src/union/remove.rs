//! Removing names: a whiteout where the lower has the name, and nothing copied up.

use std::os::fd::OwnedFd;

use super::error::{UnionError, answer};
use super::ids::NodeId;
use super::list::{Became, begin_change};
use super::mount::{Shared, Union};
use super::node::{DirState, Node};
use super::view::View;
use crate::sys::Errno;
use crate::tree::{Attr, Kind, Name};
use crate::upper::{At, Group, Upper};

impl Union {
    /// Removes a name that is no directory's.
    pub fn unlink(&self, parent: NodeId, name: &Name) -> Result<(), UnionError> {
        let upper = self.writable()?;
        let _topology = self.topology.read();
        let dir = self.dir_node(parent)?;
        self.expect(&dir, name, Is::NoDirectory)?;
        let above = self.ensure_upper_dir(&dir)?;
        let mut state = dir.dir.write();
        let victim = self.victim(&dir, &state, name)?;
        let node = &victim.node;
        if node.is_directory() {
            self.forget(node.id, 0);
            return answer(Errno::ISDIR);
        }
        let listing = begin_change(&mut state);
        let taken = self.take_name(upper, (&dir, &above), name, &victim);
        if taken.is_ok() {
            self.end_change(&mut state, listing, &[Became::Gone(name)]);
        }
        // Nobody may hold what was found just now.
        self.forget(node.id, 0);
        taken
    }

    /// Removes an empty directory.
    pub fn rmdir(&self, parent: NodeId, name: &Name) -> Result<(), UnionError> {
        let upper = self.writable()?;
        let _topology = self.topology.read();
        let dir = self.dir_node(parent)?;
        self.expect(&dir, name, Is::Directory)?;
        let above = self.ensure_upper_dir(&dir)?;
        let mut state = dir.dir.write();
        let node = self.victim(&dir, &state, name)?.node;
        let listing = begin_change(&mut state);
        let removed = self.take_directory(upper, (&dir, &above), name, &node);
        if removed.is_ok() {
            self.end_change(&mut state, listing, &[Became::Gone(name)]);
        }
        // Nobody may hold what was found just now.
        self.forget(node.id, 0);
        removed
    }

    /// Takes the name of a directory that shows nothing away. The caller holds the lock of the directory above.
    fn take_directory(
        &self,
        upper: &Upper,
        (dir, above): (&Shared, &OwnedFd),
        name: &Name,
        node: &Shared,
    ) -> Result<(), UnionError> {
        if !node.is_directory() {
            return answer(Errno::NOTDIR);
        }
        let mut inner = node.dir.write();
        if !self.is_empty(node)? {
            return answer(Errno::NOTEMPTY);
        }
        let last = self.attr_of(node)?;
        let hides = self.lower_name(dir, name)?.is_some();
        match (node.is_upper(), hides) {
            (false, _) => upper.add_whiteout(above, name.as_bytes())?,
            (true, true) => {
                let aside = upper.exchange_for_whiteout(above, name.as_bytes())?;
                upper.sweep(&aside);
            }
            (true, false) => upper.remove_directory(above, name.as_bytes())?,
        }
        inner.removed = true;
        self.gone(node, (dir.id, name), Attr { nlink: 0, ..last });
        Ok(())
    }

    /// An answer that needs no copy-up of the directory, where that is still to be made.
    fn expect(&self, dir: &Shared, name: &Name, is: Is) -> Result<(), UnionError> {
        if dir.is_upper() {
            return Ok(());
        }
        let state = dir.dir.read();
        if state.removed {
            return answer(Errno::NOENT);
        }
        let kind = match self.view(dir, name)? {
            View::Absent { .. } => return answer(Errno::NOENT),
            View::Upper(found) => found.attr.kind,
            View::Lower(lower, _) => self.lower.kind(&lower)?,
        };
        match (is, kind) {
            (Is::Directory, Kind::Directory) => Ok(()),
            (Is::Directory, _) => answer(Errno::NOTDIR),
            (Is::NoDirectory, Kind::Directory) => answer(Errno::ISDIR),
            (Is::NoDirectory, _) => Ok(()),
        }
    }

    /// The node of a name that is to go. The caller holds the directory's lock.
    fn victim(&self, dir: &Shared, state: &DirState, name: &Name) -> Result<Victim, UnionError> {
        if state.removed {
            return answer(Errno::NOENT);
        }
        let (node, in_upper, seen) = match self.view(dir, name)? {
            View::Absent { .. } => return answer(Errno::NOENT),
            View::Lower(lower, seen) => (self.lower_object(dir.id, name, &lower)?, false, seen),
            View::Upper(found) => (self.upper_node(dir, name, &found)?, true, None),
        };
        Ok(Victim { node, in_upper, seen })
    }

    /// Takes a name of a node that is no directory away: hides it where the lower has it, keeps what is open.
    fn take_name(
        &self,
        upper: &Upper,
        (dir, above): (&Shared, &OwnedFd),
        name: &Name,
        Victim { node, in_upper, seen }: &Victim,
    ) -> Result<(), UnionError> {
        let _count = node.count.lock();
        let last = self.attr_seen(node, *seen)?;
        let in_upper = *in_upper;
        let hides = !in_upper || self.lower_name(dir, name)?.is_some();
        let keep = in_upper && node.is_open() && self.loses_last(node);
        match (in_upper, hides, keep) {
            (false, _, _) => upper.add_whiteout(above, name.as_bytes())?,
            (true, true, false) => upper.replace_by_whiteout(above, name.as_bytes())?,
            (true, true, true) => {
                // One more link, then the whiteout: between them nothing is seen to have changed.
                self.keep_as_orphan(upper, node, (above, name.as_bytes()), || {
                    Ok(upper.replace_by_whiteout(above, name.as_bytes())?)
                })?;
            }
            (true, false, false) => upper.remove_name(above, name.as_bytes())?,
            (true, false, true) => {
                let orphan = upper.orphan_name();
                upper.orphan(above, name.as_bytes(), &orphan)?;
                node.place.lock().orphan = Some(orphan);
            }
        }
        self.name_is_gone(upper, node, (dir.id, name), last);
        Ok(())
    }

    /// Keeps what stands at a name of the upper as an orphan while `take` takes the name away.
    pub(super) fn keep_as_orphan(
        &self,
        upper: &Upper,
        node: &Node,
        at: At<'_>,
        take: impl FnOnce() -> Result<(), UnionError>,
    ) -> Result<(), UnionError> {
        let orphan = upper.orphan_name();
        upper.keep_link(at, &orphan)?;
        node.place.lock().orphan = Some(orphan.clone());
        let taken = take();
        if taken.is_err() {
            node.place.lock().orphan = None;
            if let Err(error) = upper.drop_orphan(&orphan) {
                tracing::warn!("a link among the orphans stays until the next mount: {error}");
            }
        }
        taken
    }

    /// Whether the name about to go is the last by which an upper object can be reached.
    pub(super) fn loses_last(&self, node: &Node) -> bool {
        let place = node.place.lock();
        node.group.is_none() && place.names.len() <= 1 && place.orphan.is_none()
    }

    /// Notes that a name of `node`, whose attributes were `last` before, is gone. The caller holds its count. The name is
    /// gone whatever happens here: a count that can't be stored stays too high, which keeps the object for too long.
    pub(super) fn name_is_gone(&self, upper: &Upper, node: &Node, at: (NodeId, &Name), last: Attr) {
        let nlink = last.nlink.saturating_sub(1);
        if let Some(group) = &node.group {
            let copied_up = node.is_upper();
            if let Err(error) = upper.set_group(group, Group { links: nlink, copied_up }) {
                tracing::warn!("a hard-link group counts a name too many: {error}");
            }
        }
        if nlink == 0 {
            self.gone(node, at, Attr { nlink: 0, ..last });
            if let Some(group) = &node.group
                && !node.is_open()
                && let Err(error) = upper.drop_group(group)
            {
                tracing::warn!("the index keeps what has no name: {error}");
            }
        } else {
            self.remove_name(node, at);
        }
    }

    /// Notes that nothing leads to a node any more. An open one still has its object.
    fn gone(&self, node: &Node, (parent, name): (NodeId, &Name), last: Attr) {
        self.remove_name(node, (parent, name));
        if node.is_directory() {
            self.dirs.forget(node.id);
        }
        let mut place = node.place.lock();
        let reachable =
            place.orphan.is_some() || (node.group.is_some() && node.is_open() && node.is_upper());
        if !reachable {
            place.gone = Some(last);
        }
    }
}

/// What stands at a name that is to go.
struct Victim {
    node: Shared,
    /// The name stands in the upper. It stays so under the lock of its directory.
    in_upper: bool,
    /// What the lower said of it, where that was at hand.
    seen: Option<Attr>,
}

/// What a name must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    Directory,
    NoDirectory,
}
