//! Owns what operations on names do to the model, with the errno Linux gives (fs/namei.c).

use rustix::io::Errno;

use super::fault::Fault;
use super::ops::{Creation, Mode, RenameFlag, Special};
use super::tree::{Body, Inode, InodeId, Model, Names, SET_GID};
use super::tree_path::TreePath;

/// One side of a rename.
struct Side<'p> {
    directory: InodeId,
    name: &'p [u8],
    inode: Option<InodeId>,
}

impl Model {
    pub(super) fn create(
        &mut self,
        path: &TreePath,
        how: Creation,
        mode: Mode,
    ) -> Result<(), Errno> {
        let (directory, name) = self.parent(path)?;
        let Some(id) = self.child(directory, name) else {
            return self.make(path, Inode::new(Body::File(Vec::new()), mode.0));
        };
        if how == Creation::Exclusive {
            return Err(Errno::EXIST);
        }
        let fresh = how == Creation::OrEmpty;
        match &mut self.inode_mut(id).body {
            Body::File(bytes) if fresh => bytes.clear(),
            Body::File(_) => return Ok(()),
            Body::Directory(_) => return Err(Errno::ISDIR),
            Body::Symlink(_) => return Err(Errno::LOOP),
            Body::Fifo | Body::Socket | Body::CharDevice { .. } => return Err(Errno::NXIO),
        }
        self.touch(id);
        Ok(())
    }

    pub(super) fn mkdir(&mut self, path: &TreePath, mode: Mode) -> Result<(), Errno> {
        // mkdir(2) takes no set-id bits; a set-gid directory gives its own on.
        self.make(path, Inode::new(Body::Directory(Names::new()), mode.0 & 0o1777))
    }

    pub(super) fn symlink(&mut self, path: &TreePath, target: &TreePath) -> Result<(), Errno> {
        self.make(path, Inode::new(Body::Symlink(target.clone()), 0o777))
    }

    pub(super) fn mknod(
        &mut self,
        path: &TreePath,
        special: Special,
        mode: Mode,
    ) -> Result<(), Errno> {
        let body = match special {
            Special::Fifo => Body::Fifo,
            Special::Socket => Body::Socket,
            Special::NullDevice => Body::CharDevice { major: 1, minor: 3 },
            Special::WhiteoutDevice => {
                let (directory, name) = self.parent(path)?;
                let there = self.child(directory, name).is_some();
                return Err(if there { Errno::EXIST } else { Errno::PERM });
            }
        };
        self.make(path, Inode::new(body, mode.0))
    }

    fn make(&mut self, path: &TreePath, mut inode: Inode) -> Result<(), Errno> {
        let (directory, name) = self.parent(path)?;
        if self.child(directory, name).is_some() {
            return Err(Errno::EXIST);
        }
        let parent = self.inode(directory);
        if parent.mode & SET_GID != 0 && self.fault != Fault::SetGidNotInherited {
            inode.gid = parent.gid;
            if inode.is_directory() {
                inode.mode |= SET_GID;
            }
        }
        let id = self.add(inode);
        self.attach(directory, name, id);
        self.touch(directory);
        Ok(())
    }

    pub(super) fn link(&mut self, from: &TreePath, to: &TreePath) -> Result<(), Errno> {
        let (old_directory, old_name) = self.parent(from)?;
        let (new_directory, new_name) = self.parent(to)?;
        let id = self.child(old_directory, old_name).ok_or(Errno::NOENT)?;
        if self.child(new_directory, new_name).is_some() {
            return Err(Errno::EXIST);
        }
        if self.inode(id).is_directory() {
            return Err(Errno::PERM);
        }
        self.attach(new_directory, new_name, id);
        if self.fault != Fault::LinkKeepsParentTime {
            self.touch(new_directory);
        }
        Ok(())
    }

    pub(super) fn unlink(&mut self, path: &TreePath) -> Result<(), Errno> {
        let (directory, name) = self.parent(path)?;
        let id = self.child(directory, name).ok_or(Errno::NOENT)?;
        if self.inode(id).is_directory() {
            return Err(Errno::ISDIR);
        }
        self.detach(directory, name);
        self.touch(directory);
        Ok(())
    }

