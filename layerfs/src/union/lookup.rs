//! Lookup and forget: names become nodes, and nodes that no one holds go.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::error::{UnionError, answer};
use super::ids::NodeId;
use super::mount::{Seed, Shared, Union};
use super::node::{Node, Place, Side};
use super::view::View;
use crate::lower::LowerNode;
use crate::sys::Errno;
use crate::sys::file::{self, Stat, Symlinks};
use crate::tree::{Attr, Kind, Name, Origin};
use crate::upper::{Belongs, Found, Upper, UpperError};

/// A name that was found: the node, counted once more, and its attributes.
#[derive(Clone, Copy, Debug)]
pub struct Looked {
    /// The node.
    pub id: NodeId,
    /// Tells nodes apart that had the same number one after the other.
    pub generation: u64,
    /// Its attributes.
    pub attr: Attr,
}

impl Union {
    /// Finds `name` in the directory `parent`. The node found is counted; [`Union::forget`] takes the count back.
    pub fn lookup(&self, parent: NodeId, name: &Name) -> Result<Looked, UnionError> {
        let _topology = self.topology.read();
        let dir = self.dir_node(parent)?;
        let state = dir.dir.read();
        if state.removed {
            return answer(Errno::NOENT);
        }
        self.looked(&dir, name, self.view(&dir, name)?)
    }

    /// Takes `count` lookups back.
    pub fn forget(&self, id: NodeId, count: u64) {
        if id == NodeId::ROOT {
            return;
        }
        // A directory with an upper side over an image's stays: untouched nodes below it may be held, and find their way
        // through it.
        let is_way = |node: &Node| {
            let is_merged = matches!(*node.lower.lock(), Some(LowerNode::Image(_)));
            is_merged && node.is_directory() && node.is_upper() && node.place.lock().gone.is_none()
        };
        let is_spent = |node: &Node| {
            !node.is_open() && !is_way(node) && node.children.load(Ordering::Acquire) == 0
        };
        if let Some(node) = self.table.forget(id, count, is_spent) {
            self.drop_orphan_of(&node);
            self.leave_all(&node);
        }
    }

    /// Takes the object from a file of an image that was closed, where the index says all about it: else a walk that reads would leave
    /// one of each file. Its count stays with the table.
    pub(super) fn shed(&self, id: NodeId) {
        let is_plain = |lower: &LowerNode| match lower {
            LowerNode::Image(_) => {
                self.upper.is_none() || !self.lower.is_group(lower).unwrap_or(true)
            }
            LowerNode::Dirs(_) => false,
        };
        let is_untouched = |node: &mut Node| {
            let place = node.place.get_mut();
            place.names.len() == 1
                && place.orphan.is_none()
                && place.gone.is_none()
                && *node.side.get_mut() == Side::Lower
                && (*node.opens.get_mut(), *node.text.get_mut()) == (0, 0)
                && (node.kind, node.generation) == (Kind::File, 0)
                && node.lower.get_mut().as_ref().is_some_and(is_plain)
        };
        if let Some(node) = self.table.shed(id, is_untouched) {
            self.leave_all(&node);
        }
    }

    /// Counts an object less in the directories that have its names.
    fn leave_all(&self, node: &Node) {
        let names = std::mem::take(&mut node.place.lock().names);
        for (parent, _) in names {
            self.leave(parent);
        }
    }

    /// The node that a view shows, counted, and its attributes.
    pub(super) fn looked(&self, dir: &Node, name: &Name, view: View) -> Result<Looked, UnionError> {
        match view {
            View::Absent { .. } => answer(Errno::NOENT),
            View::Lower(lower, seen) => self.looked_lower((dir, name), &lower, seen),
            View::Upper(found) => loop {
                let node = self.upper_node(dir, name, &found)?;
                // What answers an error must not be counted: nobody would forget it.
                let attr = self.shown_upper(&node, found.attr)?;
                if self.table.count(&node) {
                    return Ok(Looked { id: node.id, generation: node.generation, attr });
                }
            },
        }
    }

