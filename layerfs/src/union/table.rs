//! The nodes that are known, by number.
//!
//! An untouched node of an image has no object: its lookups are counted in an array by ordinal, and everything about
//! it is in the index. An object takes the count over when one is needed, because the node changes, is open, or has
//! changed entries below it; of a file that was only read it gives it back when the file is closed. The array is memory that the kernel gives page by page as ordinals are touched.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;
use zerocopy::FromZeros;

use super::ids::{ByNumber, NodeId};
use super::node::Node;

/// Parts of the table, each with its own lock.
const SHARDS: usize = 64;

/// From so many objects of a part on those go of which the index knows as much. Fewer stay: who opens a file again is spared the making
/// of one. In a build for tests each goes, so that they see what comes of it.
const CROWDED: usize = if cfg!(feature = "fault") { 1 } else { 64 };

pub(super) struct Table {
    shards: Vec<Mutex<ByNumber<NodeId, Arc<Node>>>>,
    /// Lookups of image nodes without an object, by ordinal.
    untouched: Vec<AtomicU32>,
}

impl Table {
    /// The table beside a lower of that many ordinals; 0 where every node has an object.
    pub(super) fn new(ordinals: u32) -> Self {
        // Zeroed by the kernel, page by page: a mount costs the same whatever the number of ordinals.
        let untouched = usize::try_from(ordinals)
            .ok()
            .and_then(|ordinals| AtomicU32::new_vec_zeroed(ordinals).ok())
            .unwrap_or_default();
        Table { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), untouched }
    }

    pub(super) fn get(&self, id: NodeId) -> Option<Arc<Node>> {
        self.shard(id).lock().get(&id).cloned()
    }

    /// The node of that number, made where there is none. It takes over the count of an untouched one.
    pub(super) fn get_or_insert(&self, id: NodeId, make: impl FnOnce() -> Node) -> Arc<Node> {
        let mut shard = self.shard(id).lock();
        let entry = shard.entry(id).or_insert_with(|| {
            let node = make();
            if let Some(count) = self.untouched_count(id) {
                node.lookups.fetch_add(count.swap(0, Ordering::AcqRel).into(), Ordering::Relaxed);
            }
            Arc::new(node)
        });
        Arc::clone(entry)
    }

    /// Puts a node in place of one whose number was given again by the upper's file system. The kernel's count of the
    /// old one is counted on with the new one's: FORGET names only the number.
    pub(super) fn replace(&self, id: NodeId, make: impl FnOnce(u64) -> Node) -> Arc<Node> {
        let mut shard = self.shard(id).lock();
        let old = shard.get(&id).map(|old| (old.generation, old.lookups.load(Ordering::Relaxed)));
        let node = make(old.map_or(0, |(generation, _)| generation + 1));
        if let Some((_, lookups)) = old {
            node.lookups.fetch_add(lookups, Ordering::Relaxed);
        }
        let node = Arc::new(node);
        shard.insert(id, Arc::clone(&node));
        node
    }

    /// Counts one more lookup of a node that has an object; `false` where that was forgotten since it was found: it is to
    /// be found again.
    pub(super) fn count(&self, node: &Arc<Node>) -> bool {
        let shard = self.shard(node.id).lock();
        let is_known = shard.get(&node.id).is_some_and(|known| Arc::ptr_eq(known, node));
        if is_known {
            node.count_lookup();
        }
        is_known
    }

    /// Counts one more lookup of a node that may have no object; `false` where it needs one to be counted.
    pub(super) fn count_untouched(&self, id: NodeId) -> bool {
        let shard = self.shard(id).lock();
        match (shard.get(&id), self.untouched_count(id)) {
            (Some(node), _) => node.count_lookup(),
            (None, Some(count)) => {
                count.fetch_add(1, Ordering::Relaxed);
            }
            (None, None) => return false,
        }
        true
    }

    /// Takes `count` lookups back. Answers the node where that was the last and `is_spent` says it may go.
    pub(super) fn forget(
        &self,
        id: NodeId,
        count: u64,
        is_spent: impl FnOnce(&Node) -> bool,
    ) -> Option<Arc<Node>> {
        let mut shard = self.shard(id).lock();
        let Some(node) = shard.get(&id) else {
            let less = u32::try_from(count).unwrap_or(u32::MAX);
            if let Some(untouched) = self.untouched_count(id) {
                // The kernel takes back no more than it was given; more would be its error, and is not ours to follow.
                let old = untouched.load(Ordering::Relaxed);
                untouched.store(old.saturating_sub(less), Ordering::Relaxed);
            }
            return None;
        };
        let less = |held: u64| Some(held.saturating_sub(count));
        let old =
            node.lookups.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).unwrap_or(0);
        if old > count || !is_spent(node) {
            return None;
        }
        shard.remove(&id)
    }

    /// Has a node that `is_untouched` do without its object, where many are known and only the table has it. Answers
    /// the object.
    pub(super) fn shed(
        &self,
        id: NodeId,
        is_untouched: impl FnOnce(&mut Node) -> bool,
    ) -> Option<Arc<Node>> {
        let mut shard = self.shard(id).lock();
        if shard.len() < CROWDED {
            return None;
        }
        let untouched = self.untouched_count(id)?;
        // Who comes by it from here on waits for the lock, and finds none.
        let node = Arc::get_mut(shard.get_mut(&id)?)?;
        let lookups = u32::try_from(*node.lookups.get_mut()).ok()?;
        if !is_untouched(node) {
            return None;
        }
        untouched.store(lookups, Ordering::Relaxed);
        shard.remove(&id)
    }

    /// How many nodes have an object.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    fn untouched_count(&self, id: NodeId) -> Option<&AtomicU32> {
        let ordinal = if id == NodeId::ROOT { 0 } else { id.0 / 2 };
        let is_lower = id == NodeId::ROOT || id.0.is_multiple_of(2);
        is_lower.then(|| usize::try_from(ordinal).ok().and_then(|at| self.untouched.get(at)))?
    }

    fn shard(&self, id: NodeId) -> &Mutex<ByNumber<NodeId, Arc<Node>>> {
        // Numbers of neighbours differ in their low bits.
        let mixed = id.0 ^ id.0 >> 7;
        let number = usize::try_from(mixed % SHARDS as u64).unwrap_or(0);
        &self.shards[number]
    }
}
