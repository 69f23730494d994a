//! Owns what a lower tree hands out: nodes and directory entries.

use std::sync::Arc;

use super::stack::StackNode;
use crate::store::index::Ordinal;
use crate::tree::{Ino, Kind, Name};

/// A node of a lower tree. Cheap to clone; means something to the tree it came from only.
#[derive(Clone, Debug)]
pub enum LowerNode {
    /// An inode of an image's merged tree.
    Image(Ordinal),
    /// What a name of plain directories leads to.
    Dirs(Arc<StackNode>),
}

/// What became of a node between two lookups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// Nothing.
    Same,
    /// It was changed, or it went and its number was given again: which of both, only who holds it open knows.
    Changed,
    /// It went, and its number was given to something of another type.
    Another,
}

/// An entry of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LowerEntry {
    /// The name.
    pub name: Name,
    /// What it leads to.
    pub kind: Kind,
    /// The number, the same as the node's.
    pub ino: Ino,
}
