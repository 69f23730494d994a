//! Owns what operations on modes, owners, times and extended attributes do to the model.

use rustix::io::Errno;

use super::fault::Fault;
use super::ops::{Mode, Stamp, XattrHow, XattrName};
use super::tree::{Body, Inode, Model, Moment};
use super::tree_path::TreePath;

impl Model {
    pub(super) fn chmod(&mut self, path: &TreePath, mode: Mode) -> Result<(), Errno> {
        let id = self.resolve(path)?;
        let inode = self.inode_mut(id);
        if matches!(inode.body, Body::Symlink(_)) {
            return Err(Errno::OPNOTSUPP);
        }
        inode.mode = mode.0;
        Ok(())
    }

    pub(super) fn chown(
        &mut self,
        path: &TreePath,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> Result<(), Errno> {
        let id = self.resolve(path)?;
        let fault = self.fault;
        let inode = self.inode_mut(id);
        inode.uid = uid.unwrap_or(inode.uid);
        inode.gid = gid.unwrap_or(inode.gid);
        if !inode.is_directory() && fault != Fault::ChownKeepsSetUid {
            inode.drop_set_ids();
        }
        Ok(())
    }

    pub(super) fn utimens(&mut self, path: &TreePath, stamp: Stamp) -> Result<(), Errno> {
        let id = self.resolve(path)?;
        self.inode_mut(id).mtime = match stamp {
            Stamp::Past(secs, nanos) => Moment::At(secs, nanos),
            Stamp::Now => Moment::Fresh,
        };
        Ok(())
    }

    pub(super) fn set_xattr(
        &mut self,
        path: &TreePath,
        name: XattrName,
        value: Vec<u8>,
        how: XattrHow,
    ) -> Result<(), Errno> {
        let id = self.resolve(path)?;
        let fault = self.fault;
        let inode = self.inode_mut(id);
        may_have(inode, name)?;
        match (how, inode.xattrs.contains_key(&name)) {
            (XattrHow::MustBeNew, true) if fault != Fault::XattrCreateReplaces => {
                return Err(Errno::EXIST);
            }
            (XattrHow::MustExist, false) => return Err(Errno::NODATA),
            _ => {}
        }
        inode.xattrs.insert(name, value);
        Ok(())
    }

    pub(super) fn remove_xattr(&mut self, path: &TreePath, name: XattrName) -> Result<(), Errno> {
        let id = self.resolve(path)?;
        let inode = self.inode_mut(id);
        may_have(inode, name)?;
        inode.xattrs.remove(&name).map(|_| ()).ok_or(Errno::NODATA)
    }
}

fn may_have(inode: &Inode, name: XattrName) -> Result<(), Errno> {
    let takes_user = matches!(inode.body, Body::Directory(_) | Body::File(_));
    if name.is_user() && !takes_user { Err(Errno::PERM) } else { Ok(()) }
}