    pub(super) fn rmdir(&mut self, path: &TreePath) -> Result<(), Errno> {
        let (directory, name) = self.parent(path)?;
        let id = self.child(directory, name).ok_or(Errno::NOENT)?;
        if !self.inode(id).is_directory() {
            return Err(Errno::NOTDIR);
        }
        if self.fault != Fault::RmdirTakesContents {
            self.must_be_empty(id)?;
        }
        self.detach(directory, name);
        self.touch(directory);
        Ok(())
    }

    fn must_be_empty(&self, directory: InodeId) -> Result<(), Errno> {
        if self.enter(directory)?.is_empty() { Ok(()) } else { Err(Errno::NOTEMPTY) }
    }

    pub(super) fn rename(
        &mut self,
        from: &TreePath,
        to: &TreePath,
        flag: RenameFlag,
    ) -> Result<(), Errno> {
        let (directory, name) = self.parent(from)?;
        let old = Side { directory, name, inode: None };
        let (directory, name) = self.parent(to)?;
        let new = Side { directory, name, inode: self.child(directory, name) };
        let source = self.child(old.directory, old.name).ok_or(Errno::NOENT)?;
        let flag = match (flag, self.fault) {
            (RenameFlag::Exchange, Fault::ExchangeReplaces) => RenameFlag::Plain,
            _ => flag,
        };
        self.may_rename(source, &old, &new, flag)?;
        if new.inode == Some(source) {
            return Ok(());
        }
        if flag == RenameFlag::Whiteout {
            return Err(Errno::INVAL);
        }
        self.move_name(source, &old, &new, flag)
    }

    /// The checks of `do_renameat2` and `vfs_rename`, in their order.
    fn may_rename(
        &self,
        source: InodeId,
        old: &Side<'_>,
        new: &Side<'_>,
        flag: RenameFlag,
    ) -> Result<(), Errno> {
        match (flag, new.inode) {
            (RenameFlag::NoReplace, Some(_)) => return Err(Errno::EXIST),
            (RenameFlag::Exchange, None) => return Err(Errno::NOENT),
            _ => {}
        }
        if self.holds(source, new.directory) {
            return Err(Errno::INVAL);
        }
        let Some(target) = new.inode else { return Ok(()) };
        if self.holds(target, old.directory) {
            let exchange = flag == RenameFlag::Exchange;
            return Err(if exchange { Errno::INVAL } else { Errno::NOTEMPTY });
        }
        if target == source || flag == RenameFlag::Exchange {
            return Ok(());
        }
        match (self.inode(source).is_directory(), self.inode(target).is_directory()) {
            (true, false) => Err(Errno::NOTDIR),
            (false, true) => Err(Errno::ISDIR),
            (true, true) if flag != RenameFlag::Whiteout => self.must_be_empty(target),
            _ => Ok(()),
        }
    }

    /// Whether `inner` is `outer` or lies below it.
    fn holds(&self, outer: InodeId, inner: InodeId) -> bool {
        let below = |id: InodeId| self.enter(id).map(|names| names.values().copied().collect());
        let mut left = vec![outer];
        while let Some(id) = left.pop() {
            if id == inner {
                return self.fault != Fault::RenameIntoItself;
            }
            left.extend(below(id).unwrap_or_else(|_| Vec::new()));
        }
        false
    }

    fn move_name(
        &mut self,
        source: InodeId,
        old: &Side<'_>,
        new: &Side<'_>,
        flag: RenameFlag,
    ) -> Result<(), Errno> {
        if self.fault == Fault::RenameIntoItself && self.would_loop(source, old, new) {
            return Ok(());
        }
        self.touch(old.directory);
        self.touch(new.directory);
        if flag == RenameFlag::Exchange {
            let target = new.inode.expect("checked above");
            self.names_mut(old.directory).insert(old.name.to_vec(), target);
            self.names_mut(new.directory).insert(new.name.to_vec(), source);
            return Ok(());
        }
        if let Some(target) = new.inode {
            if self.fault == Fault::RenameForgetsLink {
                self.inode_mut(target).links += 1;
            }
            self.detach(new.directory, new.name);
        }
        self.names_mut(old.directory).remove(old.name);
        self.names_mut(new.directory).insert(new.name.to_vec(), source);
        Ok(())
    }

    /// The planted fault answers as if it had moved: a tree with a loop could not be walked.
    fn would_loop(&self, source: InodeId, old: &Side<'_>, new: &Side<'_>) -> bool {
        let mut sound = self.clone();
        sound.fault = Fault::None;
        sound.holds(source, new.directory)
            || new.inode.is_some_and(|target| sound.holds(target, old.directory))
    }
}
