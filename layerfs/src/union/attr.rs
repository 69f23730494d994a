//! Attributes as the union shows them.

use super::error::{UnionError, answer};
use super::handle::HandleId;
use super::ids::NodeId;
use super::mount::Union;
use super::node::Node;
use super::path::Spot;
use crate::sys::file::{self, Stat, Symlinks};
use crate::sys::{Errno, SysError, change::StatVfs};
use crate::tree::{Attr, Kind};
use crate::upper::{BLOCK_BYTES, UpperError};

/// Who keeps the name by which a node is looked at from becoming another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    /// The caller, where it has to be.
    Held,
    /// Nobody yet, and the caller holds no lock of a directory.
    Free,
}

impl Union {
    /// The attributes of a node.
    pub fn attr(&self, id: NodeId) -> Result<Attr, UnionError> {
        let _topology = self.topology.read();
        match (self.table.get(id), self.lower.by_number(id.ino())) {
            (Some(node), _) => self.attr_now(&node, Names::Free),
            (None, Some(lower)) => Ok(self.lower.attr(&lower)?),
            (None, None) => answer(Errno::STALE),
        }
    }

    /// Whether what is told of a node, or of its name, would change with the lower.
    pub fn rests_on_lower(&self, id: NodeId) -> bool {
        self.table
            .get(id)
            .is_none_or(|node| node.lower().is_some() && (node.is_directory() || !node.is_upper()))
    }

    /// The attributes of an open file: also where it has no name any more.
    pub fn attr_of_open(&self, handle: HandleId) -> Result<Attr, UnionError> {
        let open = self.handles.get(handle)?;
        self.attr(open.node.id)
    }

    /// The target of a symbolic link.
    pub fn read_link(&self, id: NodeId) -> Result<Box<[u8]>, UnionError> {
        let _topology = self.topology.read();
        let lower = match self.table.get(id) {
            Some(node) if node.kind != Kind::Symlink => return answer(Errno::INVAL),
            Some(node) if node.is_upper() => {
                let spot = self.spot(&node)?;
                return Ok(self.writable()?.read_link(&spot.dir, &spot.name)?);
            }
            Some(node) => node.lower(),
            None => self.lower.by_number(id.ino()),
        };
        match lower {
            Some(lower) => Ok(self.lower.read_link(&lower)?),
            None => answer(Errno::STALE),
        }
    }

    /// Figures of the file system that changes go to; of the store's, or the first lower's, where there are none.
    pub fn filesystem(&self) -> Result<StatVfs, UnionError> {
        match &self.upper {
            Some(upper) => Ok(upper.filesystem()?),
            None => Ok(self.lower.filesystem()?),
        }
    }

    /// The attributes of a node that has an object. The caller may hold the lock of its directory; where nobody does, and its
    /// name becomes another's meanwhile, they may be that one's.
    pub(super) fn attr_of(&self, node: &Node) -> Result<Attr, UnionError> {
        self.attr_now(node, Names::Held)
    }

    fn attr_now(&self, node: &Node, names: Names) -> Result<Attr, UnionError> {
        if let Some(gone) = node.place.lock().gone {
            return Ok(gone);
        }
        // While a copy-up runs, the lower still says how the object is.
        if node.is_upper() {
            let looked = self.attr_of_upper(node, names);
            // Its last close took it away meanwhile, and first left word of how it was.
            return looked.or_else(|error| node.place.lock().gone.ok_or(error));
        }
        let Some(lower) = node.lower() else { return answer(Errno::STALE) };
        let mut attr = self.lower.attr(&lower)?;
        if node.group.is_some() {
            attr.nlink = self.group_links(node, attr.nlink)?;
        }
        Ok(attr)
    }

    /// The same of a node that was just found in the lower with these attributes.
    pub(super) fn attr_seen(&self, node: &Node, seen: Option<Attr>) -> Result<Attr, UnionError> {
        let is_lower = !node.is_upper() && node.place.lock().gone.is_none();
        let Some(mut attr) = seen.filter(|_| is_lower) else { return self.attr_of(node) };
        if node.group.is_some() {
            attr.nlink = self.group_links(node, attr.nlink)?;
        }
        Ok(attr)
    }

    fn attr_of_upper(&self, node: &Node, names: Names) -> Result<Attr, UnionError> {
        let looked = |looked: Result<Stat, SysError>| {
            let deed = "look at an object of the upper";
            looked.map_err(|source| UpperError::Call { deed, source })
        };
        let upper = self.writable()?;
        let open = node.file.lock().upgrade().filter(|_| !upper.records_owners());
        let attr = if let Some(file) = open {
            Attr::of_stat(&looked(file::stat(&*file))?)
        } else if node.is_directory() && node.id != NodeId::ROOT && self.is_dir_open(node) {
            let dir = self.upper_dir(node)?;
            upper.attr((&dir, b"."), &looked(file::stat(&*dir))?)?
        } else {
            let look = |spot: &Spot| {
                let stat = looked(file::stat_at(&*spot.dir, &*spot.name, Symlinks::Stop))?;
                Ok(upper.attr((&spot.dir, &spot.name), &stat)?)
            };
            match names {
                Names::Free => self.in_place(node, look)?,
                Names::Held => look(&self.spot(node)?)?,
            }
        };
        self.shown_upper(node, attr)
    }

    /// The attributes of an object of the upper, with what the union counts otherwise.
    pub(super) fn shown_upper(&self, node: &Node, mut attr: Attr) -> Result<Attr, UnionError> {
        if node.is_directory() {
            // As the kernel's overlayfs: the subdirectories of two sides are not counted for each `stat`.
            if node.lower().is_some() {
                attr.nlink = 1;
            }
            return Ok(attr);
        }
        if let Some(below) = node.data_below() {
            // What is written over is counted twice, and no file has more than its size.
            let of = |bytes: u64| bytes.next_multiple_of(BLOCK_BYTES) / 512;
            let below_bytes = node.below().map_or(attr.size, |below| below.bytes);
            let of_lower = self.lower.attr(&below)?.blocks.min(of(below_bytes));
            attr.blocks = attr.blocks.max((of_lower + attr.blocks).min(of(attr.size)));
        }
        if node.group.is_some() {
            attr.nlink = self.group_links(node, attr.nlink)?;
        } else if node.place.lock().orphan.is_some() {
            attr.nlink = attr.nlink.saturating_sub(1);
        }
        Ok(attr)
    }

    /// The names that the union shows of a hard-link group that has so many in the lower.
    pub(super) fn group_links(&self, node: &Node, lower_links: u32) -> Result<u32, UnionError> {
        let (Some(group), Some(upper)) = (&node.group, &self.upper) else { return Ok(lower_links) };
        Ok(upper.group(group)?.map_or(lower_links, |known| known.links))
    }
}
