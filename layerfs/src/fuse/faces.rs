//! Under which numbers the kernel knows the nodes. A node has one, its inode's number, unless its lower file is held open as it
//! is while it becomes another: then it is found under a second one, and the first is a former one from then on.
//!
//! 1. The number of the inode, which `stat` shows, is the same under both.
//! 2. What is known under both may change by either: the kernel believes no attributes of it.
//! 3. A second number ends when who was sent on has come to it, the kernel has forgotten it, and nobody holds the first one's file.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::union::{ByNumber, NodeId};

/// The number by which the kernel names a node in its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Face(pub u64);

impl Face {
    /// The number that a node has from the start.
    pub fn first(node: NodeId) -> Face {
        Face(node.0)
    }

    /// No inode has such a number: those of images are below, or odd; those of directories that have all upper 8 bits are counted
    /// from the lowest on.
    const SECONDS: u64 = 0xff80 << 48;

    fn is_second(self) -> bool {
        self.0 & Face::SECONDS == Face::SECONDS && self.0.is_multiple_of(2)
    }
}

/// The nodes that have a second number.
#[derive(Debug, Default)]
pub(super) struct Faces {
    /// How many there are, so that nobody asks for one where there are none.
    count: AtomicU64,
    /// Whether there ever was one.
    were_any: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    seconds: ByNumber<NodeId, Second>,
    nodes: ByNumber<Face, NodeId>,
    /// How many were ever given.
    given: u64,
}

#[derive(Debug)]
struct Second {
    face: Face,
    /// How often the kernel holds it.
    lookups: u64,
    /// Who was sent on has come to it. Until then it stays for a while: the kernel is told of it twice, and forgets it in between.
    was_opened: bool,
    since: Instant,
}

impl Second {
    fn may_end(&self) -> bool {
        self.lookups == 0 && (self.was_opened || self.since.elapsed() > EXPECTED)
    }
}

/// So long after somebody was sent on he is expected.
const EXPECTED: Duration = Duration::from_secs(1);

impl Faces {
    /// Whether a node ever had one.
    pub fn were_any(&self) -> bool {
        self.were_any.load(Ordering::Acquire)
    }

    fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// The node that a request names.
    pub fn node(&self, face: Face) -> NodeId {
        let known = || self.known.lock().nodes.get(&face).copied();
        let second = if face.is_second() { known() } else { None };
        second.unwrap_or(NodeId(face.0))
    }

    /// The number under which a node is found now.
    pub fn face(&self, node: NodeId) -> Face {
        self.second(node).unwrap_or(Face::first(node))
    }

    /// The same, counted as one that the kernel is told.
    pub fn tell(&self, node: NodeId) -> Face {
        if self.is_empty() {
            return Face::first(node);
        }
        match self.known.lock().seconds.get_mut(&node) {
            Some(second) => {
                second.lookups += 1;
                second.face
            }
            None => Face::first(node),
        }
    }

    /// The second number of a node, where it has one.
    pub fn second(&self, node: NodeId) -> Option<Face> {
        if self.is_empty() {
            return None;
        }
        self.known.lock().seconds.get(&node).map(|second| second.face)
    }

    /// Whether a number is a second one.
    pub fn is_second(&self, face: Face) -> bool {
        face.is_second() && !self.is_empty() && self.known.lock().nodes.contains_key(&face)
    }

    /// Whether the node of a number is found under another one now.
    pub fn is_former(&self, face: Face) -> bool {
        self.second(NodeId(face.0)).is_some()
    }

    /// Has a node found under a second number from now on.
    pub fn turn(&self, node: NodeId) {
        let mut known = self.known.lock();
        if known.seconds.contains_key(&node) {
            return;
        }
        let face = Face(Face::SECONDS + 2 * known.given);
        known.given += 1;
        self.were_any.store(true, Ordering::Release);
        known
            .seconds
            .insert(node, Second { face, lookups: 0, was_opened: false, since: Instant::now() });
        known.nodes.insert(face, node);
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    /// Notes that somebody who is going to write has come to a number.
    pub fn was_opened(&self, face: Face, node: NodeId) {
        if face.is_second()
            && let Some(second) = self.known.lock().seconds.get_mut(&node)
        {
            second.was_opened = true;
        }
    }

    /// Takes lookups of a number back. Answers its node where it is a second one that the kernel holds no more.
    pub fn forget(&self, face: Face, lookups: u64) -> Option<NodeId> {
        if !face.is_second() || self.is_empty() {
            return None;
        }
        let mut known = self.known.lock();
        let node = *known.nodes.get(&face)?;
        let second = known.seconds.get_mut(&node)?;
        second.lookups = second.lookups.saturating_sub(lookups);
        (second.lookups == 0).then_some(node)
    }

    /// Ends the second number of a node that the kernel does not hold. Answers whether there was one, and it ended.
    pub fn end(&self, node: NodeId) -> bool {
        if self.is_empty() {
            return false;
        }
        let mut known = self.known.lock();
        match known.seconds.get(&node) {
            Some(second) if second.may_end() => {
                let face = second.face;
                known.seconds.remove(&node);
                known.nodes.remove(&face);
                self.count.fetch_sub(1, Ordering::AcqRel);
                true
            }
            Some(_) | None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_found_under_a_second_number_until_the_kernel_forgets_that() {
        let faces = Faces::default();
        let (node, other) = (NodeId(42), NodeId(44));
        assert_eq!((faces.tell(node), faces.node(Face(42))), (Face(42), node));
        faces.turn(node);
        let second = faces.tell(node);
        assert_ne!(second, Face(42));
        assert_eq!((faces.node(second), faces.node(Face(42))), (node, node));
        assert!(faces.is_former(Face(42)) && !faces.is_former(second) && faces.is_second(second));
        assert_eq!((faces.tell(other), faces.is_former(Face(44))), (Face(44), false));
        assert_eq!(faces.tell(node), second, "counted twice");
        assert_eq!(faces.forget(second, 1), None);
        assert!(!faces.end(node), "the kernel holds it");
        assert_eq!(faces.forget(second, 1), Some(node));
        assert!(!faces.end(node), "who was sent on has not come");
        faces.was_opened(second, node);
        assert!(faces.end(node) && !faces.end(node));
        assert_eq!((faces.tell(node), faces.is_former(Face(42))), (Face(42), false));
        faces.turn(node);
        assert_ne!(faces.tell(node), second, "a number is given once");
    }

    #[test]
    fn no_second_number_is_that_of_an_inode() {
        let faces = Faces::default();
        faces.turn(NodeId(7));
        let second = faces.face(NodeId(7));
        assert!(second.is_second());
        // Of images: even up to twice the most files, else odd. Of directories: below bit 55 where all upper 8 bits are set.
        for ino in [2 * 16_777_216, u64::MAX, 255 << 56, (255 << 56) + (1 << 40)] {
            assert!(!Face(ino).is_second(), "{ino:x}");
        }
    }
}
