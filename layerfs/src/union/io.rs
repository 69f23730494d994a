//! Reading, writing and shaping the contents of open files.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::error::{UnionError, answer};
use super::handle::{HandleId, Open, OpenHow};
use super::ids::NodeId;
use super::mount::Union;
use crate::sys::file::AtOnce;
use crate::sys::{Errno, SysError, change, file};
use crate::upper::UpperError;

impl Union {
    /// Reads at `offset`; fewer bytes than asked for only at the end of the file. A descriptor that was opened before a
    /// copy-up reads what is written after it.
    pub fn read(&self, handle: HandleId, buf: &mut [u8], offset: u64) -> Result<usize, UnionError> {
        let open = self.handles.get(handle)?;
        let upper = match open.read_lower() {
            Some(lower) => return Ok(lower.read_at(buf, offset)?),
            None => self.upper_file(&open)?,
        };
        let mut done = 0;
        while done < buf.len() {
            let len = file::read_at(&*upper, &mut buf[done..], offset + done as u64)
                .map_err(told("read"))?;
            if len == 0 {
                break;
            }
            done += len;
        }
        Ok(done)
    }

    /// The same of what is in memory already; whoever waits for a disk otherwise has something to do before.
    pub fn read_at_once(&self, handle: HandleId, buf: &mut [u8], offset: u64) -> AtOnce {
        let Ok(open) = self.handles.get(handle) else { return AtOnce::Unknown };
        match open.read_lower() {
            Some(lower) => lower.read_at_once(buf, offset),
            None => match &*open.upper.lock() {
                Some(fd) => file::read_at_once(&**fd, buf, offset),
                None => AtOnce::Unknown,
            },
        }
    }

    /// Writes `bytes` at `offset`. Answers how many were written: fewer than all only where the disk, or the process's
    /// limit of a file's size, ends in them.
    pub fn write(&self, handle: HandleId, bytes: &[u8], offset: u64) -> Result<usize, UnionError> {
        let upper = self.writable_file(handle)?;
        let mut done = 0;
        while done < bytes.len() {
            match file::write_at(&*upper, &bytes[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(len) => done += len,
                // What landed is told; whoever goes on writing meets the error then.
                Err(_) if done > 0 => break,
                Err(error) => return Err(told("write")(error)),
            }
        }
        Ok(done)
    }

    /// Sets the size of an open file.
    pub fn truncate(&self, handle: HandleId, size: u64) -> Result<(), UnionError> {
        let upper = self.writable_file(handle)?;
        file::truncate(&*upper, size).map_err(told("truncate"))
    }

    /// Allocates, punches or zeroes a range; `mode` holds the flags of `fallocate(2)`.
    pub fn allocate(
        &self,
        handle: HandleId,
        mode: u32,
        offset: u64,
        len: u64,
    ) -> Result<(), UnionError> {
        let upper = self.writable_file(handle)?;
        change::allocate(&*upper, mode, offset, len).map_err(told("allocate"))
    }

    /// The next data at or after `offset`; `ENXIO` where there is none.
    pub fn seek_data(&self, handle: HandleId, offset: u64) -> Result<u64, UnionError> {
        let open = self.handles.get(handle)?;
        let next = match open.read_lower() {
            Some(lower) => lower.next_data(offset)?,
            None => file::seek_data(&*self.upper_file(&open)?, offset).map_err(told("seek"))?,
        };
        next.map_or_else(|| answer(Errno::NXIO), Ok)
    }

    /// The next hole at or after `offset`; the end of the file counts as one.
    pub fn seek_hole(&self, handle: HandleId, offset: u64) -> Result<u64, UnionError> {
        let open = self.handles.get(handle)?;
        match open.read_lower() {
            Some(lower) if offset >= lower.size() => answer(Errno::NXIO),
            Some(lower) => Ok(lower.next_hole(offset)?),
            None => file::seek_hole(&*self.upper_file(&open)?, offset).map_err(told("seek")),
        }
    }

    /// Makes an open file durable, and the name by which it is found. What is being copied up is not waited for: none of its
    /// changes was answered yet.
    pub fn sync(&self, handle: HandleId) -> Result<(), UnionError> {
        let open = self.handles.get(handle)?;
        let Some(upper) = &self.upper else { return Ok(()) };
        if !open.node.is_upper() {
            return Ok(());
        }
        upper.sync(&*self.upper_file(&open)?)?;
        if open.node.group.is_some() {
            // Its other names are found by the index.
            upper.sync_index()?;
        }
        match open.node.one_name() {
            Some((parent, _)) => self.sync_dir(parent),
            None => Ok(()),
        }
    }

    /// Makes the names of a directory durable, up to the root: a copied-up ancestor may be as new as they are.
    ///
    /// The way up is held for a step at a time, and not while the disk syncs: a rename of a directory that waited for that would
    /// keep everyone else waiting behind it. Whether one that comes between two steps lasts is the matter of who asked for it.
    pub fn sync_dir(&self, id: NodeId) -> Result<(), UnionError> {
        let Some(upper) = &self.upper else { return Ok(()) };
        let mut next = Some(self.dir_node(id)?);
        while let Some(at) = next {
            let dir = {
                let _topology = self.topology.read();
                if at.place.lock().gone.is_some() {
                    return Ok(()); // Nothing of a removed directory is on disk.
                }
                self.upper_dir_if_any(&at)?
            };
            if let Some(dir) = dir {
                upper.sync(&dir)?;
            }
            let _topology = self.topology.read();
            next = at.one_name().map(|(parent, _)| self.dir_node(parent)).transpose()?;
        }
        Ok(())
    }

    pub(super) fn upper_file(&self, open: &Open) -> Result<Arc<OwnedFd>, UnionError> {
        if let Some(fd) = &*open.upper.lock() {
            return Ok(Arc::clone(fd));
        }
        let _topology = self.topology.read();
        self.open_upper(open)
    }

    fn writable_file(&self, handle: HandleId) -> Result<Arc<OwnedFd>, UnionError> {
        let open = self.handles.get(handle)?;
        match open.how {
            OpenHow::Read | OpenHow::Run => answer(Errno::BADF),
            OpenHow::Write | OpenHow::Truncate | OpenHow::TruncateToRead => self.upper_file(&open),
        }
    }
}

fn told(deed: &'static str) -> impl Fn(SysError) -> UnionError {
    move |source| UpperError::Call { deed, source }.into()
}
