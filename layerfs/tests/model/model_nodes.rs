//! Owns the model asked by node numbers: it proves the way from paths to nodes before there is a union at its end.

use std::collections::BTreeMap;
use std::mem::discriminant;

use rustix::io::Errno;

use super::nodes::{Attributes, Change, Handle, Listed, Made, NodeNumber, Nodes, Opening, Spot};
use super::ops::{Creation, Mode, RenameFlag, Space, XattrHow, XattrName};
use super::tree::{Body, InodeId, Model, Moment, ROOT};
use super::tree_path::TreePath;

/// The model, its open files, and the lookups that nobody has taken back.
pub struct ModelNodes {
    model: Model,
    open: BTreeMap<Handle, InodeId>,
    next: Handle,
    pub lookups: BTreeMap<NodeNumber, u64>,
}

impl ModelNodes {
    pub fn new(mut model: Model) -> ModelNodes {
        // Nothing goes while its number may be asked for; the model itself forgets what no slot holds.
        model.keep_all();
        ModelNodes { model, open: BTreeMap::new(), next: 0, lookups: BTreeMap::new() }
    }

    fn path(&self, at: Spot<'_>) -> Result<TreePath, Errno> {
        Ok(self.path_of(at.parent)?.join(at.name))
    }

    fn path_of(&self, id: InodeId) -> Result<TreePath, Errno> {
        let found = self.model.paths().into_iter().find(|(_, known)| *known == id);
        found.map(|(path, _)| path).ok_or(Errno::STALE)
    }

    fn counted(&mut self, id: InodeId) -> Attributes {
        *self.lookups.entry(id).or_default() += 1;
        self.shown(id)
    }

    fn shown(&self, id: InodeId) -> Attributes {
        let mtime = match self.model.inode(id).mtime {
            // What the model calls fresh has to be a time here.
            Moment::Fresh | Moment::Any => Moment::At(i64::MAX, 0),
            at => at,
        };
        let mut facts = self.model.facts(id);
        facts.hidden = 0;
        Attributes { node: id, number: id, generation: None, facts, mtime }
    }

    fn file(&self, handle: Handle) -> InodeId {
        self.open[&handle]
    }

    fn opened(&mut self, id: InodeId) -> Handle {
        self.next += 1;
        self.open.insert(self.next, id);
        self.next
    }

    fn name(name: &str) -> XattrName {
        XattrName::ALL.into_iter().find(|known| known.as_str() == name).expect("it is in the pool")
    }
}

impl Nodes for ModelNodes {
    fn root(&self) -> NodeNumber {
        ROOT
    }

    fn lookup(&mut self, at: Spot<'_>) -> Result<Attributes, Errno> {
        let id = self.model.child(at.parent, at.name).ok_or(Errno::NOENT)?;
        Ok(self.counted(id))
    }

    fn forget(&mut self, node: NodeNumber, lookups: u64) {
        let count = self.lookups.get_mut(&node).expect("only what was looked up is forgotten");
        *count = count.checked_sub(lookups).expect("no more is forgotten than was looked up");
    }

    fn attributes(&mut self, node: NodeNumber) -> Result<Attributes, Errno> {
        Ok(self.shown(node))
    }

    fn set_attributes(&mut self, node: NodeNumber, change: Change) -> Result<(), Errno> {
        match change {
            Change::Size(len) => {
                self.model.resize(node, len);
                Ok(())
            }
            Change::Mode(mode) => self.model.chmod(&self.path_of(node)?, mode),
            Change::Owner(uid, gid) => self.model.chown(&self.path_of(node)?, uid, gid),
            Change::Time(stamp) => self.model.utimens(&self.path_of(node)?, stamp),
        }
    }

    fn read_link(&mut self, node: NodeNumber) -> Result<Vec<u8>, Errno> {
        match &self.model.inode(node).body {
            Body::Symlink(target) => Ok(target.as_bytes().to_vec()),
            _ => Err(Errno::INVAL),
        }
    }

