//! The tree of one layer, grown in memory from its entries in archive order.
//!
//! Nothing is created on a disk, so an entry can touch nothing but this tree. The last entry of a name wins, as when
//! an archive is unpacked; a name that the layer both whites out and has again is what it has, and hides what lower
//! layers have: whiteouts never speak of their own layer.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::error::EntryFault;
use crate::store::archive::{EntryPath, Name, Timestamp};
use crate::store::digest::Digest;
use crate::store::index::{
    DeviceClass, FILES_MAX, Found, FoundBody, IndexError, Meta, Node, Origin, TEXT_MAX_BYTES,
    XattrSet,
};
use crate::sys::xattr;

/// The number of a node in its tree; a hard-link group is one node.
pub(super) type NodeNumber = u32;

const ROOT: NodeNumber = 0;

/// What an attribute takes besides its name and its value.
const PAIR_BYTES: usize = 64;

/// A layer's tree. The root is there from the start.
pub(super) struct LayerTree {
    nodes: Vec<LayerNode>,
    xattr_sets: HashSet<XattrSet>,
    /// The set given last: most entries have the one of the entry before.
    last_set: XattrSet,
    /// Bytes of names, link targets and distinct sets, those of entries that were replaced included.
    text_bytes: u64,
    /// Nodes, and names with those of whiteouts: the larger number of both decides.
    counted: [usize; 2],
}

/// What is counted to `FILES_MAX`.
#[derive(Clone, Copy)]
enum Counted {
    Node,
    Name,
}

struct LayerNode {
    meta: Meta,
    body: LayerBody,
    /// It was given one more name: most never are, and cost the writer of the index nothing to remember.
    is_linked: bool,
}

/// Type and contents of a node.
pub(super) enum LayerBody {
    Directory(Directory),
    Inline { handle: u64, size: u64 },
    Object { digest: Digest, size: u64, sparse: bool },
    Symlink(Arc<[u8]>),
    Device { class: DeviceClass, major: u32, minor: u32 },
    Fifo,
}

/// A directory's names and marks.
#[derive(Default)]
pub(super) struct Directory {
    slots: BTreeMap<Name, Slot>,
    opaque: bool,
    implied: bool,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    node: Option<NodeNumber>,
    whiteout: bool,
}

impl LayerTree {
    pub(super) fn new() -> Self {
        LayerTree {
            nodes: vec![implied_directory()],
            xattr_sets: HashSet::new(),
            last_set: XattrSet::default(),
            text_bytes: 0,
            counted: [0; 2],
        }
    }

    /// A set of extended attributes, the same one for all nodes that have these.
    pub(super) fn xattr_set(&mut self, pairs: Vec<xattr::Pair>) -> Result<XattrSet, EntryFault> {
        if *self.last_set != *pairs {
            self.last_set = match self.xattr_sets.get(pairs.as_slice()) {
                Some(known) => XattrSet::clone(known),
                None => {
                    let len = |(name, value): &xattr::Pair| PAIR_BYTES + name.len() + value.len();
                    self.count(pairs.iter().map(len).sum())?;
                    let set = XattrSet::from(pairs);
                    self.xattr_sets.insert(XattrSet::clone(&set));
                    set
                }
            };
        }
        Ok(XattrSet::clone(&self.last_set))
    }

    /// Bytes of names, link targets and distinct sets that it keeps.
    pub(super) fn text_bytes(&self) -> u64 {
        self.text_bytes
    }

    /// Counts text that will be kept until the index is written.
    fn count(&mut self, len: usize) -> Result<(), EntryFault> {
        self.text_bytes += len as u64;
        if self.text_bytes > TEXT_MAX_BYTES { Err(EntryFault::TooMuchText) } else { Ok(()) }
    }

    fn count_one(&mut self, what: Counted) -> Result<(), EntryFault> {
        let count = &mut self.counted[what as usize];
        *count += 1;
        if *count > FILES_MAX { Err(EntryFault::TooMany) } else { Ok(()) }
    }

    /// Puts a node at `path`, in place of what stood there. A directory over a directory keeps its entries.
    pub(super) fn insert(
        &mut self,
        path: &EntryPath,
        meta: Meta,
        body: LayerBody,
    ) -> Result<(), EntryFault> {
        let Some((parents, name)) = path.split_last() else {
            if !matches!(body, LayerBody::Directory(_)) {
                return Err(EntryFault::RootNotDirectory);
            }
            self.describe(ROOT, meta);
            return Ok(());
        };
        let parent = self.walk(parents)?;
        let known = self.slot(parent, name).node;
        if let (Some(known), LayerBody::Directory(_)) = (known, &body)
            && self.directory(known).is_some()
        {
            self.describe(known, meta);
            return Ok(());
        }
        if let LayerBody::Symlink(target) = &body {
            self.count(target.len())?;
        }
        let number = self.push(LayerNode { meta, body, is_linked: false })?;
        self.set(parent, name, |slot| slot.node = Some(number))
    }

