//! From a node to the place of its object in the upper: a held directory and a name in it.

use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use super::error::{UnionError, answer};
use super::ids::NodeId;
use super::mount::Union;
use super::node::Node;
use crate::sys::{Errno, dir, file::Symlinks, host};
use crate::upper::UpperError;

/// Directories of the upper that are kept open, at most.
const OPEN_MAX: u64 = 512;
/// The part of the process's descriptors that they take, at most: the others are for files that users hold open.
const OPEN_PART: u64 = 4;

/// Open directories of the upper, by node. A directory keeps its descriptor through renames.
pub(super) struct DirCache(Mutex<LruCache<NodeId, Arc<OwnedFd>>>);

impl DirCache {
    pub(super) fn new() -> Self {
        let max = OPEN_MAX.min(host::descriptors_max() / OPEN_PART);
        let max = usize::try_from(max).ok().and_then(NonZeroUsize::new);
        DirCache(Mutex::new(LruCache::new(max.unwrap_or(NonZeroUsize::MIN))))
    }

    pub(super) fn forget(&self, id: NodeId) {
        self.0.lock().pop(&id);
    }
}

/// A name in a directory of the upper, or of its records.
pub(super) struct Spot {
    pub dir: Arc<OwnedFd>,
    pub name: Box<[u8]>,
}

impl Union {
    /// The upper's directory of a directory node that has an upper side.
    pub(super) fn upper_dir(&self, node: &Node) -> Result<Arc<OwnedFd>, UnionError> {
        if let Some(open) = self.dirs.0.lock().get(&node.id) {
            return Ok(Arc::clone(open));
        }
        let opened = match node.one_name() {
            None if node.id == NodeId::ROOT => open_dir(self.writable()?.root(), b".")?,
            None => return answer(Errno::NOENT),
            Some((parent, name)) => {
                let parent = self.node(parent)?;
                let above = self.upper_dir(&parent)?;
                open_dir(&above, name.as_bytes())?
            }
        };
        let opened = Arc::new(opened);
        self.dirs.0.lock().put(node.id, Arc::clone(&opened));
        Ok(opened)
    }

    /// Does something to a node's object by its name, which nobody changes meanwhile: a rename over it would have it done to another.
    /// `ENOENT` where it has no name any more. The caller holds the topology, and no lock of a directory.
    pub(super) fn in_place<T>(
        &self,
        node: &Node,
        deed: impl FnOnce(&Spot) -> Result<T, UnionError>,
    ) -> Result<T, UnionError> {
        loop {
            let is_elsewhere = node.id == NodeId::ROOT || node.group.is_some();
            if is_elsewhere || node.place.lock().orphan.is_some() {
                return deed(&self.spot(node)?);
            }
            let Some((parent, name)) = node.one_name() else { return answer(Errno::NOENT) };
            let parent = self.node(parent)?;
            let _names = parent.dir.read();
            // The name was read before the lock was had.
            let has_name = {
                let place = node.place.lock();
                place.orphan.is_none()
                    && place.names.iter().any(|(dir, known)| *dir == parent.id && *known == name)
            };
            if has_name {
                let spot = Spot { dir: self.upper_dir(&parent)?, name: name.as_bytes().into() };
                return deed(&spot);
            }
        }
    }

    /// Whether the directory of the upper is open already.
    pub(super) fn is_dir_open(&self, node: &Node) -> bool {
        self.dirs.0.lock().contains(&node.id)
    }

    /// Where the object of a node with an upper side can be reached by name.
    pub(super) fn spot(&self, node: &Node) -> Result<Spot, UnionError> {
        let upper = self.writable()?;
        if node.id == NodeId::ROOT {
            return Ok(Spot { dir: self.upper_dir(node)?, name: (*b".").into() });
        }
        if let Some(group) = &node.group {
            let Some(index) = upper.index_dir() else { return answer(Errno::NOENT) };
            return Ok(Spot { dir: duplicate(index)?, name: group.as_bytes().into() });
        }
        if let Some(orphan) = node.place.lock().orphan.clone() {
            return Ok(Spot {
                dir: duplicate(upper.orphan_dir())?,
                name: orphan.into_bytes().into(),
            });
        }
        // Its last name went since the node was found.
        let Some((parent, name)) = node.one_name() else { return answer(Errno::NOENT) };
        let parent = self.node(parent)?;
        Ok(Spot { dir: self.upper_dir(&parent)?, name: name.as_bytes().into() })
    }
}

fn open_dir(above: &OwnedFd, name: &[u8]) -> Result<OwnedFd, UnionError> {
    let deed = "open a directory of the upper";
    dir::open(above, name, Symlinks::Stop)
        .map_err(|source| UpperError::Call { deed, source }.into())
}

fn duplicate(fd: &OwnedFd) -> Result<Arc<OwnedFd>, UnionError> {
    let deed = "open a directory of records";
    let opened = dir::open(fd, ".", Symlinks::Stop);
    opened.map(Arc::new).map_err(|source| UpperError::Call { deed, source }.into())
}
