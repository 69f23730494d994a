//! Waiting until one of several descriptors has something to tell.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

use super::{SysError, call};

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// There is something to read, or the other end is gone.
    Readable,
    /// Something can be written, or the other end is gone.
    Writable,
    /// The other end is gone: a terminal that was taken away, a pipe that nobody reads. Of a file, never.
    HungUp,
}

/// Waits, at most for `limit`; answers for each descriptor whether its time has come.
pub fn wait(
    files: &[(BorrowedFd<'_>, Until)],
    limit: Option<Duration>,
) -> Result<Vec<bool>, SysError> {
    let mut watched: Vec<PollFd<'_>> = Vec::new();
    for (file, until) in files {
        let wanted = match until {
            Until::Readable => PollFlags::IN,
            Until::Writable => PollFlags::OUT,
            Until::HungUp => PollFlags::empty(),
        };
        watched.push(PollFd::from_borrowed_fd(*file, wanted));
    }
    let limit = limit.map(|limit| Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(limit.subsec_nanos()),
    });
    let wait = || rustix::event::poll(&mut watched, limit.as_ref());
    call("poll", || format!("{} descriptors", files.len()), wait)?;
    Ok(watched.iter().map(|file| !file.revents().is_empty()).collect())
}

/// Whether the other end is gone: a terminal that was taken away, a pipe that nobody reads. Of a file, never.
pub fn is_hung_up(file: impl AsFd) -> Result<bool, SysError> {
    let mut watched = [PollFd::new(&file, PollFlags::empty())];
    let ask = || rustix::event::poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    call("poll", || "POLLHUP".to_owned(), ask)?;
    Ok(watched[0].revents().intersects(PollFlags::HUP | PollFlags::ERR))
}
