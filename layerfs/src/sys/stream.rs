//! Open files as byte streams, for readers that know no descriptor.

use std::io;
use std::os::fd::OwnedFd;

use super::file;

/// Reads a file from its position on; `Read` and `Seek`, each call passing its fault point.
#[derive(Debug)]
pub struct FileReader {
    file: OwnedFd,
}

impl FileReader {
    /// Reads from the position that `file` has now.
    pub fn new(file: OwnedFd) -> Self {
        FileReader { file }
    }

    /// The descriptor, for calls that are not reads.
    pub fn as_owned(&self) -> &OwnedFd {
        &self.file
    }
}

impl io::Read for FileReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(file::read(&self.file, buf)?)
    }
}

impl io::Seek for FileReader {
    fn seek(&mut self, position: io::SeekFrom) -> io::Result<u64> {
        Ok(super::file::seek(&self.file, position)?)
    }
}

/// Reads a range of a file by position, so that several readers may share one descriptor.
#[derive(Debug)]
pub struct WindowReader {
    file: std::sync::Arc<OwnedFd>,
    next: u64,
    end: u64,
}

impl WindowReader {
    /// Reads `len_bytes` from `offset`; ends early where the file does.
    pub fn new(file: std::sync::Arc<OwnedFd>, offset: u64, len_bytes: u64) -> Self {
        WindowReader { file, next: offset, end: offset.saturating_add(len_bytes) }
    }
}

impl io::Read for WindowReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.next).unwrap_or(usize::MAX);
        let len = buf.len().min(left);
        let done = file::read_at(&*self.file, &mut buf[..len], self.next)?;
        self.next += done as u64;
        Ok(done)
    }
}

/// The standard input of this process as a stream.
pub fn standard_input() -> io::Result<FileReader> {
    let file = super::error::call(
        "dup",
        || "stdin".to_owned(),
        || rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3),
    )?;
    Ok(FileReader::new(file))
}
