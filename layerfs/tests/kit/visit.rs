//! Owns one thread's use of a union by paths: it holds what it looked up until it is dropped, as the kernel does.

use std::cell::RefCell;

use layerfs_driver::sys::Errno;
use layerfs_driver::tree::Name;
use layerfs_driver::union::{
    Caller, HandleId, Looked, NewNode, NodeId, OpenHow, RenameHow, Union, UnionError,
};

type Done = Result<(), UnionError>;

const ROOT: Caller = Caller { uid: 0, gid: 0, umask: 0o022 };

pub struct Visit<'a> {
    union: &'a Union,
    held: RefCell<Vec<NodeId>>,
}

impl<'a> Visit<'a> {
    pub fn new(union: &'a Union) -> Self {
        Visit { union, held: RefCell::default() }
    }

    pub fn union(&self) -> &'a Union {
        self.union
    }

    fn hold(&self, looked: Looked) -> Looked {
        self.held.borrow_mut().push(looked.id);
        looked
    }

    pub fn walk(&self, path: &str) -> Result<Looked, UnionError> {
        let mut at =
            Looked { id: NodeId::ROOT, generation: 0, attr: self.union.attr(NodeId::ROOT)? };
        for name in path.split('/').filter(|name| !name.is_empty()) {
            at = self.hold(self.union.lookup(at.id, &Name::new(name.as_bytes()).unwrap())?);
        }
        Ok(at)
    }

    fn split(&self, path: &str) -> Result<(NodeId, Name), UnionError> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.walk(parent)?.id, Name::new(name.as_bytes()).unwrap()))
    }

    pub fn make(&self, path: &str, new: NewNode<'_>) -> Done {
        let (parent, name) = self.split(path)?;
        self.hold(self.union.create((parent, &name), new, 0o755, ROOT)?);
        Ok(())
    }

    pub fn open(&self, path: &str, how: OpenHow) -> Result<HandleId, UnionError> {
        self.union.open(self.walk(path)?.id, how)
    }

    pub fn read(&self, path: &str) -> Result<Vec<u8>, UnionError> {
        let handle = self.open(path, OpenHow::Read)?;
        let size = self.union.attr_of_open(handle);
        let read = size.and_then(|attr| {
            let mut bytes = vec![0; usize::try_from(attr.size).unwrap()];
            let len = self.union.read(handle, &mut bytes, 0)?;
            bytes.truncate(len);
            Ok(bytes)
        });
        self.union.release(handle);
        read
    }

    pub fn write(&self, path: &str, bytes: &[u8]) -> Done {
        let handle = self.open(path, OpenHow::Write)?;
        let done = self.union.write(handle, bytes, 0);
        self.union.release(handle);
        done.map(drop)
    }

    pub fn link(&self, from: &str, to: &str) -> Done {
        let node = self.walk(from)?.id;
        let (parent, name) = self.split(to)?;
        self.hold(self.union.link(node, parent, &name)?);
        Ok(())
    }

    /// As the kernel does, what is to go is looked up first.
    pub fn unlink(&self, path: &str) -> Done {
        let (parent, name) = self.split(path)?;
        self.hold(self.union.lookup(parent, &name)?);
        self.union.unlink(parent, &name)
    }

    pub fn rmdir(&self, path: &str) -> Done {
        let (parent, name) = self.split(path)?;
        self.hold(self.union.lookup(parent, &name)?);
        self.union.rmdir(parent, &name)
    }

    /// As the kernel does, both ends are looked up first.
    pub fn rename(&self, from: &str, to: &str, how: RenameHow) -> Done {
        let (from, to) = (self.split(from)?, self.split(to)?);
        self.hold(self.union.lookup(from.0, &from.1)?);
        match self.union.lookup(to.0, &to.1) {
            Ok(looked) => {
                self.hold(looked);
            }
            Err(error) if error.errno() == Errno::NOENT => {}
            Err(error) => return Err(error),
        }
        self.union.rename((from.0, &from.1), (to.0, &to.1), how)
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        for id in self.held.take() {
            self.union.forget(id, 1);
        }
    }
}
