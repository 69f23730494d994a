//! Rename, of files and of whole directories, with its flags.
//!
//! A directory that has a lower part keeps it by a redirect mark; one that has none is made opaque where its new name
//! would let something of the lower through. Both are set before the one rename that moves the name, and change
//! nothing that is seen where the directory still stands.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use parking_lot::RwLockWriteGuard;

use super::copy_up::{Copies, Extent, Touches};
use super::error::{UnionError, answer};
use super::ids::NodeId;
use super::list::{Became, begin_change};
use super::mount::{Shared, Union};
use super::node::{DirState, Node};
use super::view::View;
use crate::sys::Errno;
use crate::tree::{Name, Redirects};
use crate::upper::{Leave, Upper, UpperError};

/// What a rename does with what stands at the new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameHow {
    /// Replaces it.
    Replace,
    /// Refuses (`EEXIST`).
    NoReplace,
    /// Puts it at the old name.
    Exchange,
    /// Replaces it and leaves a whiteout: refused (`EINVAL`) where all else is in order, as the kernel's overlayfs
    /// does. A whiteout can't be made through the mount.
    Whiteout,
}

/// What came of a rename that is done only where it does not last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameTried {
    /// It is done.
    Done,
    /// Nothing is done: so much would have to be copied first, or is being copied.
    WouldLast(Copies),
}

/// Whether a rename copies whatever it has to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copying {
    Anything,
    Nothing,
}

/// One end of a rename.
struct End<'a> {
    dir: Shared,
    above: Arc<OwnedFd>,
    name: &'a Name,
}

impl End<'_> {
    fn at(&self) -> (&OwnedFd, &[u8]) {
        (&self.above, self.name.as_bytes())
    }

    fn place(&self) -> (NodeId, &Name) {
        (self.dir.id, self.name)
    }
}

impl Union {
    /// Moves `from` to `to`.
    pub fn rename(
        &self,
        from: (NodeId, &Name),
        to: (NodeId, &Name),
        how: RenameHow,
    ) -> Result<(), UnionError> {
        self.rename_within(from, to, (how, Copying::Anything)).map(|_| ())
    }

    /// The same, unless something has to be copied up first for which one waits: whoever asks must not be kept by that.
    pub fn try_rename(
        &self,
        from: (NodeId, &Name),
        to: (NodeId, &Name),
        how: RenameHow,
    ) -> Result<RenameTried, UnionError> {
        self.rename_within(from, to, (how, Copying::Nothing))
    }

    fn rename_within(
        &self,
        from: (NodeId, &Name),
        to: (NodeId, &Name),
        (how, copying): (RenameHow, Copying),
    ) -> Result<RenameTried, UnionError> {
        let upper = self.writable()?;
        loop {
            let (moved, target) = self.peek(from, to)?;
            let ends = (how, &moved, target.as_ref());
            let exchanged = target.as_ref().filter(|_| how == RenameHow::Exchange);
            let copied = [Some(&moved), exchanged].into_iter().flatten();
            let copies = match copying {
                Copying::Anything => Copies::Nothing,
                Copying::Nothing => copied
                    .map(|node| self.copies(node.id, Touches::Names))
                    .max()
                    .unwrap_or(Copies::Nothing),
            };
            let tried = self.allowed(from.0, to.0, ends).and_then(|()| match copies {
                Copies::Little | Copies::Much => Ok(Some(RenameTried::WouldLast(copies))),
                Copies::Nothing => {
                    Ok(self.rename_once(upper, from, to, ends)?.then_some(RenameTried::Done))
                }
            });
            // Nobody may hold what was found just now.
            [Some(&moved), target.as_ref()]
                .into_iter()
                .flatten()
                .for_each(|node| self.forget(node.id, 0));
            if let Some(tried) = tried? {
                return Ok(tried);
            }
        }
    }