    fn make(&mut self, at: Spot<'_>, made: Made<'_>) -> Result<Attributes, Errno> {
        let path = self.path(at)?;
        match made {
            Made::Directory(mode) => self.model.mkdir(&path, mode)?,
            Made::Symlink(target) => self.model.symlink(&path, target)?,
            Made::Special(special, mode) => self.model.mknod(&path, special, mode)?,
        }
        self.lookup(at)
    }

    fn create(&mut self, at: Spot<'_>, mode: Mode) -> Result<(Attributes, Handle), Errno> {
        self.model.create(&self.path(at)?, Creation::Exclusive, mode)?;
        let made = self.lookup(at)?;
        let handle = self.opened(made.node);
        Ok((made, handle))
    }

    fn link(&mut self, node: NodeNumber, at: Spot<'_>) -> Result<Attributes, Errno> {
        let (from, to) = (self.path_of(node)?, self.path(at)?);
        self.model.link(&from, &to)?;
        self.lookup(at)
    }

    fn unlink(&mut self, at: Spot<'_>) -> Result<(), Errno> {
        self.model.unlink(&self.path(at)?)
    }

    fn rmdir(&mut self, at: Spot<'_>) -> Result<(), Errno> {
        self.model.rmdir(&self.path(at)?)
    }

    fn rename(&mut self, from: Spot<'_>, to: Spot<'_>, flag: RenameFlag) -> Result<(), Errno> {
        let (from, to) = (self.path(from)?, self.path(to)?);
        self.model.rename(&from, &to, flag)
    }

    fn open(&mut self, node: NodeNumber, opening: Opening) -> Result<Handle, Errno> {
        if opening == Opening::Emptying {
            self.model.resize(node, 0);
        }
        Ok(self.opened(node))
    }

    fn release(&mut self, node: NodeNumber, handle: Handle) {
        assert_eq!(self.open.remove(&handle), Some(node));
    }

    fn read(&mut self, handle: Handle, offset: u64, len: u32) -> Result<Vec<u8>, Errno> {
        let bytes = self.model.bytes(self.file(handle)).iter();
        let (offset, len) = (usize::try_from(offset).unwrap(), usize::try_from(len).unwrap());
        Ok(bytes.skip(offset).take(len).copied().collect())
    }

    fn write(&mut self, handle: Handle, offset: u64, data: &[u8]) -> Result<(), Errno> {
        let id = self.file(handle);
        self.model.put(id, offset, data);
        Ok(())
    }

    fn allocate(&mut self, handle: Handle, deed: Space, from: u64, len: u64) -> Result<(), Errno> {
        let path = self.path_of(self.file(handle))?;
        self.model.fallocate(&path, deed, from, len)
    }

    fn list(&mut self, node: NodeNumber) -> Result<Vec<Listed>, Errno> {
        let names = self.model.enter(node)?.iter();
        let listed = |(name, id): (&Vec<u8>, &InodeId)| {
            let kind = discriminant(&self.model.facts(*id).kind);
            Listed { name: name.clone(), number: *id, kind }
        };
        Ok(names.map(listed).collect())
    }

    fn xattrs(&mut self, node: NodeNumber) -> Result<Vec<(String, Vec<u8>)>, Errno> {
        let xattrs = self.model.inode(node).xattrs.iter();
        Ok(xattrs.map(|(name, value)| (name.as_str().to_string(), value.clone())).collect())
    }

    fn set_xattr(
        &mut self,
        node: NodeNumber,
        name: &str,
        value: &[u8],
        how: XattrHow,
    ) -> Result<(), Errno> {
        let path = self.path_of(node)?;
        self.model.set_xattr(&path, Self::name(name), value.to_vec(), how)
    }

    fn remove_xattr(&mut self, node: NodeNumber, name: &str) -> Result<(), Errno> {
        self.model.remove_xattr(&self.path_of(node)?, Self::name(name))
    }

    fn remount(&mut self) {
        assert!(self.open.is_empty(), "every handle was released");
        assert!(self.lookups.values().all(|count| *count == 0), "every lookup was taken back");
    }
}