    /// Gives what stands at `target` one more name.
    pub(super) fn link(&mut self, path: &EntryPath, target: &EntryPath) -> Result<(), EntryFault> {
        let number =
            self.resolve(target).ok_or_else(|| EntryFault::LinkToNothing(target.clone()))?;
        if self.directory(number).is_some() {
            return Err(EntryFault::LinkToDirectory(target.clone()));
        }
        if let Some(node) = self.nodes.get_mut(at(number)) {
            node.is_linked = true;
        }
        let Some((parents, name)) = path.split_last() else {
            return Err(EntryFault::RootNotDirectory);
        };
        let parent = self.walk(parents)?;
        self.set(parent, name, |slot| slot.node = Some(number))
    }

    /// Hides what lower layers have at `name` of the directory `parents`.
    pub(super) fn whiteout(&mut self, parents: &[Name], name: &Name) -> Result<(), EntryFault> {
        let parent = self.walk(parents)?;
        self.set(parent, name, |slot| slot.whiteout = true)
    }

    /// Hides all that lower layers have in the directory `path`.
    pub(super) fn opaque(&mut self, path: &[Name]) -> Result<(), EntryFault> {
        let number = self.walk(path)?;
        if let Some(directory) = self.directory_mut(number) {
            directory.opaque = true;
        }
        Ok(())
    }

    /// The root, as the writer of an index takes it.
    pub(super) fn root(&self) -> Node<NodeNumber, NodeNumber> {
        self.node(ROOT, Slot { node: Some(ROOT), whiteout: false })
    }

    /// The directory at `path`; makes the directories that are missing on the way.
    fn walk(&mut self, path: &[Name]) -> Result<NodeNumber, EntryFault> {
        let mut at = ROOT;
        for (depth, name) in path.iter().enumerate() {
            at = match self.slot(at, name).node {
                Some(number) if self.directory(number).is_some() => number,
                Some(_) => {
                    return Err(EntryFault::BelowNonDirectory(EntryPath::from_components(
                        &path[..=depth],
                    )));
                }
                None => {
                    let number = self.push(implied_directory())?;
                    self.set(at, name, |slot| slot.node = Some(number))?;
                    number
                }
            };
        }
        Ok(at)
    }

    fn resolve(&self, path: &EntryPath) -> Option<NodeNumber> {
        path.components().iter().try_fold(ROOT, |at, name| self.slot(at, name).node)
    }

    fn push(&mut self, node: LayerNode) -> Result<NodeNumber, EntryFault> {
        self.count_one(Counted::Node)?;
        let number = u32::try_from(self.nodes.len()).map_err(|_| EntryFault::TooMany)?;
        self.nodes.push(node);
        Ok(number)
    }

    fn describe(&mut self, number: NodeNumber, meta: Meta) {
        let Some(node) = self.nodes.get_mut(at(number)) else { return };
        node.meta = meta;
        if let LayerBody::Directory(directory) = &mut node.body {
            directory.implied = false;
        }
    }