    /// Renames what was found at both names; `false` where it is no longer there.
    fn rename_once(
        &self,
        upper: &Upper,
        from: (NodeId, &Name),
        to: (NodeId, &Name),
        ends: (RenameHow, &Shared, Option<&Shared>),
    ) -> Result<bool, UnionError> {
        let (how, moved, target) = ends;
        if target.is_some_and(|target| target.id == moved.id) {
            return Ok(true);
        }
        if how == RenameHow::Whiteout {
            return answer(Errno::INVAL);
        }
        if self.lower.is_reserved(to.1) {
            return answer(Errno::PERM);
        }
        // Contents are copied before the topology is held; directories, which are small, under it.
        let exchanged = target.filter(|_| how == RenameHow::Exchange);
        self.bring_up(moved)?;
        exchanged.map_or(Ok(()), |target| self.bring_up(target))?;
        // The walk upwards that finds a directory's ancestors must not see one being moved.
        if moved.is_directory() || exchanged.is_some_and(|target| target.is_directory()) {
            let _topology = self.topology.write();
            self.rename_locked(upper, from, to, ends)
        } else {
            let _topology = self.topology.read();
            self.rename_locked(upper, from, to, ends)
        }
    }

    /// The nodes at both names.
    fn peek(
        &self,
        from: (NodeId, &Name),
        to: (NodeId, &Name),
    ) -> Result<(Shared, Option<Shared>), UnionError> {
        let _topology = self.topology.read();
        let one = |(parent, name): (NodeId, &Name)| {
            let dir = self.dir_node(parent)?;
            let state = dir.dir.read();
            if state.removed {
                return answer(Errno::NOENT);
            }
            match self.view(&dir, name)? {
                View::Absent { .. } => Ok(None),
                View::Lower(lower, _) => self.lower_object(dir.id, name, &lower).map(Some),
                View::Upper(found) => self.upper_node(&dir, name, &found).map(Some),
            }
        };
        let Some(moved) = one(from)? else { return answer(Errno::NOENT) };
        match one(to) {
            Ok(target) => Ok((moved, target)),
            Err(error) => {
                self.forget(moved.id, 0);
                Err(error)
            }
        }
    }

    /// The answers that need no lock to be right or wrong.
    fn allowed(
        &self,
        from: NodeId,
        to: NodeId,
        (how, moved, target): (RenameHow, &Shared, Option<&Shared>),
    ) -> Result<(), UnionError> {
        let _topology = self.topology.read();
        match (how, target) {
            (RenameHow::NoReplace, Some(_)) => return answer(Errno::EXIST),
            (RenameHow::Exchange, None) => return answer(Errno::NOENT),
            _ => {}
        }
        if moved.is_directory() && self.is_below(to, moved.id)? {
            return answer(Errno::INVAL);
        }
        if let Some(target) = target {
            if target.is_directory() && self.is_below(from, target.id)? {
                return answer(if how == RenameHow::Exchange {
                    Errno::INVAL
                } else {
                    Errno::NOTEMPTY
                });
            }
            if how != RenameHow::Exchange && target.id != moved.id {
                match (moved.is_directory(), target.is_directory()) {
                    (false, true) => return answer(Errno::ISDIR),
                    (true, false) => return answer(Errno::NOTDIR),
                    _ => {}
                }
            }
        }
        // Before anything is copied up.
        let exchanged = target.filter(|_| how == RenameHow::Exchange);
        let is_merged = |node: &Shared| node.is_directory() && node.lower().is_some();
        if self.redirects() != Redirects::Follow
            && (is_merged(moved) || exchanged.is_some_and(is_merged))
        {
            return answer(Errno::XDEV);
        }
        Ok(())
    }

    /// Whether `id` is `ancestor` or lies below it. The caller holds the topology.
    fn is_below(&self, id: NodeId, ancestor: NodeId) -> Result<bool, UnionError> {
        let mut at = id;
        loop {
            if at == ancestor {
                return Ok(true);
            }
            match self.node(at)?.one_name() {
                Some((parent, _)) => at = parent,
                None => return Ok(false),
            }
        }
    }

