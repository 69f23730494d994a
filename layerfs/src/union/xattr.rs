//! Extended attributes, as users see them: marks are neither shown nor taken.

use std::sync::atomic::Ordering;

use super::copy_up::{Extent, is_for_want_of_room};
use super::error::{UnionError, answer};
use super::ids::NodeId;
use super::mount::{Shared, Union};
use crate::lower::LowerNode;
use crate::sys::Errno;
use crate::sys::xattr_at::SetHow;
use crate::tree::{Acls, acl, marks};
use crate::upper::{At, Upper};

const CAPABILITY: &[u8] = b"security.capability";

/// Whether every file system may have an attribute of that name. Of others only what is there is known.
fn may_be(name: &[u8]) -> bool {
    let prefixes: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
    acl::is_list(name) || prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// Which side answers for a node's attributes.
enum Holder {
    Lower(LowerNode),
    Upper(Shared),
}

impl Union {
    /// The value of an attribute; `ENODATA` where there is none, `EOPNOTSUPP` where there can be none of that kind.
    pub fn xattr(&self, id: NodeId, name: &[u8]) -> Result<Box<[u8]>, UnionError> {
        let absent = if may_be(name) { Errno::NODATA } else { Errno::OPNOTSUPP };
        self.stored_value(id, name)?.map_or_else(|| answer(absent), Ok)
    }

    fn stored_value(&self, id: NodeId, name: &[u8]) -> Result<Option<Box<[u8]>>, UnionError> {
        self.expect_known(name)?;
        let _topology = self.topology.read();
        match self.holder(id)? {
            Holder::Lower(lower) => Ok(self.lower.xattr(&lower, name)?),
            Holder::Upper(node)
                if name == CAPABILITY && node.has_no_capability.load(Ordering::Acquire) =>
            {
                Ok(None)
            }
            Holder::Upper(node) => {
                let spot = self.spot(&node)?;
                Ok(self.writable()?.user_xattr(&spot.dir, &spot.name, name)?)
            }
        }
    }

    /// The names of all attributes.
    pub fn xattr_names(&self, id: NodeId) -> Result<Vec<Vec<u8>>, UnionError> {
        let mut names = self.stored_names(id)?;
        names.retain(|name| self.expect_known(name).is_ok());
        Ok(names)
    }

    /// A mount without access control lists does not support their attributes, and none supports a mark's name that is too
    /// long to be escaped: the kernel's overlayfs says the same.
    fn expect_known(&self, name: &[u8]) -> Result<(), UnionError> {
        let space = self.upper.as_ref().map(Upper::space).or(self.lower.space());
        let is_too_long = space.is_some_and(|space| marks::is_too_long(space, name));
        match self.acls {
            _ if is_too_long => answer(Errno::OPNOTSUPP),
            Acls::Off if acl::is_list(name) => answer(Errno::OPNOTSUPP),
            Acls::Off | Acls::Obeyed => Ok(()),
        }
    }

    fn stored_names(&self, id: NodeId) -> Result<Vec<Vec<u8>>, UnionError> {
        let _topology = self.topology.read();
        match self.holder(id)? {
            Holder::Lower(lower) => Ok(self
                .lower
                .xattrs(&lower)?
                .into_iter()
                .map(|(name, _)| name.into_vec())
                .collect()),
            Holder::Upper(node) => {
                let spot = self.spot(&node)?;
                Ok(self.writable()?.user_xattr_names(&spot.dir, &spot.name)?)
            }
        }
    }

    /// Sets an attribute.
    pub fn set_xattr(
        &self,
        id: NodeId,
        pair: (&[u8], &[u8]),
        how: SetHow,
    ) -> Result<(), UnionError> {
        self.expect_known(pair.0)?;
        let upper = self.writable()?;
        // A file that has its data below and dies as it is filled would lose it.
        let extent = if pair.0 == CAPABILITY { Extent::Whole } else { Extent::Attributes };
        let node = self.copied_up(id, extent)?;
        let set = || {
            let _changing = node.changing();
            let _topology = self.topology.read();
            self.dir_brought_up(&node)?;
            node.has_no_capability.store(false, Ordering::Release);
            self.in_place(&node, |spot| set_bounded(upper, (&*spot.dir, &*spot.name), pair, how))?;
            if node.is_directory() {
                node.dir.write().has_no_default = false;
            }
            Ok(())
        };
        match set() {
            // The mark that its data lies below takes some of the room that attributes have.
            Err(error)
                if is_for_want_of_room(UnionError::errno(&error)) && node.has_mark_of_data() =>
            {
                self.copy_up(&node, Extent::Whole)?;
                set()
            }
            set => set,
        }
    }

    /// Removes an attribute; `ENODATA` where there is none, and then nothing is copied up. An access control list that is not
    /// there is removed: it says what the mode says.
    pub fn remove_xattr(&self, id: NodeId, name: &[u8]) -> Result<(), UnionError> {
        if acl::is_list(name) && self.stored_value(id, name)?.is_none() {
            return Ok(());
        }
        self.xattr(id, name)?;
        let upper = self.writable()?;
        let node = self.copied_up(id, Extent::Attributes)?;
        let _changing = node.changing();
        let _topology = self.topology.read();
        self.dir_brought_up(&node)?;
        self.in_place(&node, |spot| remove_bounded(upper, (&*spot.dir, &*spot.name), name))
    }

    /// The node; what is no directory has an upper side.
    fn copied_up(&self, id: NodeId, extent: Extent) -> Result<Shared, UnionError> {
        let node = self.node(id)?;
        if !node.is_directory() {
            self.copy_up(&node, extent)?;
        }
        Ok(node)
    }

    /// Gives a directory an upper side. The caller holds the topology.
    fn dir_brought_up(&self, node: &Shared) -> Result<(), UnionError> {
        if node.is_directory() { self.ensure_upper_dir(node).map(drop) } else { Ok(()) }
    }

    fn holder(&self, id: NodeId) -> Result<Holder, UnionError> {
        if let Some(node) = self.table.get(id) {
            // While a copy-up runs, the lower still says how the object is. Nobody may wait for a copy here, with the
            // topology held: a directory's rename would wait for it, and the copy's end for the rename.
            return match (node.is_upper(), node.lower()) {
                (true, _) => Ok(Holder::Upper(node)),
                (false, Some(lower)) => Ok(Holder::Lower(lower)),
                (false, None) => answer(Errno::STALE),
            };
        }
        self.lower
            .by_number(id.ino())
            .map_or_else(|| answer(Errno::STALE), |lower| Ok(Holder::Lower(lower)))
    }
}

/// What an attribute takes besides its value, and its name, is less.
const SMALL_BYTES: usize = 64;

/// Sets an attribute, where the layer has room for it.
fn set_bounded(
    upper: &Upper,
    at: At<'_>,
    (name, value): (&[u8], &[u8]),
    how: SetHow,
) -> Result<(), UnionError> {
    if !upper.is_bounded() {
        return Ok(upper.set_user_xattr(at.0, at.1, (name, value), how)?);
    }
    upper.expect_within_bounds()?;
    upper.expect_countable(at, name)?;
    // A small one has its place with the inode, mostly; what it takes otherwise is noted afterwards.
    let bytes = if value.len() > SMALL_BYTES { value.len() as u64 } else { 0 };
    let _spent = upper.spending_at(at, bytes)?;
    Ok(upper.set_user_xattr(at.0, at.1, (name, value), how)?)
}

/// Removes an attribute, and gives back what it took.
fn remove_bounded(upper: &Upper, at: At<'_>, name: &[u8]) -> Result<(), UnionError> {
    let _measured = upper.spending_at(at, 0)?;
    Ok(upper.remove_user_xattr(at.0, at.1, name)?)
}
