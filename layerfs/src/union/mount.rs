//! One mounted union: its sides, its table, its limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};

use parking_lot::{Mutex, RwLock};

use super::error::{UnionError, answer};
use super::handle::Handles;
use super::ids::NodeId;
use super::node::{Beneath, Data, DirState, Node, Place, Side};
use super::path::DirCache;
use super::table::Table;
use crate::lower::{Lower, LowerNode};
use crate::sys::Errno;
use crate::tree::{Acls, Kind};
use crate::upper::Upper;

/// Whether the union can be changed.
pub enum Mode {
    /// Every change is refused.
    ReadOnly,
    /// Changes go to this layer.
    Writable(Upper),
}

/// A union of one lower and at most one upper. Shared by all threads that serve it.
pub struct Union {
    pub(super) lower: Lower,
    pub(super) upper: Option<Upper>,
    pub(super) table: Table,
    pub(super) dirs: DirCache,
    pub(super) handles: Handles,
    /// Held shared by whatever walks parents, exclusively by what gives a directory another parent.
    pub(super) topology: RwLock<()>,
    pub(super) next_cookie: AtomicU64,
    /// Never changes.
    pub(super) acls: Acls,
}

impl Union {
    /// Joins the sides.
    pub fn new(lower: Lower, mode: Mode) -> Result<Self, UnionError> {
        let upper = match mode {
            Mode::ReadOnly => None,
            Mode::Writable(upper) => {
                lower.meet_upper(upper.device());
                Some(upper)
            }
        };
        let ordinals = match &lower {
            Lower::Image(tree) => tree.inode_count(),
            Lower::Dirs(_) => 0,
        };
        let union = Union {
            table: Table::new(ordinals),
            upper,
            dirs: DirCache::new(),
            handles: Handles::new(),
            topology: RwLock::new(()),
            next_cookie: AtomicU64::new(0),
            acls: Acls::Obeyed,
            lower,
        };
        if let Lower::Image(_) = &union.lower {
            union.dress_root()?;
        }
        union.adopt_kernel_index()?;
        union.make_root()?;
        Ok(union)
    }

    /// Takes over what the kernel's overlayfs knows of hard links.
    fn adopt_kernel_index(&self) -> Result<(), UnionError> {
        let Some(upper) = &self.upper else { return Ok(()) };
        for entry in upper.kernel_entries()? {
            match self.lower.by_kernel_handle(&entry.handle)? {
                // What has one name needs no entry.
                Some((_, 0 | 1)) => {}
                Some((origin, links)) => upper.adopt(&entry, &origin, links)?,
                None => tracing::warn!("an entry of the kernel's index is of no lower directory"),
            }
        }
        Ok(())
    }

    /// The same, with that word on access control lists; without one they are obeyed.
    pub fn with_acls(self, acls: Acls) -> Self {
        Union { acls, ..self }
    }

    /// Whether access control lists are known.
    pub fn acls(&self) -> Acls {
        self.acls
    }

    /// Gives an upper that was never used the look of the lower's root. Of an image always so; plain directories with an
    /// upper of the user's show that one as it is, like the kernel's overlayfs.
    pub fn dress_root(&self) -> Result<(), UnionError> {
        match &self.upper {
            Some(upper) => Ok(upper.dress_root(&self.copied(&self.lower.root())?)?),
            None => Ok(()),
        }
    }

    /// The read-only side.
    pub fn lower(&self) -> &Lower {
        &self.lower
    }

    /// The writable side.
    pub fn upper(&self) -> Option<&Upper> {
        self.upper.as_ref()
    }

    /// How many nodes have an object in memory.
    pub fn node_count(&self) -> usize {
        self.table.len()
    }

    /// How many names of a directory are remembered because a listing showed them: none that is gone.
    pub fn cookie_count(&self, id: NodeId) -> usize {
        self.table.get(id).map_or(0, |node| node.dir.read().cookies.len())
    }

    /// The upper, or the refusal of every change.
    pub(super) fn writable(&self) -> Result<&Upper, UnionError> {
        self.upper.as_ref().map_or_else(|| answer(Errno::ROFS), Ok)
    }

    /// The number of a lower node.
    pub(super) fn lower_id(&self, node: &LowerNode) -> NodeId {
        NodeId(self.lower.ino(node).0)
    }

    /// The root has an object from the start, and an upper side where there is one: the upper's root directory.
    fn make_root(&self) -> Result<(), UnionError> {
        let side = if self.upper.is_some() { Side::Upper } else { Side::Lower };
        let hides_all = self.upper.as_ref().map_or(Ok(false), Upper::hides_all)?;
        let lower = (!hides_all).then(|| self.lower.root());
        let seed = Seed { kind: Kind::Directory, lower, group: None, side, data: None };
        let node = self.table.get_or_insert(NodeId::ROOT, || seed.node(NodeId::ROOT, 0));
        node.count_lookup();
        Ok(())
    }
}

/// What a node is made from.
pub(super) struct Seed {
    pub kind: Kind,
    pub lower: Option<LowerNode>,
    pub group: Option<String>,
    pub side: Side,
    /// The lower file that has the data of a file of the upper, where that has none.
    pub data: Option<Beneath>,
}

impl Seed {
    pub(super) fn node(self, id: NodeId, generation: u64) -> Node {
        let has_lower = self.lower.is_some();
        Node {
            id,
            generation,
            kind: self.kind,
            lower: Mutex::new(self.lower),
            changed_below: AtomicBool::new(false),
            group: self.group,
            lookups: AtomicU64::new(0),
            children: AtomicU64::new(0),
            opens: AtomicU64::new(0),
            text: AtomicI64::new(0),
            // What the lower has may have been listed while it had no object.
            shown: AtomicBool::new(has_lower),
            has_no_capability: AtomicBool::new(false),
            file: Mutex::default(),
            dir: RwLock::new(DirState::default()),
            side: Mutex::new(self.side),
            copied: parking_lot::Condvar::new(),
            data: Mutex::new(self.data.map_or(Data::Here, Data::Below)),
            shaping: Mutex::default(),
            shaped: parking_lot::Condvar::new(),
            blocks: RwLock::new(()),
            was_looked_through: AtomicBool::new(false),
            was_not_synced: AtomicBool::new(false),
            written: AtomicU64::new(0),
            filled: parking_lot::Condvar::new(),
            count: Mutex::new(()),
            place: Mutex::new(Place::default()),
        }
    }
}

/// Shared nodes are what operations work on.
pub(super) type Shared = Arc<Node>;