    fn looked_lower(
        &self,
        (dir, name): (&Node, &Name),
        lower: &LowerNode,
        seen: Option<Attr>,
    ) -> Result<Looked, UnionError> {
        let id = self.lower_id(lower);
        // Without an upper, or where nothing of it changed, an image's node needs no object to be counted.
        let is_plain = self.upper.is_none() || !self.lower.is_group(lower)?;
        if is_plain && self.table.get(id).is_none() && self.table.count_untouched(id) {
            return Ok(Looked { id, generation: 0, attr: self.lower.attr(lower)? });
        }
        loop {
            let node = self.lower_object(dir.id, name, lower)?;
            let attr = self.attr_seen(&node, seen)?;
            if self.table.count(&node) {
                return Ok(Looked { id, generation: node.generation, attr });
            }
        }
    }

    /// The object of a lower node, made where it has none.
    pub(super) fn lower_object(
        &self,
        parent: NodeId,
        name: &Name,
        lower: &LowerNode,
    ) -> Result<Shared, UnionError> {
        let id = self.lower_id(lower);
        if let Some(known) = self.table.get(id) {
            if self.is_merged_elsewhere(&known, (parent, name), lower)? {
                return Ok(self.replace(&known, self.lower_seed(lower)?));
            }
            let node = self.met_again(known, (parent, name), lower)?;
            self.add_name(&node, (parent, name));
            return Ok(node);
        }
        let seed = self.lower_seed(lower)?;
        let (node, is_new) = self.born(id, seed, Some((parent, name)));
        if !is_new {
            self.add_name(&node, (parent, name));
        }
        Ok(node)
    }

    pub(super) fn lower_seed(&self, lower: &LowerNode) -> Result<Seed, UnionError> {
        let kind = self.lower.kind(lower)?;
        let (group, side) = self.group_of(lower)?;
        let data = match (&self.upper, &group, side) {
            (Some(upper), Some(group), Side::Upper) if kind == Kind::File => {
                self.data_of_group(upper, group, lower)?
            }
            _ => None,
        };
        Ok(Seed { kind, lower: Some(lower.clone()), group, side, data })
    }

    /// The index entry of a lower inode with several names, and which side has it.
    fn group_of(&self, lower: &LowerNode) -> Result<(Option<String>, Side), UnionError> {
        let Some(upper) = &self.upper else { return Ok((None, Side::Lower)) };
        if !self.lower.is_group(lower)? {
            return Ok((None, Side::Lower));
        }
        let Some(origin) = self.lower.origin(lower)? else { return Ok((None, Side::Lower)) };
        let name = Upper::group_name(&origin);
        let copied_up = upper.group(&name)?.is_some_and(|group| group.copied_up);
        let side = if copied_up { Side::Upper } else { Side::Lower };
        Ok((Some(name), side))
    }

    /// The node of an object of the upper.
    pub(super) fn upper_node(
        &self,
        dir: &Node,
        name: &Name,
        found: &Found,
    ) -> Result<Shared, UnionError> {
        let kind = found.attr.kind;
        let lower = match kind {
            Kind::Directory => self.lower_part(dir, name, found)?,
            _ => self.copied_from(found.origin.as_ref())?,
        };
        let mut id = self.id_of_found(lower.as_ref(), found)?;
        if kind == Kind::Directory && lower.is_some() {
            self.expect_only_part(id, (dir.id, name), found)?;
        }
        // What has a node needs no look at the index: its names say whether this is one.
        let belongs = match self.table.get(id) {
            Some(known) if !self.is_another(&known, (dir.id, name), found)? => None,
            Some(_) => Some(Belongs::Beside),
            None => Some(self.belongs(found)?),
        };
        let has_twin = belongs == Some(Belongs::Beside);
        if has_twin {
            id = NodeId(self.lower.ino_of_upper(&found.stat)?.0);
        }
        if let Some(known) = self.table.get(id)
            && known.kind == kind
            && known.place.lock().gone.is_none()
        {
            self.add_name(&known, (dir.id, name));
            self.settle_upper(&known);
            if kind == Kind::Directory {
                *known.lower.lock() = lower;
            }
            return Ok(known);
        }
        let belongs = belongs.map_or_else(|| self.belongs(found), Ok)?;
        let group = found.origin.as_ref().filter(|_| belongs == Belongs::ToGroup);
        let group = group.map(Upper::group_name);
        let data = self.data_part(dir, name, found)?;
        let lower = lower.filter(|_| !has_twin);
        let seed = Seed { kind, lower, group, side: Side::Upper, data };
        let is_over = |old: &Shared| old.kind != kind || old.place.lock().gone.is_some();
        let (node, is_new) = match self.table.get(id).filter(is_over) {
            Some(old) => (self.replace(&old, seed), false),
            None => self.born(id, seed, Some((dir.id, name))),
        };
        if !is_new {
            self.add_name(&node, (dir.id, name));
            self.settle_upper(&node);
        }
        Ok(node)
    }

