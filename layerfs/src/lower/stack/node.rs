//! Owns what a name of a stack leads to: its place in each layer that has a part in it.

use std::sync::{Arc, OnceLock};

use super::holders::Names;
use super::trail::Trail;
use crate::lower::entry::Since;
use crate::store::archive::Timestamp;
use crate::sys::file::Stat;
use crate::tree::{Attr, Ino, Kind, Name};

/// What a name of a stack leads to. A directory has a place in every layer that is merged in it, topmost first; a file
/// has one, or, where its data lies elsewhere, that of its metadata and then that of its data.
#[derive(Debug)]
pub struct StackNode {
    pub(super) places: Box<[Place]>,
    pub(super) kind: Kind,
    /// How many names it had when it was looked up.
    pub(super) links: u32,
    pub(super) ino: Ino,
    /// What is known of the names in a directory that is asked for many in vain.
    pub(super) names: OnceLock<Box<Names>>,
    /// The directory and the name by which it was found; `None` for the root.
    pub(super) above: Option<(Arc<StackNode>, Name)>,
}

/// An object of one layer.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Number of the layer, 0 on top.
    pub layer: usize,
    /// The way from the layer's root.
    pub trail: Trail,
    /// What the object was when it was looked up.
    pub identity: Identity,
    /// Empty files in it that have the mark are whiteouts.
    pub may_hold_whiteouts: bool,
}

/// What tells an object from others and from its later self.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub device: u64,
    pub inode: u64,
    pub ctime: Timestamp,
}

impl Identity {
    pub(super) fn of(stat: &Stat) -> Identity {
        Identity { device: stat.st_dev, inode: stat.st_ino, ctime: Attr::of_stat(stat).ctime }
    }

    /// The same object, whether it was changed or not.
    pub(super) fn is_object(&self, other: &Identity) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

impl StackNode {
    /// The inode number.
    pub fn ino(&self) -> Ino {
        self.ino
    }

    /// The type.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it is no directory and had more than one name.
    pub fn is_group(&self) -> bool {
        self.kind != Kind::Directory && self.links > 1
    }

    /// The numbers of the layers that have a part in it, topmost first.
    pub fn layers(&self) -> impl Iterator<Item = usize> {
        self.places.iter().map(|place| place.layer)
    }

    /// The directory and the name by which it was found; `None` for the root.
    pub fn found_by(&self) -> Option<(&Arc<StackNode>, &Name)> {
        self.above.as_ref().map(|(dir, name)| (dir, name))
    }

    /// The path in the merged tree, as it was found.
    pub fn path(&self) -> Vec<Name> {
        let above = std::iter::successors(self.found_by(), |(dir, _)| dir.found_by());
        let mut path: Vec<Name> = above.map(|(_, name)| name.clone()).collect();
        path.reverse();
        path
    }

    /// How a node of the same number that was found later differs.
    pub(crate) fn since(&self, later: &StackNode) -> Since {
        let identities = |node: &StackNode| {
            node.places.iter().map(|place| (place.layer, place.identity)).collect::<Vec<_>>()
        };
        match (self.kind == later.kind, identities(self) == identities(later)) {
            (false, _) => Since::Another,
            (true, false) => Since::Changed,
            (true, true) => Since::Same,
        }
    }

    /// The topmost place, which has the attributes. There is always one.
    pub(super) fn top(&self) -> &Place {
        &self.places[0]
    }
}

/// As [`Trail`] does: one after the other.
impl Drop for StackNode {
    fn drop(&mut self) {
        let mut next = self.above.take();
        while let Some(mut node) = next.and_then(|(dir, _)| Arc::into_inner(dir)) {
            next = node.above.take();
        }
    }
}