    /// Copies up, locks, looks again and moves. `false` where something changed in between: all is to be looked at
    /// once more.
    fn rename_locked(
        &self,
        upper: &Upper,
        from: (NodeId, &Name),
        to: (NodeId, &Name),
        (how, moved, target): (RenameHow, &Shared, Option<&Shared>),
    ) -> Result<bool, UnionError> {
        let from = self.end(from)?;
        let to = self.end(to)?;
        for node in
            [Some(moved), target.filter(|_| how == RenameHow::Exchange)].into_iter().flatten()
        {
            if node.is_directory() {
                self.ensure_upper_dir(node)?;
            }
        }
        let mut states = self.lock_both(&from.dir, &to.dir)?;
        let same = |end: &End<'_>, node: Option<&Shared>| {
            Ok::<_, UnionError>(self.id_at(&end.dir, end.name)? == node.map(|node| node.id))
        };
        if states.iter().any(|state| state.removed)
            || !same(&from, Some(moved))?
            || !same(&to, target)?
        {
            return Ok(false);
        }
        if moved.is_directory() && self.is_below(to.dir.id, moved.id)? {
            return answer(Errno::INVAL);
        }
        let listings: Vec<_> = states.iter_mut().map(|state| begin_change(state)).collect();
        self.link_group_name(upper, &from, moved)?;
        let left = match (how, target) {
            (RenameHow::Exchange, Some(target)) => {
                self.link_group_name(upper, &to, target)?;
                self.exchange_ends(upper, (&from, moved), (&to, target))?;
                Became::Node(from.name, target.kind, target.id)
            }
            _ => {
                self.move_end(upper, (&from, moved), (&to, target))?;
                Became::Gone(from.name)
            }
        };
        // That of the old name is the first; where there is one only, it has both names.
        let became = [left, Became::Node(to.name, moved.kind, moved.id)];
        let parts: &[&[Became<'_>]] =
            if states.len() == 1 { &[&became] } else { &[&became[..1], &became[1..]] };
        for ((state, listing), names) in states.iter_mut().zip(listings).zip(parts) {
            self.end_change(state, listing, names);
        }
        Ok(true)
    }

    fn end<'a>(&self, (parent, name): (NodeId, &'a Name)) -> Result<End<'a>, UnionError> {
        let dir = self.dir_node(parent)?;
        let above = self.ensure_upper_dir(&dir)?;
        Ok(End { dir, above, name })
    }

    fn bring_up(&self, node: &Shared) -> Result<(), UnionError> {
        if node.is_directory() { Ok(()) } else { self.copy_up(node, Extent::Names) }
    }

    /// Locks the directories of both ends, an ancestor before what is below it, unrelated ones by number. That of the old
    /// name is the first answered.
    fn lock_both<'a>(
        &self,
        from: &'a Node,
        to: &'a Node,
    ) -> Result<Vec<RwLockWriteGuard<'a, DirState>>, UnionError> {
        if from.id == to.id {
            return Ok(vec![from.dir.write()]);
        }
        let from_first = if self.is_below(to.id, from.id)? {
            true
        } else if self.is_below(from.id, to.id)? {
            false
        } else {
            from.id < to.id
        };
        if from_first {
            return Ok(vec![from.dir.write(), to.dir.write()]);
        }
        let to = to.dir.write();
        Ok(vec![from.dir.write(), to])
    }

    /// The number of what a name leads to now. The caller holds the directory's lock.
    fn id_at(&self, dir: &Shared, name: &Name) -> Result<Option<NodeId>, UnionError> {
        Ok(match self.view(dir, name)? {
            View::Absent { .. } => None,
            View::Lower(lower, _) => Some(self.lower_id(&lower)),
            View::Upper(found) => Some(self.upper_node(dir, name, &found)?.id),
        })
    }

    /// A name of a copied-up hard-link group that only the lower has gets its link before it is moved.
    fn link_group_name(
        &self,
        upper: &Upper,
        end: &End<'_>,
        node: &Shared,
    ) -> Result<(), UnionError> {
        if node.group.is_none() || !matches!(self.view(&end.dir, end.name)?, View::Lower(..)) {
            return Ok(());
        }
        let spot = self.spot(node)?;
        super::copy_up::keeping_times(&end.above, || {
            Ok(upper.link((&spot.dir, &spot.name), end.at(), crate::upper::Cover::Nothing)?)
        })
    }

    /// Moves one end over the other.
    fn move_end(
        &self,
        upper: &Upper,
        (from, moved): (&End<'_>, &Shared),
        (to, target): (&End<'_>, Option<&Shared>),
    ) -> Result<(), UnionError> {
        let leave = match self.lower_name(&from.dir, from.name)? {
            Some(_) => Leave::Whiteout,
            None => Leave::Nothing,
        };
        let _count = target.map(|target| target.count.lock());
        let last = target.map(|target| self.attr_of(target)).transpose()?;
        let inner = target.filter(|target| target.is_directory()).map(|target| target.dir.write());
        if let (Some(target), Some(_)) = (target, &inner)
            && !self.is_empty(target)?
        {
            return answer(Errno::NOTEMPTY);
        }
        if moved.is_directory() {
            self.keep_lower_part(upper, (from, moved), to)?;
            self.move_dir(upper, from, (to, target), leave)?;
        } else {
            self.move_over(upper, from, (to, target), leave)?;
        }
        if let (Some(target), Some(last)) = (target, last) {
            if let Some(mut inner) = inner {
                inner.removed = true;
            }
            self.name_is_gone(upper, target, to.place(), last_of(target, last));
        }
        self.renamed(moved, from.place(), to.place());
        Ok(())
    }

    /// Moves a directory over what stands at the new name, which shows nothing.
    fn move_dir(
        &self,
        upper: &Upper,
        from: &End<'_>,
        (to, target): (&End<'_>, Option<&Shared>),
        leave: Leave,
    ) -> Result<(), UnionError> {
        match (self.view(&to.dir, to.name)?, target) {
            (View::Upper(_), Some(_)) => {
                upper.move_directory_over_empty(from.at(), to.at(), leave)?;
            }
            (View::Absent { whiteout: true }, _) => {
                upper.move_directory_over_whiteout(from.at(), to.at(), leave)?;
            }
            (_, None) => upper.move_to_free(from.at(), to.at(), leave)?,
            _ => upper.move_directory(from.at(), to.at(), leave)?,
        }
        Ok(())
    }

    /// Marks a directory so that it shows at its new name what it shows at the old one.
    fn keep_lower_part(
        &self,
        upper: &Upper,
        (from, moved): (&End<'_>, &Shared),
        to: &End<'_>,
    ) -> Result<(), UnionError> {
        let (above, name) = from.at();
        match moved.lower() {
            Some(lower) => upper.set_redirect(above, name, self.lower.path(&lower)?)?,
            None if self.lower_name(&to.dir, to.name)?.is_some()
                || self.lower_has_hidden(&to.dir, to.name)? =>
            {
                match upper.set_opaque(above, name) {
                    // Without it the directory can only be copied there, name by name.
                    Err(UpperError::NoMarks) => return answer(Errno::XDEV),
                    set => set?,
                }
            }
            None => {}
        }
        Ok(())
    }

    /// Moves a file. What stands at the new name and is open keeps its object when its last name is replaced.
    fn move_over(
        &self,
        upper: &Upper,
        from: &End<'_>,
        (to, target): (&End<'_>, Option<&Shared>),
        leave: Leave,
    ) -> Result<(), UnionError> {
        let Some(target) = target else {
            return Ok(upper.move_to_free(from.at(), to.at(), leave)?);
        };
        let act = || Ok(upper.move_file(from.at(), to.at(), leave)?);
        let in_upper = matches!(self.view(&to.dir, to.name)?, View::Upper(_));
        if !in_upper || !target.is_open() || !self.loses_last(target) {
            return act();
        }
        // One more link, not a move: the new name must never be seen without anything behind it.
        self.keep_as_orphan(upper, target, to.at(), act)
    }

    fn exchange_ends(
        &self,
        upper: &Upper,
        (one, first): (&End<'_>, &Shared),
        (other, second): (&End<'_>, &Shared),
    ) -> Result<(), UnionError> {
        if first.is_directory() {
            self.keep_lower_part(upper, (one, first), other)?;
        }
        if second.is_directory() {
            self.keep_lower_part(upper, (other, second), one)?;
        }
        upper.exchange(one.at(), other.at())?;
        self.renamed(first, one.place(), other.place());
        self.renamed(second, other.place(), one.place());
        Ok(())
    }

    fn renamed(&self, node: &Node, from: (NodeId, &Name), to: (NodeId, &Name)) {
        // The new name first: its directory may be the one that goes with the old.
        self.add_name(node, to);
        self.remove_name(node, from);
    }
}

fn last_of(target: &Node, last: crate::tree::Attr) -> crate::tree::Attr {
    // A directory that goes has no names left, whatever it counted of its subdirectories.
    if target.is_directory() { crate::tree::Attr { nlink: 1, ..last } } else { last }
}
