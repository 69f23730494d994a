//! Reading, writing and shaping the contents of open files.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::copy_up::Extent;
use super::error::{UnionError, answer};
use super::handle::{Bytes, HandleId, Open, OpenHow};
use super::ids::NodeId;
use super::mount::Union;
use crate::lower::Patched;
use crate::sys::file::AtOnce;
use crate::sys::{Errno, SysError, change, file};
use crate::upper::UpperError;

impl Union {
    /// Reads at `offset`; fewer bytes than asked for only at the end of the file. A descriptor that was opened before a
    /// copy-up reads what is written after it.
    pub fn read(&self, handle: HandleId, buf: &mut [u8], offset: u64) -> Result<usize, UnionError> {
        let open = self.handles.get(handle)?;
        let upper = match open.bytes() {
            Bytes::Lower(lower) => return Ok(lower.read_at(buf, offset)?),
            Bytes::Both(..) => {
                let upper = self.upper_file(&open)?;
                let read = patched(&open, &upper, |both| both.read_at(buf, offset));
                if let Some(read) = read {
                    return read.map_err(told("read"));
                }
                upper
            }
            Bytes::Upper => self.upper_file(&open)?,
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
        match open.bytes() {
            Bytes::Lower(lower) => lower.read_at_once(buf, offset),
            Bytes::Both(..) => AtOnce::Unknown,
            Bytes::Upper => match &*open.upper.lock() {
                Some(fd) => file::read_at_once(&**fd, buf, offset),
                None => AtOnce::Unknown,
            },
        }
    }

    /// Writes `bytes` at `offset`. Answers how many were written: fewer than all only where the disk, the bound of the layer, or the
    /// process's limit of a file's size, ends in them.
    pub fn write(&self, handle: HandleId, bytes: &[u8], offset: u64) -> Result<usize, UnionError> {
        let (open, upper) = self.writable_file(handle)?;
        let layer = self.writable()?;
        let also = if layer.is_bounded() { open.node.end_below(bytes, offset) } else { None };
        let (_spent, fits) = layer.spending_to_write(&upper, (offset, bytes.len()), also)?;
        self.write_in_part((&open, &upper), &bytes[..fits], offset)
    }

    /// Sets the size of an open file.
    pub fn truncate(&self, handle: HandleId, size: u64) -> Result<(), UnionError> {
        let (open, upper) = self.writable_file(handle)?;
        self.resize(&open.node, &upper, size)
    }

    /// Allocates, punches or zeroes a range; `mode` holds the flags of `fallocate(2)`.
    pub fn allocate(
        &self,
        handle: HandleId,
        mode: u32,
        offset: u64,
        len: u64,
    ) -> Result<(), UnionError> {
        let (open, upper) = self.writable_file(handle)?;
        if open.node.has_mark_of_data() {
            // Its holes are to be its own.
            self.copy_up(&open.node, Extent::Whole)?;
        }
        let _spent = self.writable()?.spending_to_allocate(&upper, mode, (offset, len))?;
        change::allocate(&*upper, mode, offset, len).map_err(told("allocate"))
    }

    /// The next data at or after `offset`; `ENXIO` where there is none.
    pub fn seek_data(&self, handle: HandleId, offset: u64) -> Result<u64, UnionError> {
        let open = self.handles.get(handle)?;
        let upper = match open.bytes() {
            Bytes::Lower(lower) => {
                return lower.next_data(offset)?.map_or_else(|| answer(Errno::NXIO), Ok);
            }
            Bytes::Both(..) | Bytes::Upper => self.upper_file(&open)?,
        };
        let next = patched(&open, &upper, |both| both.next_data(offset));
        let next =
            next.unwrap_or_else(|| file::seek_data(&*upper, offset)).map_err(told("seek"))?;
        next.map_or_else(|| answer(Errno::NXIO), Ok)
    }

    /// The next hole at or after `offset`; the end of the file counts as one.
    pub fn seek_hole(&self, handle: HandleId, offset: u64) -> Result<u64, UnionError> {
        let open = self.handles.get(handle)?;
        let upper = match open.bytes() {
            Bytes::Lower(lower) if offset >= lower.size() => return answer(Errno::NXIO),
            Bytes::Lower(lower) => return Ok(lower.next_hole(offset)?),
            Bytes::Both(..) | Bytes::Upper => self.upper_file(&open)?,
        };
        let next = patched(&open, &upper, |both| both.next_hole(offset));
        next.unwrap_or_else(|| file::seek_hole(&*upper, offset)).map_err(told("seek"))
    }

    /// Makes an open file durable, and the name by which it is found. What is being copied up is not waited for: none of its
    /// changes was answered yet.
    pub fn sync(&self, handle: HandleId) -> Result<(), UnionError> {
        let open = self.handles.get(handle)?;
        let Some(upper) = &self.upper else { return Ok(()) };
        if !open.node.is_upper() {
            return Ok(());
        }
        let file = self.upper_file(&open)?;
        // What is brought up meanwhile is not synced by that.
        let was_brought = open.node.brought().is_some();
        let synced = upper.sync(&file);
        if synced.is_err() {
            // Whoever asks once more is not told again.
            open.node.was_not_synced.store(true, Ordering::Release);
        }
        synced?;
        if was_brought {
            self.settle_synced(upper, &open.node, &file);
        }
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

    fn writable_file(&self, handle: HandleId) -> Result<(Arc<Open>, Arc<OwnedFd>), UnionError> {
        let open = self.handles.get(handle)?;
        match open.how {
            OpenHow::Read | OpenHow::Run => answer(Errno::BADF),
            OpenHow::Write | OpenHow::Truncate | OpenHow::TruncateToRead => {
                let upper = self.upper_file(&open)?;
                Ok((open, upper))
            }
        }
    }
}

/// Looks at an open file that has data in both sides, while neither gets more of it; `None` where the upper has all.
fn patched<T>(
    open: &Open,
    upper: &OwnedFd,
    look: impl FnOnce(&Patched<'_>) -> Result<T, SysError>,
) -> Option<Result<T, SysError>> {
    let _held = open.node.blocks.read();
    match open.bytes() {
        Bytes::Both(lower, below) => Some(look(&Patched::new(upper.as_fd(), lower, below))),
        Bytes::Lower(_) | Bytes::Upper => None,
    }
}

pub(super) fn write_all(file: &OwnedFd, bytes: &[u8], offset: u64) -> Result<usize, UnionError> {
    let mut done = 0;
    while done < bytes.len() {
        match file::write_at(file, &bytes[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(len) => done += len,
            // What landed is told; whoever goes on writing meets the error then.
            Err(_) if done > 0 => break,
            Err(error) => return Err(told("write")(error)),
        }
    }
    Ok(done)
}

fn told(deed: &'static str) -> impl Fn(SysError) -> UnionError {
    move |source| UpperError::Call { deed, source }.into()
}
