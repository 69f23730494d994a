//! Owns one user's changes of a union by paths. What is looked up stays looked up.

use layerfs_driver::sys::change::SetTime;
use layerfs_driver::sys::xattr_at::SetHow;
use layerfs_driver::tree::Name;
use layerfs_driver::union::{
    Caller, HandleId, Looked, NewNode, NodeId, OpenHow, RenameHow, SetAttr, Union, UnionError,
};

pub type Done = Result<(), UnionError>;

pub const ROOT: Caller = Caller { uid: 0, gid: 0, umask: 0o022 };
pub const OTHER: Caller = Caller { uid: 1000, gid: 1000, umask: 0o027 };

/// What `fallocate` is asked for.
#[derive(Clone, Copy)]
pub enum Shape {
    Allocate = 0,
    /// `FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE`
    Punch = 3,
}

/// A list that gives one more user the right to read.
pub const ONE_MORE_READER: &[u8] = &[
    2, 0, 0, 0, 1, 0, 6, 0, 0xff, 0xff, 0xff, 0xff, 2, 0, 4, 0, 0xe8, 3, 0, 0, 4, 0, 4, 0, 0xff,
    0xff, 0xff, 0xff, 0x10, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, 0x20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,
];

/// A union by paths.
pub struct Way<'a>(pub &'a Union);

impl Way<'_> {
    pub fn walk(&self, path: &str) -> Result<Looked, UnionError> {
        let mut at = Looked { id: NodeId::ROOT, generation: 0, attr: self.0.attr(NodeId::ROOT)? };
        for name in path.split('/').filter(|name| !name.is_empty()) {
            at = self.0.lookup(at.id, &Name::new(name.as_bytes()).unwrap())?;
        }
        Ok(at)
    }

    pub fn split(&self, path: &str) -> Result<(NodeId, Name), UnionError> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.walk(parent)?.id, Name::new(name.as_bytes()).unwrap()))
    }

    pub fn make(&self, path: &str, new: NewNode<'_>, caller: Caller) -> Done {
        let (parent, name) = self.split(path)?;
        self.0.create((parent, &name), new, 0o777, caller).map(drop)
    }

    pub fn file(&self, path: &str) -> Done {
        self.make(path, NewNode::File, ROOT)
    }

    /// Makes a file without a name, writes to it and gives it one.
    pub fn nameless(&self, path: &str) -> Done {
        let (parent, name) = self.split(path)?;
        let made = self.0.create_nameless(parent, 0o666, ROOT)?.id;
        let written = self.0.open(made, OpenHow::Write).and_then(|handle| {
            let written = self.0.write(handle, b"nameless", 0);
            let named = written.and_then(|_| self.0.link(made, parent, &name).map(drop));
            self.0.release(handle);
            named
        });
        self.0.forget(made, 1);
        written
    }

    pub fn dir(&self, path: &str) -> Done {
        self.make(path, NewNode::Directory, ROOT)
    }

    pub fn open(&self, path: &str, how: OpenHow) -> Result<HandleId, UnionError> {
        self.0.open(self.walk(path)?.id, how)
    }

    pub fn write(&self, path: &str, bytes: &[u8], offset: u64) -> Done {
        let handle = self.open(path, OpenHow::Write)?;
        let done = self.0.write(handle, bytes, offset).map(drop);
        self.0.release(handle);
        done
    }

    pub fn set(&self, path: &str, set: SetAttr) -> Done {
        self.0.set_attr(self.walk(path)?.id, &set).map(drop)
    }

    pub fn size(&self, path: &str, size: u64) -> Done {
        self.set(path, SetAttr { size: Some(size), ..SetAttr::default() })
    }

    pub fn chmod(&self, path: &str) -> Done {
        self.set(path, SetAttr { permissions: Some(0o2711), ..SetAttr::default() })
    }

    pub fn chown(&self, path: &str) -> Done {
        self.set(path, SetAttr { uid: Some(7), gid: Some(8), ..SetAttr::default() })
    }

    pub fn touch(&self, path: &str) -> Done {
        self.set(path, SetAttr { mtime: SetTime::At(86_400, 7), ..SetAttr::default() })
    }

    pub fn xattr(&self, path: &str, name: &str) -> Done {
        self.0.set_xattr(self.walk(path)?.id, (name.as_bytes(), b"value"), SetHow::Any)
    }

    pub fn no_xattr(&self, path: &str, name: &str) -> Done {
        self.0.remove_xattr(self.walk(path)?.id, name.as_bytes())
    }

    pub fn set_list(&self, path: &str, name: &[u8]) -> Done {
        self.0.set_xattr(self.walk(path)?.id, (name, ONE_MORE_READER), SetHow::Any)
    }

    pub fn no_list(&self, path: &str, name: &[u8]) -> Done {
        self.0.remove_xattr(self.walk(path)?.id, name)
    }

    pub fn chmod_of(&self, id: NodeId) -> Done {
        let set = SetAttr { permissions: Some(0o600), ..SetAttr::default() };
        self.0.set_attr(id, &set).map(drop)
    }

    pub fn allocate(&self, path: &str, shape: Shape, (offset, len): (u64, u64)) -> Done {
        self.with_open(path, OpenHow::Write, |handle| {
            self.0.allocate(handle, shape as u32, offset, len)
        })
    }

    /// Does something with a file that is open.
    pub fn with_open(&self, path: &str, how: OpenHow, act: impl FnOnce(HandleId) -> Done) -> Done {
        let handle = self.open(path, how)?;
        let done = act(handle);
        self.0.release(handle);
        done
    }

    pub fn link(&self, from: &str, to: &str) -> Done {
        let node = self.walk(from)?.id;
        let (parent, name) = self.split(to)?;
        self.0.link(node, parent, &name).map(drop)
    }

    pub fn unlink(&self, path: &str) -> Done {
        let (parent, name) = self.split(path)?;
        self.0.unlink(parent, &name)
    }

    pub fn rmdir(&self, path: &str) -> Done {
        let (parent, name) = self.split(path)?;
        self.0.rmdir(parent, &name)
    }

    pub fn rename(&self, from: &str, to: &str, how: RenameHow) -> Done {
        let (from, to) = (self.split(from)?, self.split(to)?);
        self.0.rename((from.0, &from.1), (to.0, &to.1), how)
    }

    pub fn mv(&self, from: &str, to: &str) -> Done {
        self.rename(from, to, RenameHow::Replace)
    }

    pub fn swap(&self, from: &str, to: &str) -> Done {
        self.rename(from, to, RenameHow::Exchange)
    }
}
