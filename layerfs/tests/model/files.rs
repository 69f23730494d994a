//! Owns what operations on contents and held descriptors do to the model.

use rustix::io::Errno;

use super::fault::Fault;
use super::ops::{Access, Place, Space};
use super::pattern::Pattern;
use super::subject::{Facts, Outcome, sha256};
use super::tree::{Body, Held, InodeId, Model, Moment};
use super::tree_path::TreePath;

impl Model {
    /// The regular file at `path`. Others are refused, as every subject refuses them (the fifth rule of this room).
    fn file(&self, path: &TreePath) -> Result<InodeId, Errno> {
        let id = self.resolve(path)?;
        match self.inode(id).body {
            Body::File(_) => Ok(id),
            Body::Directory(_) => Err(Errno::ISDIR),
            Body::Symlink(_) => Err(Errno::LOOP),
            Body::Fifo | Body::Socket | Body::CharDevice { .. } => Err(Errno::NXIO),
        }
    }

    pub(super) fn bytes(&self, id: InodeId) -> &Vec<u8> {
        match &self.inode(id).body {
            Body::File(bytes) => bytes,
            _ => panic!("inode {id} was opened as a file and is none"),
        }
    }

    fn bytes_mut(&mut self, id: InodeId) -> &mut Vec<u8> {
        match &mut self.inode_mut(id).body {
            Body::File(bytes) => bytes,
            _ => panic!("inode {id} was opened as a file and is none"),
        }
    }

    pub(super) fn write(
        &mut self,
        path: &TreePath,
        place: Place,
        data: Pattern,
    ) -> Result<(), Errno> {
        let id = self.file(path)?;
        self.put_at(id, place, data);
        Ok(())
    }

    fn put_at(&mut self, id: InodeId, place: Place, data: Pattern) {
        let offset = match place {
            Place::Offset(offset) => offset,
            Place::End if self.fault == Fault::AppendAtStart => 0,
            Place::End => self.facts(id).size,
        };
        self.put(id, offset, &data.bytes());
    }

    pub(super) fn put(&mut self, id: InodeId, offset: u64, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let bytes = self.bytes_mut(id);
        let start = index(offset);
        let end = start + data.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[start..end].copy_from_slice(data);
        if self.fault != Fault::WriteKeepsTime {
            self.touch(id);
        }
    }

    pub(super) fn truncate(&mut self, path: &TreePath, len: u64) -> Result<(), Errno> {
        let id = self.file(path)?;
        self.resize(id, len);
        Ok(())
    }

    pub(super) fn resize(&mut self, id: InodeId, len: u64) {
        let filler = if self.fault == Fault::TruncateKeepsBytes { 1 } else { 0 };
        self.bytes_mut(id).resize(index(len), filler);
        self.touch(id);
    }

    pub(super) fn fallocate(
        &mut self,
        path: &TreePath,
        deed: Space,
        offset: u64,
        len: u64,
    ) -> Result<(), Errno> {
        let id = self.file(path)?;
        if len == 0 {
            return Err(Errno::INVAL);
        }
        let (start, end) = (index(offset), index(offset + len));
        let bytes = self.bytes_mut(id);
        match deed {
            Space::Extend => bytes.resize(bytes.len().max(end), 0),
            Space::Punch => {
                let (start, end) = (start.min(bytes.len()), end.min(bytes.len()));
                bytes[start..end].fill(0);
            }
        }
        // tmpfs leaves mtime, disk file systems change it.
        self.inode_mut(id).mtime = Moment::Any;
        Ok(())
    }

    pub(super) fn open(
        &mut self,
        slot: usize,
        path: &TreePath,
        access: Access,
    ) -> Result<(), Errno> {
        self.close(slot);
        let inode = self.file(path)?;
        self.held[slot] = Some(Held { inode, access });
        Ok(())
    }

    pub(super) fn close(&mut self, slot: usize) {
        if let Some(held) = self.held[slot].take() {
            self.let_go(held.inode);
        }
    }

    pub(super) fn held_write(
        &mut self,
        slot: usize,
        offset: u64,
        data: Pattern,
    ) -> Result<(), Errno> {
        let held = self.writable(slot)?;
        let place = match held.access {
            Access::Appending => Place::End,
            _ => Place::Offset(offset),
        };
        self.put_at(held.inode, place, data);
        Ok(())
    }

    pub(super) fn held_read(&self, slot: usize, offset: u64, len: u32) -> Result<Outcome, Errno> {
        let held = self.held[slot].ok_or(Errno::BADF)?;
        if matches!(held.access, Access::Writing | Access::Appending) {
            return Err(Errno::BADF);
        }
        let bytes = self.bytes(held.inode);
        let start = index(offset).min(bytes.len());
        let end = (start + index(len.into())).min(bytes.len());
        let read = &bytes[start..end];
        Ok(Outcome::Read { len: read.len(), sha256: sha256(read) })
    }

    pub(super) fn held_truncate(&mut self, slot: usize, len: u64) -> Result<(), Errno> {
        // ftruncate(2) has another errno for this than write(2).
        self.held[slot].ok_or(Errno::BADF)?;
        let held = self.writable(slot).map_err(|_| Errno::INVAL)?;
        self.resize(held.inode, len);
        Ok(())
    }

    pub(super) fn held_facts(&self, slot: usize) -> Result<Facts, Errno> {
        let held = self.held[slot].ok_or(Errno::BADF)?;
        Ok(self.facts(held.inode))
    }

    fn writable(&self, slot: usize) -> Result<Held, Errno> {
        let held = self.held[slot].ok_or(Errno::BADF)?;
        if held.access == Access::Reading { Err(Errno::BADF) } else { Ok(held) }
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("histories write small files")
}