    fn directory(&self, number: NodeNumber) -> Option<&Directory> {
        match &self.nodes.get(at(number))?.body {
            LayerBody::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    fn directory_mut(&mut self, number: NodeNumber) -> Option<&mut Directory> {
        match &mut self.nodes.get_mut(at(number))?.body {
            LayerBody::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    fn slot(&self, parent: NodeNumber, name: &Name) -> Slot {
        self.directory(parent)
            .and_then(|directory| directory.slots.get(name))
            .copied()
            .unwrap_or_default()
    }

    fn set(
        &mut self,
        parent: NodeNumber,
        name: &Name,
        change: impl FnOnce(&mut Slot),
    ) -> Result<(), EntryFault> {
        let Some(directory) = self.directory_mut(parent) else { return Ok(()) };
        if let Some(slot) = directory.slots.get_mut(name) {
            change(slot);
            return Ok(());
        }
        let mut slot = Slot::default();
        change(&mut slot);
        directory.slots.insert(name.clone(), slot);
        self.count_one(Counted::Name)?;
        self.count(name.as_bytes().len())
    }

    fn node(&self, number: NodeNumber, slot: Slot) -> Node<NodeNumber, NodeNumber> {
        let node = &self.nodes[at(number)];
        let body = match &node.body {
            LayerBody::Directory(directory) => {
                let opaque = directory.opaque || slot.whiteout;
                FoundBody::Directory { dir: number, opaque, implied: directory.implied }
            }
            LayerBody::Inline { handle, size } => {
                FoundBody::Inline { handle: *handle, size: *size }
            }
            LayerBody::Object { digest, size, sparse } => {
                FoundBody::Object { digest: *digest, size: *size, sparse: *sparse }
            }
            LayerBody::Symlink(target) => FoundBody::Symlink(Arc::clone(target)),
            LayerBody::Device { class, major, minor } => {
                FoundBody::Device { class: *class, major: *major, minor: *minor }
            }
            LayerBody::Fifo => FoundBody::Fifo,
        };
        let group = node.is_linked.then_some(number);
        Node { meta: node.meta.clone(), body, group }
    }
}

/// A tree and the reader of its small contents: what the writer of an index walks.
pub(super) struct LayerOrigin<'a, F> {
    pub tree: &'a LayerTree,
    pub contents: F,
}

impl<F: FnMut(u64, u64) -> Result<Vec<u8>, IndexError>> Origin for LayerOrigin<'_, F> {
    type Dir = NodeNumber;
    type Group = NodeNumber;

    fn list(&mut self, dir: &NodeNumber) -> Result<Vec<Found<NodeNumber, NodeNumber>>, IndexError> {
        let Some(directory) = self.tree.directory(*dir) else { return Ok(Vec::new()) };
        let found = directory.slots.iter().map(|(name, slot)| Found {
            name: name.as_bytes().into(),
            node: slot.node.map(|number| self.tree.node(number, *slot)),
        });
        Ok(found.collect())
    }

    fn contents(&mut self, handle: u64, size: u64) -> Result<Vec<u8>, IndexError> {
        (self.contents)(handle, size)
    }
}

/// A directory that the layer has entries below and does not describe: the one beneath shows through, or this.
fn implied_directory() -> LayerNode {
    let mtime = Timestamp::default();
    let meta = Meta { permissions: 0o755, uid: 0, gid: 0, mtime, xattrs: XattrSet::default() };
    LayerNode {
        meta,
        body: LayerBody::Directory(Directory { implied: true, ..Directory::default() }),
        is_linked: false,
    }
}

fn at(number: NodeNumber) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> EntryPath {
        EntryPath::parse(name.as_bytes()).unwrap()
    }

    fn meta() -> Meta {
        Meta {
            permissions: 0o644,
            uid: 0,
            gid: 0,
            mtime: Timestamp::default(),
            xattrs: XattrSet::default(),
        }
    }

    /// Replacing an entry gives nothing back: its node stays until the index is written.
    #[test]
    fn names_and_targets_are_counted_to_the_bound() {
        let mut tree = LayerTree::new();
        tree.insert(&path("dir/name"), meta(), LayerBody::Fifo).unwrap();
        tree.insert(&path("dir/name"), meta(), LayerBody::Fifo).unwrap();
        assert_eq!(tree.text_bytes, 7);
        tree.link(&path("link"), &path("dir/name")).unwrap();
        tree.whiteout(&[], &Name::new(b"white").unwrap()).unwrap();
        assert_eq!(tree.text_bytes, 16);
        let target: Arc<[u8]> = vec![b't'; 4095].into();
        for _ in 0..2 {
            tree.insert(&path("link"), meta(), LayerBody::Symlink(Arc::clone(&target))).unwrap();
        }
        assert_eq!(tree.text_bytes, 16 + 2 * 4095);
        tree.text_bytes = TEXT_MAX_BYTES - 4;
        tree.insert(&path("four"), meta(), LayerBody::Fifo).unwrap();
        let full = tree.insert(&path("x"), meta(), LayerBody::Fifo);
        assert_eq!(full, Err(EntryFault::TooMuchText));
        let full = tree.xattr_set(vec![(b"user.a"[..].into(), b"v"[..].into())]);
        assert_eq!(full, Err(EntryFault::TooMuchText));
    }

    #[test]
    fn files_and_names_are_counted_to_the_bound() {
        let mut tree = LayerTree::new();
        tree.insert(&path("dir/file"), meta(), LayerBody::Fifo).unwrap();
        tree.insert(&path("dir/file"), meta(), LayerBody::Fifo).unwrap();
        tree.link(&path("link"), &path("dir/file")).unwrap();
        tree.whiteout(&[], &Name::new(b"white").unwrap()).unwrap();
        assert_eq!(tree.counted, [3, 4], "a node that was replaced is kept");
        tree.counted = [FILES_MAX - 1; 2];
        tree.insert(&path("last"), meta(), LayerBody::Fifo).unwrap();
        let full = tree.insert(&path("last"), meta(), LayerBody::Fifo);
        assert_eq!(full, Err(EntryFault::TooMany), "one more node");
        let full = tree.link(&path("more"), &path("dir/file"));
        assert_eq!(full, Err(EntryFault::TooMany), "one more name");
        let full = tree.whiteout(&[], &Name::new(b"hidden").unwrap());
        assert_eq!(full, Err(EntryFault::TooMany), "one more whiteout");
    }
}
