//! A lower node that is met again by a lookup: in plain directories others may have changed it since.
//!
//! What holds, whatever others do below: an answer is about what the last lookup found, or `ESTALE`; bytes are never
//! mixed from two files, nor from two states of one file that was opened after the change.

use std::sync::atomic::Ordering;

use super::error::{UnionError, answer};
use super::ids::NodeId;
use super::mount::{Shared, Union};
use super::node::{Node, Side};
use crate::lower::{LowerNode, Since};
use crate::sys::Errno;
use crate::tree::Name;

impl Union {
    /// The node to go on with where a lookup of `at` found `lower`, whose number is that of `known`. The caller holds
    /// the lock of the directory, so that no copy-up of that name ends meanwhile.
    pub(super) fn met_again(
        &self,
        known: Shared,
        at: (NodeId, &Name),
        lower: &LowerNode,
    ) -> Result<Shared, UnionError> {
        if !self.lower.may_change() {
            return Ok(known);
        }
        let Some(before) = known.lower() else { return self.met_copied(known, lower) };
        let since = self.lower.since(&before, lower);
        if since == Since::Another || known.place.lock().gone.is_some() {
            return Ok(self.replace(&known, self.lower_seed(lower)?));
        }
        let side = *known.side.lock();
        match side {
            // Not what was copied up: others linked it to this name, or gave its number to another file.
            Side::Upper if known.group.is_none() => return answer(Errno::STALE),
            Side::Upper | Side::Copying => return Ok(known),
            Side::Lower => *known.lower.lock() = Some(lower.clone()),
        }
        if since == Since::Changed && !known.is_directory() {
            if !known.is_open() {
                // The kernel drops what it has of a node of another generation.
                return Ok(self.replace(&known, self.lower_seed(lower)?));
            }
            // It is the same file, whose number an open descriptor keeps from being given again.
            known.changed_below.store(true, Ordering::Release);
        }
        if self.upper.is_some() && known.group.is_none() {
            self.forget_other_names(&known, at);
        }
        Ok(known)
    }

    /// The same for what is known as a copy alone, whose lower inode was never found. Over a hard-link group it is what
    /// the lower's other names lead to; its open descriptors must go on being its own.
    fn met_copied(&self, known: Shared, lower: &LowerNode) -> Result<Shared, UnionError> {
        let seed = self.lower_seed(lower)?;
        let is_gone = known.place.lock().gone.is_some();
        if known.is_directory() || is_gone {
            return Ok(self.replace(&known, seed));
        }
        if known.group.is_some() && known.group == seed.group {
            return Ok(known);
        }
        answer(Errno::STALE)
    }

    /// What has one name has it where it was found last: a copy-up must not go where others moved it away from.
    fn forget_other_names(&self, node: &Node, (parent, name): (NodeId, &Name)) {
        let names = node.place.lock().names.clone();
        for (dir, old) in names.iter().filter(|(dir, old)| (*dir, old) != (parent, name)) {
            self.remove_name(node, (*dir, old));
        }
    }
}
