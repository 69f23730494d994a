//! A file read and sought by position, so that its own position does not matter.

use std::io::{self, Read, Seek, SeekFrom};

use crate::sys::{OwnedFd, file};

/// A position in a file.
pub(super) struct Cursor<'a> {
    file: &'a OwnedFd,
    position: u64,
}

impl<'a> Cursor<'a> {
    /// At the file's start.
    pub(super) fn new(file: &'a OwnedFd) -> Self {
        Cursor { file, position: 0 }
    }
}

impl Read for Cursor<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = file::read_at(self.file, buf, self.position)?;
        self.position += len as u64;
        Ok(len)
    }
}

impl Seek for Cursor<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(delta) => self.position.checked_add_signed(delta),
            SeekFrom::End(_) => None,
        };
        // No file reaches past i64::MAX; pread would answer EINVAL there.
        let target = target.filter(|target| i64::try_from(*target).is_ok());
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
