//! The FUSE device while its connection lives: requests are read, answers and notices written.
//!
//! None of these has a fault point: how often a request is looked for is chance, and a fault at the n-th call would be too.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::error::SysError;

/// What the kernel has for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A request of so many bytes was read.
    Request(usize),
    /// No request waits.
    Nothing,
    /// The connection has ended: the mount has gone, or was broken off.
    Ended,
}

/// The device of one connection.
#[derive(Debug)]
pub struct FuseDevice(OwnedFd);

impl FuseDevice {
    /// Takes the device; it is read without waiting from now on.
    pub fn new(device: OwnedFd) -> Result<Self, SysError> {
        let refused = |errno| SysError::new("fcntl", "the FUSE device", errno);
        let flags = rustix::fs::fcntl_getfl(&device).map_err(refused)?;
        rustix::fs::fcntl_setfl(&device, flags | OFlags::NONBLOCK).map_err(refused)?;
        Ok(FuseDevice(device))
    }

    /// Reads the next request, if there is one. `room` holds the greatest one.
    pub fn read(&self, room: &mut [u8]) -> Result<Next, SysError> {
        loop {
            return match rustix::io::read(&self.0, &mut *room) {
                Ok(len) => Ok(Next::Request(len)),
                Err(Errno::AGAIN) => Ok(Next::Nothing),
                Err(Errno::NODEV | Errno::CONNABORTED) => Ok(Next::Ended),
                // The request was taken back before it could be read, or a signal came.
                Err(Errno::NOENT | Errno::INTR) => continue,
                Err(errno) => Err(SysError::new("read", "the FUSE device", errno)),
            };
        }
    }

    /// Waits until there is a request, the connection ends, or the time is over.
    pub fn wait(&self, at_most: Option<Duration>) -> Result<(), SysError> {
        let mut watched = [PollFd::new(&self.0, PollFlags::IN)];
        let limit = at_most.map(|limit| Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        });
        match poll(&mut watched, limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(SysError::new("poll", "the FUSE device", errno)),
        }
    }

    /// Writes an answer or a notice, in one piece. Answers whether anyone took it: who asked may have gone.
    pub fn write(&self, parts: &[IoSlice<'_>]) -> Result<bool, SysError> {
        // The kernel takes each piece apart from the others: few bytes are put together faster here.
        let mut room = [0; TOGETHER_MAX];
        let together = joined(parts, &mut room);
        loop {
            let written = match together {
                Some(len) => rustix::io::write(&self.0, &room[..len]),
                None => rustix::io::writev(&self.0, parts),
            };
            return match written {
                Ok(_) => Ok(true),
                Err(Errno::NOENT | Errno::NODEV | Errno::CONNABORTED) => Ok(false),
                Err(Errno::INTR) => continue,
                Err(errno) => Err(SysError::new("write", "the FUSE device", errno)),
            };
        }
    }

    /// Gives the kernel a file that it reads and writes itself where an answer names it. Needs `CAP_SYS_ADMIN`.
    pub fn open_backing(&self, file: impl AsFd) -> Result<BackingId, SysError> {
        let map = BackingMap { fd: file.as_fd().as_raw_fd(), flags: 0, padding: 0 };
        // SAFETY: the number is that of FUSE_DEV_IOC_BACKING_OPEN, which reads a `fuse_backing_map` and answers with an id.
        let id = unsafe { libc::ioctl(self.0.as_raw_fd(), BACKING_OPEN, &raw const map) };
        match u32::try_from(id) {
            Ok(id) => Ok(BackingId(id)),
            Err(_) => Err(last_error("FUSE_DEV_IOC_BACKING_OPEN")),
        }
    }

    /// Takes such a file back. What is open by it stays open.
    pub fn close_backing(&self, id: BackingId) -> Result<(), SysError> {
        // SAFETY: the number is that of FUSE_DEV_IOC_BACKING_CLOSE, which reads 32 bits.
        match unsafe { libc::ioctl(self.0.as_raw_fd(), BACKING_CLOSE, &raw const id.0) } {
            0 => Ok(()),
            _ => Err(last_error("FUSE_DEV_IOC_BACKING_CLOSE")),
        }
    }
}

impl AsFd for FuseDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// So many bytes are written in one piece.
const TOGETHER_MAX: usize = 512;

/// Puts pieces one after the other; `None` where there is no room for them.
fn joined(parts: &[IoSlice<'_>], room: &mut [u8]) -> Option<usize> {
    let mut len = 0;
    for part in parts {
        let end = len + part.len();
        room.get_mut(len..end)?.copy_from_slice(part);
        len = end;
    }
    Some(len)
}

/// `O_DIRECT` of `open(2)`.
pub const O_DIRECT: i32 = libc::O_DIRECT;

/// A file that the kernel has of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackingId(pub u32);

/// `fuse_backing_map`.
#[repr(C)]
struct BackingMap {
    fd: i32,
    flags: u32,
    padding: u64,
}

/// `_IOW(229, 1, struct fuse_backing_map)`.
const BACKING_OPEN: libc::Ioctl = 0x4010_e501;
/// `_IOW(229, 2, uint32_t)`.
const BACKING_CLOSE: libc::Ioctl = 0x4004_e502;

fn last_error(call: &'static str) -> SysError {
    let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    SysError::new(call, "the FUSE device", Errno::from_raw_os_error(errno))
}
