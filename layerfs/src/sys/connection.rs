//! The device of a FUSE connection, once the connection has ended.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::error::{SysError, call};

/// A read of the device is refused with less room than the greatest write takes: 16 MiB, and what stands before it.
const ROOM: usize = (16 << 20) + 4096;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The mount has gone.
    Unmounted,
    /// Somebody broke it off (`/sys/fs/fuse/connections`); told of connections that agreed on `FUSE_ABORT_ERROR`.
    Aborted,
}

/// Another descriptor for the device.
pub fn another(device: impl AsFd) -> Result<OwnedFd, SysError> {
    let again = || rustix::io::fcntl_dupfd_cloexec(&device, 3);
    call("dup", || "the FUSE device".to_owned(), again)
}

/// The error of a connection that somebody broke off.
pub fn aborted() -> SysError {
    SysError::new("read", "the FUSE device", Errno::CONNABORTED)
}

/// How the connection of this device ended. One that is about to end is waited for: while it does, a read that has just
/// taken a request meets `ECONNABORTED` either way (`fuse_dev_do_read` of `fs/fuse/dev.c`).
pub fn ending(device: impl AsFd) -> Result<Ending, SysError> {
    let mut watched = [PollFd::new(&device, PollFlags::empty())];
    call("poll", || "the FUSE device".to_owned(), || poll(&mut watched, None))?;
    let mut room = vec![0; ROOM];
    let read = || match rustix::io::read(&device, &mut *room) {
        Err(Errno::NODEV) => Ok(Ending::Unmounted),
        Err(Errno::CONNABORTED) => Ok(Ending::Aborted),
        Ok(_) => Err(Errno::IO),
        Err(other) => Err(other),
    };
    call("read", || "the FUSE device".to_owned(), read)
}