    /// Directories of the upper are merged with different ones of the lower: two that are not, since somebody copied or marked one
    /// by hand, would be one node. The one under the lower's own name stays; of others the first.
    fn expect_only_part(
        &self,
        id: NodeId,
        (parent, name): (NodeId, &Name),
        found: &Found,
    ) -> Result<(), UnionError> {
        let Some(known) = self.table.get(id) else { return Ok(()) };
        if !self.is_another(&known, (parent, name), found)? {
            return Ok(());
        }
        if found.redirect.is_some() {
            return Err(UpperError::redirect_taken(name).into());
        }
        // It is found again, and refused then.
        let gone = self.attr_of(&known)?;
        known.place.lock().gone = Some(gone);
        Ok(())
    }

    /// Whether a directory of the upper was merged with one of the lower that is still there under its own name: the same, of a
    /// directory that the upper does not have there.
    fn is_merged_elsewhere(
        &self,
        known: &Node,
        (parent, name): (NodeId, &Name),
        lower: &LowerNode,
    ) -> Result<bool, UnionError> {
        let has_name = |place: &Place| {
            place.gone.is_some() || place.names.iter().any(|at| *at == (parent, name.clone()))
        };
        if !known.is_directory() || !known.is_upper() || has_name(&known.place.lock()) {
            return Ok(false);
        }
        let Some(merged) = known.lower() else { return Ok(false) };
        Ok(self.lower.path(&merged)? == self.lower.path(lower)?)
    }

    /// Whether an object of the upper is another than the node that has its number: who copies a file of an upper by hand copies
    /// its mark. The names that a node has are not asked again, so that hard links alone cost a look.
    fn is_another(
        &self,
        known: &Node,
        (parent, name): (NodeId, &Name),
        found: &Found,
    ) -> Result<bool, UnionError> {
        let is_known = |node: &Node| {
            let place = node.place.lock();
            let has_name = place.names.iter().any(|(dir, known)| *dir == parent && known == name);
            has_name || place.gone.is_some()
        };
        if known.kind != found.attr.kind || is_known(known) {
            return Ok(false);
        }
        if !known.is_upper() {
            // A directory that was met under its own name; a file may have been copied up since, under another.
            return Ok(known.is_directory() && found.redirect.is_some());
        }
        let spot = match self.spot(known) {
            // Its last name went since.
            Err(error) if error.errno() == Errno::NOENT => return Ok(false),
            spot => spot?,
        };
        match file::stat_at(&spot.dir, &*spot.name, Symlinks::Stop) {
            Ok(stat) => Ok(stat.st_ino != found.stat.st_ino),
            Err(error) if error.is_absent() => Ok(false),
            Err(source) => {
                Err(UpperError::Call { deed: "look at a file of the upper", source }.into())
            }
        }
    }

    /// What the index says of a file of the upper.
    fn belongs(&self, found: &Found) -> Result<Belongs, UnionError> {
        match (&self.upper, &found.origin) {
            (Some(upper), Some(origin)) if found.attr.kind != Kind::Directory => {
                Ok(upper.belongs(&Upper::group_name(origin), &found.stat)?)
            }
            _ => Ok(Belongs::Alone),
        }
    }

    /// Puts a new node in place of one that is gone and whose number was given again.
    pub(super) fn replace(&self, old: &Node, seed: Seed) -> Shared {
        self.dirs.forget(old.id);
        let names = std::mem::take(&mut old.place.lock().names);
        let node = self.table.replace(old.id, |generation| seed.node(old.id, generation));
        for (parent, _) in names {
            self.leave(parent);
        }
        node
    }

