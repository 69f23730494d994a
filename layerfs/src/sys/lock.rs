//! Advisory locks on open files (flock): released when the last descriptor closes, by death too.

use std::os::fd::AsFd;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::error::{SysError, call};

/// Who may hold the lock at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Any number of shared holders, and no exclusive one.
    Shared,
    /// One holder alone.
    Exclusive,
}

/// Waits until the lock is had.
pub fn wait(file: impl AsFd, share: Share) -> Result<(), SysError> {
    let operation = match share {
        Share::Shared => FlockOperation::LockShared,
        Share::Exclusive => FlockOperation::LockExclusive,
    };
    call("flock", || format!("{share:?}"), || rustix::fs::flock(&file, operation))
}

/// Waits until the lock is had, but no longer than `limit`; `false` where another held it all the time.
///
/// A waiting that is given up goes on in a thread of its own until the other lets go, and releases at once.
pub fn wait_at_most(
    file: &std::os::fd::OwnedFd,
    share: Share,
    limit: std::time::Duration,
) -> Result<bool, SysError> {
    if try_take(file, share)? {
        return Ok(true);
    }
    // The copy has the same open file, so the lock that it gets is the lock of `file`.
    let copy = call(
        "fcntl",
        || "F_DUPFD_CLOEXEC".to_owned(),
        || rustix::io::fcntl_dupfd_cloexec(file, 0),
    )?;
    let (told, answer) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let had = wait(&copy, share);
        // Before the answer: the caller may close `file` as soon as it has it, and the lock must be gone with that.
        drop(copy);
        told.send(had).is_err()
    });
    answer.recv_timeout(limit).map_or(Ok(false), |had| had.map(|()| true))
}

/// Takes the lock, or answers `false` at once where another holds it.
pub fn try_take(file: impl AsFd, share: Share) -> Result<bool, SysError> {
    let operation = match share {
        Share::Shared => FlockOperation::NonBlockingLockShared,
        Share::Exclusive => FlockOperation::NonBlockingLockExclusive,
    };
    match call("flock", || format!("{share:?}, LOCK_NB"), || rustix::fs::flock(&file, operation)) {
        Ok(()) => Ok(true),
        Err(error) if error.errno() == Errno::WOULDBLOCK => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives the lock back, whoever still holds a copy of the descriptor: a child that was forked and has not yet called
/// `execve(2)` does.
pub fn release(file: impl AsFd) -> Result<(), SysError> {
    call("flock", || "LOCK_UN".to_owned(), || rustix::fs::flock(&file, FlockOperation::Unlock))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_lock_that_was_waited_for_is_free_once_its_file_is_closed() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("lock");
        std::fs::write(&path, b"").unwrap();
        let open = || OwnedFd::from(File::open(&path).unwrap());
        for round in 0..2000 {
            let (holder, file) = (open(), open());
            wait(&holder, Share::Exclusive).unwrap();
            let lets_go = std::thread::spawn(move || drop(holder));
            assert!(wait_at_most(&file, Share::Exclusive, Duration::from_secs(10)).unwrap());
            drop(file);
            assert!(try_take(open(), Share::Exclusive).unwrap(), "round {round}: still held");
            lets_go.join().unwrap();
        }
    }
}
