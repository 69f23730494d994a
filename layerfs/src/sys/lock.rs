//! Advisory locks on open files (flock): released when the last descriptor closes, by death too.

use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::error::{SysError, call};
use super::standing::MountTable;

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

/// Takes the one byte at `at` of a file that is open for writing, or answers `false` at once where another open file has it. Such
/// bytes need not be there, and go as flock does: with the last descriptor.
pub fn try_take_byte(file: impl AsFd, at: u32) -> Result<bool, SysError> {
    let wanted = libc::flock {
        l_type: short(libc::F_WRLCK),
        l_whence: short(libc::SEEK_SET),
        l_start: at.into(),
        l_len: 1,
        l_pid: 0,
    };
    let take = || {
        // SAFETY: the kernel reads a `struct flock`, and keeps no pointer to it.
        let done =
            unsafe { libc::fcntl(file.as_fd().as_raw_fd(), libc::F_OFD_SETLK, &raw const wanted) };
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
        if done == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(errno)) }
    };
    match call("fcntl", || format!("F_OFD_SETLK, byte {at}"), take) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.errno(), Errno::AGAIN | Errno::ACCESS) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The kernel's few words for locks fit.
fn short(word: libc::c_int) -> libc::c_short {
    libc::c_short::try_from(word).unwrap_or(libc::c_short::MAX)
}

/// The process that took the lock on what `file` has open, as /proc tells; `None` where it is not seen from here, or there
/// is none.
pub fn holder(file: impl AsFd) -> Result<Option<u32>, SysError> {
    const LOCKS_MAX_BYTES: u64 = 64 * 1024 * 1024;
    let Some(device) = MountTable::read()?.device_of(&file)? else { return Ok(None) };
    let inode = super::file::stat(&file)?.st_ino;
    let table = super::file::open_read_path("/proc/locks")?;
    let table = super::file::read_all(table, LOCKS_MAX_BYTES)?;
    Ok(holder_in(&String::from_utf8_lossy(&table), device, inode))
}

/// Reads `/proc/locks` (proc(5)): NUMBER: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE 0 EOF, the device in hexadecimal digits.
/// Who waits has `->` before its kind.
fn holder_in(table: &str, (major, minor): (u32, u32), inode: u64) -> Option<u32> {
    let place = format!("{major:02x}:{minor:02x}:{inode}");
    let mut held = table.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    held.find_map(|words| match words[..] {
        [_, "FLOCK", _, _, pid, at, ..] if at == place => pid.parse().ok(),
        _ => None,
    })
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
    fn a_holder_is_read_from_the_table_of_locks() {
        let table = "1: POSIX  ADVISORY  WRITE 7 fe:00:12 0 EOF\n2: FLOCK  ADVISORY  WRITE 42 fe:00:12 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 43 fe:00:13 0 EOF\n3: FLOCK ADVISORY WRITE 44 00:2a:13 0 EOF\n";
        let rows = [((0xfe, 0), 12, Some(42)), ((0xfe, 0), 13, None), ((0, 42), 13, Some(44))];
        for (device, inode, expected) in rows {
            assert_eq!(holder_in(table, device, inode), expected, "{device:?} {inode}");
        }
    }

    #[test]
    fn a_byte_of_a_file_is_held_by_one_open_file_until_its_last_descriptor_closes() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("bytes");
        std::fs::write(&path, b"").unwrap();
        let open = || OwnedFd::from(File::options().write(true).open(&path).unwrap());
        let (one, other) = (open(), open());
        assert!(try_take_byte(&one, 7).unwrap());
        assert!(!try_take_byte(&other, 7).unwrap());
        assert!(try_take_byte(&other, 8).unwrap());
        let copy = one.try_clone().unwrap();
        drop(one);
        assert!(!try_take_byte(&other, 7).unwrap());
        drop(copy);
        assert!(try_take_byte(&other, 7).unwrap());
    }

    #[test]
    fn who_holds_a_lock_is_told() {
        let scratch = tempfile::tempdir().unwrap();
        let open = || OwnedFd::from(File::open(scratch.path()).unwrap());
        assert_eq!(holder(open()).unwrap(), None);
        let held = open();
        wait(&held, Share::Exclusive).unwrap();
        assert_eq!(holder(open()).unwrap(), Some(std::process::id()));
    }

    #[test]
    fn a_lock_that_was_waited_for_is_free_once_its_file_is_closed() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("lock");
        std::fs::write(&path, b"").unwrap();
        let open = || OwnedFd::from(File::open(&path).unwrap());
        let mut held = Vec::new();
        for round in 0..2000 {
            let (holder, file) = (open(), open());
            wait(&holder, Share::Exclusive).unwrap();
            let lets_go = std::thread::spawn(move || drop(holder));
            assert!(wait_at_most(&file, Share::Exclusive, Duration::from_secs(10)).unwrap());
            drop(file);
            if !try_take(open(), Share::Exclusive).unwrap() {
                held.push(round);
            }
            lets_go.join().unwrap();
        }
        // A test beside this one that starts a program has a copy of all descriptors for a moment.
        assert!(held.len() <= 2, "still held in rounds {held:?}");
    }
}
