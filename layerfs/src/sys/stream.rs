//! Open files as byte streams, for readers that know no descriptor.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

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

/// Writes a file from its position on; each call passes its fault point.
#[derive(Debug)]
pub struct FileWriter {
    file: OwnedFd,
}

impl FileWriter {
    /// Writes from the position that `file` has now.
    pub fn new(file: OwnedFd) -> Self {
        FileWriter { file }
    }

    /// The descriptor, for calls that are not writes.
    pub fn as_owned(&self) -> &OwnedFd {
        &self.file
    }
}

impl io::Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        file::write_all(&self.file, bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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

/// Whether the other end of a pipe that this is the writing end of is closed. Of what is no pipe: no.
pub fn is_reader_gone(pipe: impl AsFd) -> Result<bool, super::SysError> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut watched = [PollFd::new(&pipe, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    super::error::call("poll", || "a pipe".to_owned(), || poll(&mut watched, Some(&now)))?;
    Ok(watched[0].revents().contains(PollFlags::ERR))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_tells_that_its_reader_has_gone() {
        let (reader, writer) = io::pipe().unwrap();
        assert!(!is_reader_gone(&writer).unwrap());
        drop(reader);
        assert!(is_reader_gone(&writer).unwrap());
        assert!(!is_reader_gone(file::open_device("/dev/null").unwrap()).unwrap());
    }
}
