//! Owns the model's inodes and names: an ordinary POSIX tree in memory.

use std::collections::BTreeMap;

use rustix::io::Errno;

use super::fault::Fault;
use super::ops::{Access, SLOTS, XattrName};
use super::tree_path::TreePath;

/// The number of an inode; never used twice.
pub type InodeId = u64;
/// The names of a directory.
pub type Names = BTreeMap<Vec<u8>, InodeId>;

pub const ROOT: InodeId = 1;
pub const SET_UID: u32 = 0o4000;
pub const SET_GID: u32 = 0o2000;
const GROUP_EXECUTE: u32 = 0o010;

/// The reference model.
#[derive(Clone)]
pub struct Model {
    pub(super) inodes: BTreeMap<InodeId, Inode>,
    pub(super) held: [Option<Held>; SLOTS],
    pub(super) fault: Fault,
    next: InodeId,
    keeps: Keeps,
}

/// What becomes of an inode without names and descriptors.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeps {
    WhatIsReached,
    Everything,
}

/// A descriptor kept by the history.
#[derive(Clone, Copy)]
pub(super) struct Held {
    pub inode: InodeId,
    pub access: Access,
}

#[derive(Clone)]
pub(super) struct Inode {
    pub body: Body,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Moment,
    pub xattrs: BTreeMap<XattrName, Vec<u8>>,
    /// Names of what is no directory.
    pub links: u64,
    /// Names that it has in a layer and that layers above hide. A union of directories can't know them without walking
    /// the whole layer, so there they count as links.
    pub hidden: u64,
}

#[derive(Clone)]
pub(super) enum Body {
    Directory(Names),
    File(Vec<u8>),
    Symlink(TreePath),
    Fifo,
    Socket,
    CharDevice { major: u32, minor: u32 },
}

/// What the model knows of an mtime. Values that are set lie long before a history, so that the two can't be mixed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Moment {
    /// Set by utimens or inherited from the lower: seconds and nanoseconds, compared exactly.
    At(i64, u32),
    /// Left by a change during the history: not before its start.
    Fresh,
    /// File systems differ by right.
    Any,
}

impl Model {
    /// A tree that is a root directory and nothing else.
    pub fn empty(fault: Fault) -> Model {
        let mut model = Model {
            inodes: BTreeMap::new(),
            held: [None; SLOTS],
            fault,
            next: ROOT,
            keeps: Keeps::WhatIsReached,
        };
        model.add(Inode::new(Body::Directory(Names::new()), 0o755));
        model
    }

    /// From here on an inode outlives its names, for those who keep its number.
    pub(super) fn keep_all(&mut self) {
        self.keeps = Keeps::Everything;
    }

    pub(super) fn add(&mut self, inode: Inode) -> InodeId {
        let id = self.next;
        self.next += 1;
        self.inodes.insert(id, inode);
        id
    }

    pub(super) fn inode(&self, id: InodeId) -> &Inode {
        &self.inodes[&id]
    }

    pub(super) fn inode_mut(&mut self, id: InodeId) -> &mut Inode {
        self.inodes.get_mut(&id).expect("an id is had only of an inode that is there")
    }

    /// The names of a directory; what is none can't be walked through.
    pub(super) fn enter(&self, id: InodeId) -> Result<&Names, Errno> {
        match &self.inode(id).body {
            Body::Directory(names) => Ok(names),
            Body::Symlink(_) => Err(Errno::LOOP),
            _ => Err(Errno::NOTDIR),
        }
    }

    pub(super) fn resolve(&self, path: &TreePath) -> Result<InodeId, Errno> {
        let mut at = ROOT;
        for name in path.names() {
            at = *self.enter(at)?.get(name).ok_or(Errno::NOENT)?;
        }
        Ok(at)
    }

    /// The directory that holds the last name, and the name. The name need not exist.
    pub(super) fn parent<'p>(&self, path: &'p TreePath) -> Result<(InodeId, &'p [u8]), Errno> {
        let (parent, _) = path.split().expect("no history makes or removes the root");
        let directory = self.resolve(&parent)?;
        self.enter(directory)?;
        Ok((directory, path.names().last().expect("it has been split")))
    }

    pub(super) fn child(&self, directory: InodeId, name: &[u8]) -> Option<InodeId> {
        self.enter(directory).ok()?.get(name).copied()
    }

    pub(super) fn names_mut(&mut self, directory: InodeId) -> &mut Names {
        match &mut self.inode_mut(directory).body {
            Body::Directory(names) => names,
            _ => panic!("inode {directory} is walked as a directory and is none"),
        }
    }

    /// Puts a name into a directory, over nothing.
    pub(super) fn attach(&mut self, directory: InodeId, name: &[u8], id: InodeId) {
        self.names_mut(directory).insert(name.to_vec(), id);
        self.inode_mut(id).links += 1;
    }

    /// Takes a name out of a directory; the inode goes with its last name and descriptor.
    pub(super) fn detach(&mut self, directory: InodeId, name: &[u8]) -> InodeId {
        let id = self.names_mut(directory).remove(name).expect("the caller has found it");
        self.inode_mut(id).links -= 1;
        self.let_go(id);
        id
    }

    /// Forgets an inode that nothing reaches.
    pub(super) fn let_go(&mut self, id: InodeId) {
        let is_held = self.held.iter().flatten().any(|held| held.inode == id);
        let inode = self.inode_mut(id);
        if inode.links > 0 {
            return;
        }
        if self.keeps == Keeps::Everything {
            return;
        }
        if !is_held {
            self.inodes.remove(&id);
        } else if self.fault == Fault::UnlinkEmptiesOpenFile {
            self.inode_mut(id).body = Body::File(Vec::new());
        }
    }

    pub(super) fn touch(&mut self, id: InodeId) {
        self.inode_mut(id).mtime = Moment::Fresh;
    }

    /// Every path with its inode, a directory before what is in it.
    pub(super) fn paths(&self) -> Vec<(TreePath, InodeId)> {
        let mut found = vec![(TreePath::root(), ROOT)];
        let mut next = 0;
        while let Some((path, id)) = found.get(next).cloned() {
            if let Body::Directory(names) = &self.inode(id).body {
                found.extend(names.iter().map(|(name, child)| (path.join(name), *child)));
            }
            next += 1;
        }
        found
    }
}

impl Inode {
    pub fn new(body: Body, mode: u32) -> Inode {
        let mtime = Moment::Fresh;
        Inode { body, mode, uid: 0, gid: 0, mtime, xattrs: BTreeMap::new(), links: 0, hidden: 0 }
    }

    pub fn is_directory(&self) -> bool {
        matches!(self.body, Body::Directory(_))
    }

    /// What `chown` takes from anything but a directory, from root as well (`setattr_should_drop_suidgid`).
    pub fn drop_set_ids(&mut self) {
        self.mode &= !SET_UID;
        if self.mode & GROUP_EXECUTE != 0 {
            self.mode &= !SET_GID;
        }
    }
}
