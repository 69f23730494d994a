//! What a standard stream of the caller's is open on, opened once more.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};

use super::{SysError, call};

/// Opens the terminal or the pipe that `stream` is open on, to write to it as one that never waits. That is kept with what a
/// call of open made, and the caller's own shares it with the processes it was handed to: those would not wait either.
/// `None` where `stream` is not open for writing.
pub fn open_unwaiting(stream: impl AsFd) -> Result<Option<OwnedFd>, SysError> {
    let ask = || rustix::fs::fcntl_getfl(&stream);
    let access = call("fcntl", || "F_GETFL".to_owned(), ask)?;
    if !access.intersects(OFlags::WRONLY | OFlags::RDWR) {
        return Ok(None);
    }
    let name = format!("/proc/self/fd/{}", stream.as_fd().as_raw_fd());
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(CWD, &*name, flags, Mode::empty());
    call("openat", || format!("{name:?}, O_WRONLY|O_NONBLOCK"), open).map(Some)
}
