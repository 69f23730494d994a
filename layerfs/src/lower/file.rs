//! Owns an opened lower file: contents by position, wherever they lie.

use std::sync::Arc;

use super::error::LowerError;
use crate::store::index::{Index, Ordinal};
use crate::sys::file::AtOnce;
use crate::sys::{AsFd, BorrowedFd, OwnedFd, SysError, file};

/// A lower file, opened for reading.
#[derive(Debug)]
pub struct LowerFile {
    source: Source,
    size: u64,
    /// Nothing is read from here on, whatever there is.
    end: u64,
    /// Its permissions, where it is all of the contents and lies in a read-only mount.
    shut: Option<u32>,
}

#[derive(Debug)]
enum Source {
    /// A file of its own, and the path that messages name.
    Real(OwnedFd, Box<str>),
    /// Contents that the index holds.
    Inline(Arc<Index>, Ordinal),
}

impl LowerFile {
    /// A file of its own.
    pub(super) fn real(fd: OwnedFd, size: u64, shown: impl Into<Box<str>>) -> Self {
        LowerFile { source: Source::Real(fd, shown.into()), size, end: u64::MAX, shut: None }
    }

    /// A file whose contents the index holds.
    pub(super) fn inline(index: Arc<Index>, ordinal: Ordinal, size: u64) -> Self {
        LowerFile { source: Source::Inline(index, ordinal), size, end: u64::MAX, shut: None }
    }

    /// The same file as the data of another, which is at most as long.
    pub fn cut_to(self, size: u64) -> Self {
        LowerFile { size: self.size.min(size), end: size, shut: None, ..self }
    }

    /// The same file as one that others may be given to read, with its permissions: it is all of the contents, and who opens
    /// it again can't write it, since it lies in a read-only mount.
    pub(super) fn shut_in(self, permissions: u32) -> Self {
        LowerFile { shut: Some(permissions), ..self }
    }

    /// The descriptor that others may be given, and the file's permissions.
    pub fn shut(&self) -> Option<(BorrowedFd<'_>, u32)> {
        Some((self.fd()?, self.shut?))
    }

    /// Bytes, when it was opened.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The descriptor; `None` where the contents have no file of their own.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.source {
            Source::Real(fd, _) => Some(fd.as_fd()),
            Source::Inline(..) => None,
        }
    }

    /// The same of what is in memory already.
    pub fn read_at_once(&self, buf: &mut [u8], offset: u64) -> AtOnce {
        let is_within = offset.saturating_add(buf.len() as u64) <= self.end;
        match &self.source {
            Source::Real(fd, _) if is_within => file::read_at_once(fd, buf, offset),
            Source::Real(..) | Source::Inline(..) => AtOnce::Unknown,
        }
    }

    /// Reads at `offset`; fewer bytes than asked for only at the file's end, 0 behind it.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, LowerError> {
        let room = usize::try_from(self.end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = buf.len().min(room);
        let buf = &mut buf[..len];
        match &self.source {
            Source::Real(fd, shown) => {
                let mut done = 0;
                while done < buf.len() {
                    let at = offset.saturating_add(done as u64);
                    let len = file::read_at(fd, &mut buf[done..], at)
                        .map_err(|source| call(shown, source))?;
                    if len == 0 {
                        break;
                    }
                    done += len;
                }
                Ok(done)
            }
            Source::Inline(index, ordinal) => {
                let contents = index.inline(*ordinal);
                // What was read of a page that went bad is no reason of its own.
                index.intact()?;
                let contents = contents?;
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(contents.len());
                let len = buf.len().min(contents.len() - start);
                buf[..len].copy_from_slice(&contents[start..start + len]);
                index.intact()?;
                Ok(len)
            }
        }
    }

    /// The next offset at or after `offset` that holds data; `None` where only a hole, or nothing, is left.
    pub fn next_data(&self, offset: u64) -> Result<Option<u64>, LowerError> {
        match &self.source {
            Source::Real(fd, shown) => {
                let next = file::seek_data(fd, offset).map_err(|source| call(shown, source))?;
                Ok(next.filter(|next| *next < self.end))
            }
            Source::Inline(..) => Ok((offset < self.size).then_some(offset)),
        }
    }

    /// The next offset at or after `offset`, which is inside the file, that lies in a hole; the file's end counts as one.
    pub fn next_hole(&self, offset: u64) -> Result<u64, LowerError> {
        match &self.source {
            Source::Real(fd, shown) => {
                let next = file::seek_hole(fd, offset).map_err(|source| call(shown, source))?;
                Ok(next.min(self.end))
            }
            Source::Inline(..) => Ok(self.size),
        }
    }
}

fn call(shown: &str, source: SysError) -> LowerError {
    LowerError::Call { path: shown.to_owned(), source }
}