    /// Notes a name of a node.
    pub(super) fn add_name(&self, node: &Node, (parent, name): (NodeId, &Name)) {
        if node.add_name(parent, name)
            && let Some(parent) = self.table.get(parent)
        {
            parent.children.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Notes that a name of a node is gone.
    pub(super) fn remove_name(&self, node: &Node, (parent, name): (NodeId, &Name)) {
        if node.remove_name(parent, name) {
            self.leave(parent);
        }
    }

    /// Counts one object less with a name in a directory; a directory that nobody holds either goes with the last.
    fn leave(&self, parent: NodeId) {
        if let Some(parent) = self.table.get(parent) {
            let less = |children: u64| Some(children.saturating_sub(1));
            parent.children.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).unwrap_or(0);
        }
        self.forget(parent, 0);
    }

    /// An object that was made without knowledge of the copy in the upper learns of it.
    fn settle_upper(&self, node: &Node) {
        let mut side = node.side.lock();
        if *side == Side::Lower {
            *side = Side::Upper;
        }
    }

    fn copied_from(&self, origin: Option<&Origin>) -> Result<Option<LowerNode>, UnionError> {
        match origin {
            Some(origin) => Ok(self.lower.by_origin(origin)?),
            None => Ok(None),
        }
    }

    /// The number of an object of the upper: that of what it is merged with or a copy of, else its own.
    fn id_of_found(&self, lower: Option<&LowerNode>, found: &Found) -> Result<NodeId, UnionError> {
        let origin = found.origin.as_ref().filter(|_| found.attr.kind != Kind::Directory);
        let ino = match (lower, origin.and_then(|origin| self.lower.ino_of_origin(origin))) {
            (Some(lower), _) => self.lower.ino(lower),
            (None, Some(ino)) => ino,
            (None, None) => self.lower.ino_of_upper(&found.stat)?,
        };
        Ok(NodeId(ino.0))
    }

    /// The same, for a name that gets no node and an object whose metadata is known.
    pub(super) fn number_of(
        &self,
        dir: &Node,
        (above, name): (&OwnedFd, &Name),
        stat: &Stat,
    ) -> Result<NodeId, UnionError> {
        let found = self.writable()?.look_for_number((above, name.as_bytes()), stat)?;
        let lower = match found.attr.kind {
            Kind::Directory => self.lower_part(dir, name, &found)?,
            _ => None,
        };
        self.id_of_found(lower.as_ref(), &found)
    }

    /// The node of a number that the kernel holds.
    pub(super) fn node(&self, id: NodeId) -> Result<Shared, UnionError> {
        if let Some(node) = self.table.get(id) {
            return Ok(node);
        }
        // An untouched node of an image: its place is in the index, and its directory is found the same way.
        let Some(lower) = self.lower.by_number(id.ino()) else { return answer(Errno::STALE) };
        let name = self.lower.names(&lower)?.into_iter().next();
        let name = name.map(|(parent, name)| (self.lower_id(&parent), name));
        let seed = self.lower_seed(&lower)?;
        let at = name.as_ref().map(|(parent, name)| (*parent, name));
        Ok(self.born(id, seed, at).0)
    }

    /// The node of a number, made with a name where there is none: another thread must never meet it without one, since
    /// that is how a node looks whose last name is gone. Says whether it was made.
    pub(super) fn born(
        &self,
        id: NodeId,
        seed: Seed,
        at: Option<(NodeId, &Name)>,
    ) -> (Shared, bool) {
        let mut is_new = false;
        let node = self.table.get_or_insert(id, || {
            is_new = true;
            let node = seed.node(id, 0);
            if let Some((parent, name)) = at {
                node.add_name(parent, name);
            }
            node
        });
        if is_new {
            // The descriptor of a directory that had the number before may have come here after it went.
            self.dirs.forget(id);
        }
        if is_new
            && let Some((parent, _)) = at
            && let Some(parent) = self.table.get(parent)
        {
            parent.children.fetch_add(1, Ordering::AcqRel);
        }
        (node, is_new)
    }

    /// The same, for requests that only directories answer.
    pub(super) fn dir_node(&self, id: NodeId) -> Result<Shared, UnionError> {
        let node = self.node(id)?;
        if node.is_directory() { Ok(node) } else { answer(Errno::NOTDIR) }
    }

    /// Removes what an open object without a name left, once it is neither open nor held.
    pub(super) fn drop_orphan_of(&self, node: &Arc<Node>) {
        if !node.is_open() {
            self.drop_orphan(node);
        }
    }

    /// The same of one that is closed, or that nobody opens before this has ended.
    pub(super) fn drop_orphan(&self, node: &Node) {
        let orphan = node.place.lock().orphan.take();
        let (Some(orphan), Some(upper)) = (orphan, &self.upper) else { return };
        if let Err(error) = upper.drop_orphan(&orphan) {
            tracing::warn!("an object without a name stays until the next mount: {error}");
        }
    }
}
