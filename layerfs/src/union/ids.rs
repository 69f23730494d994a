//! Numbers of nodes.

use std::collections::HashMap;

use crate::tree::Ino;

/// A table by a number that the kernel or this process gave. It is asked several times for each request, and nobody outside chooses
/// what stands in it: a fast hash will do.
pub type ByNumber<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// The number of a node, which is that of its inode. The door may know it by another one, too, by which the kernel asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl NodeId {
    /// The root of the union.
    pub const ROOT: NodeId = NodeId(1);

    /// The inode number that `stat` shows for the node.
    pub fn ino(self) -> Ino {
        Ino(self.0)
    }
}
