//! Becoming another program: descriptors, standard streams, the call.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use layerfs_driver::sys::{file, host};

use super::{Errno, SysError, call, last_errno};

/// Bytes of this program that are copied at once.
const COPIED_AT_ONCE: usize = 1 << 20;

/// Puts `file` in the place of standard input, error and output, in this order: until all is done, output is what it was.
pub fn take_streams(file: impl AsFd) -> Result<(), SysError> {
    call("dup2", || "0".to_owned(), || rustix::stdio::dup2_stdin(&file))?;
    call("dup2", || "2".to_owned(), || rustix::stdio::dup2_stderr(&file))?;
    call("dup2", || "1".to_owned(), || rustix::stdio::dup2_stdout(&file))
}

/// Puts `file` in the place of standard input.
pub fn take_input(file: impl AsFd) -> Result<(), SysError> {
    call("dup2", || "0".to_owned(), || rustix::stdio::dup2_stdin(&file))
}

/// Puts `file` in the place of standard output.
pub fn take_output(file: impl AsFd) -> Result<(), SysError> {
    call("dup2", || "1".to_owned(), || rustix::stdio::dup2_stdout(&file))
}

/// Puts `file` in the place of standard error.
pub fn take_error(file: impl AsFd) -> Result<(), SysError> {
    call("dup2", || "2".to_owned(), || rustix::stdio::dup2_stderr(&file))
}

/// Makes the user of number `uid` the owner of a pipe or a terminal.
pub fn give_stream(file: impl AsFd, uid: u32) -> Result<(), SysError> {
    let owner = Some(rustix::fs::Uid::from_raw(uid));
    call("fchown", || uid.to_string(), || rustix::fs::fchown(&file, owner, None))
}

/// Makes the user and the group of number `id` the owners of what `file` is open on, as a place too.
pub fn give_whole(file: impl AsFd, id: u32) -> Result<(), SysError> {
    let (user, group) = (rustix::fs::Uid::from_raw(id), rustix::fs::Gid::from_raw(id));
    let give =
        || rustix::fs::chownat(&file, "", Some(user), Some(group), rustix::fs::AtFlags::EMPTY_PATH);
    call("fchownat", || format!("{id}:{id}"), give)
}

/// Closes every descriptor but the standard streams and `kept`, which closes on exec.
pub fn close_all_but(kept: BorrowedFd<'_>) -> Result<(), SysError> {
    let kept = kept.as_raw_fd();
    if kept > 3 {
        close_range(3, kept.cast_unsigned() - 1)?;
    }
    close_from(kept.max(2).cast_unsigned() + 1)
}

/// Closes every descriptor but `kept`, the standard streams too.
pub fn close_whole_but(kept: BorrowedFd<'_>) -> Result<(), SysError> {
    let kept = kept.as_raw_fd().cast_unsigned();
    if kept > 0 {
        close_range(0, kept - 1)?;
    }
    close_from(kept + 1)
}

/// Closes every descriptor from `first` on. The caller has none there that it still uses.
pub fn close_from(first: u32) -> Result<(), SysError> {
    close_range(first, u32::MAX)
}

fn close_range(first: u32, last: u32) -> Result<(), SysError> {
    call(
        "close_range",
        || format!("{first}, {last}"),
        || {
            // SAFETY: the caller owns no descriptor in the range that it still uses, or gives back: this process execs next, has
            // opened nothing yet, or ends without letting go of what it has from its parent.
            let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
            if done == 0 { Ok(()) } else { Err(last_errno()) }
        },
    )
}

/// Becomes `program`; returns only where that is refused.
pub fn exec(program: &OsStr, words: &[CString], environment: &[CString]) -> SysError {
    let shown = || format!("\"{}\"", program.as_bytes().escape_ascii());
    let Ok(path) = CString::new(program.as_bytes()) else {
        return SysError::new("execve", shown(), Errno::INVAL);
    };
    let ended = |words: &[CString]| -> Vec<*const libc::c_char> {
        words.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (words, environment) = (ended(words), ended(environment));
    let refused = call("execve", shown, || -> Result<(), Errno> {
        // SAFETY: the path is a C string; both lists end with a null and point to C strings that outlive the call.
        unsafe { libc::execve(path.as_ptr(), words.as_ptr(), environment.as_ptr()) };
        Err(last_errno())
    });
    refused.err().unwrap_or_else(|| SysError::of_deed("execve", "returned without an error"))
}

/// Another descriptor for what `file` is open on, none of those of the standard streams; it closes on exec.
pub fn duplicate(file: impl AsFd) -> Result<OwnedFd, SysError> {
    call("fcntl", || "F_DUPFD_CLOEXEC".to_owned(), || rustix::io::fcntl_dupfd_cloexec(&file, 3))
}

/// Runs this very program again from a mount of it that is read-only, so that nobody who gets hold of its
/// `/proc/PID/exe` can open the file for writing. Returns only where that is refused.
pub fn again_read_only(
    words: &[CString],
    environment: &[CString],
) -> Result<std::convert::Infallible, SysError> {
    let clone = super::mounts::clone_path(OsStr::new("/proc/self/exe"))?;
    super::mounts::set(&clone, super::mounts::Attributes::READ_ONLY, super::mounts::Depth::One)?;
    again(clone, words, environment)
}

/// Runs this very program again from a copy of it in memory that can't be changed any more. Returns only where that is refused.
pub fn again_from_memory(
    words: &[CString],
    environment: &[CString],
) -> Result<std::convert::Infallible, SysError> {
    use rustix::fs::{MemfdFlags, SealFlags};
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let make = || rustix::fs::memfd_create("layerfs", flags);
    let copy = call("memfd_create", || "\"layerfs\"".to_owned(), make)?;
    let program = file::open_read_path("/proc/self/exe")?;
    let (mut bytes, mut at) = (vec![0; COPIED_AT_ONCE], 0);
    loop {
        let len = file::read_at(&program, &mut bytes, at)?;
        if len == 0 {
            break;
        }
        file::write_all_at(&copy, &bytes[..len], at)?;
        at += len as u64;
    }
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    let seal = || rustix::fs::fcntl_add_seals(&copy, seals);
    call("fcntl", || "F_ADD_SEALS".to_owned(), seal)?;
    again(copy, words, environment)
}

/// Whether this user could change the file of this program, or let itself.
pub fn may_be_changed() -> Result<bool, SysError> {
    let program = file::stat_path("/proc/self/exe")?;
    if program.st_uid == host::own_ids().0 {
        return Ok(true);
    }
    let ask = || rustix::fs::access("/proc/self/exe", rustix::fs::Access::WRITE_OK);
    Ok(call("access", || "/proc/self/exe, W_OK".to_owned(), ask).is_ok())
}

fn again(
    program: OwnedFd,
    words: &[CString],
    environment: &[CString],
) -> Result<std::convert::Infallible, SysError> {
    let ended = |words: &[CString]| -> Vec<*const libc::c_char> {
        words.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (words, environment) = (ended(words), ended(environment));
    let run = || {
        // SAFETY: both lists end with a null and point to C strings that outlive the call.
        Err(unsafe { become_open(program.as_fd(), &words, &environment) })
    };
    call("execveat", || "this program".to_owned(), run)
}

/// Becomes the program that a descriptor is open on. Returns only where that is refused, with why.
///
/// # Safety
///
/// Both lists end with a null, and point to C strings that live.
pub(super) unsafe fn become_open(
    program: BorrowedFd<'_>,
    words: &[*const libc::c_char],
    environment: &[*const libc::c_char],
) -> Errno {
    let fd = program.as_raw_fd();
    // SAFETY: the empty path is a C string, the lists are as the caller promises.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            fd,
            c"".as_ptr(),
            words.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    let refused = last_errno();
    // Linux 5.10 of Debian 11 takes no empty path for what has no name.
    if refused != Errno::NOENT {
        return refused;
    }
    let mut path = format!("/proc/self/fd/{fd}").into_bytes();
    path.push(0);
    // SAFETY: the path ends with its only null, the lists are as the caller promises.
    unsafe { libc::execve(path.as_ptr().cast(), words.as_ptr(), environment.as_ptr()) };
    last_errno()
}

/// Whether this program runs from a file system or a mount that can't be written.
pub fn runs_read_only() -> Result<bool, SysError> {
    let ask = || rustix::fs::statvfs("/proc/self/exe");
    let stat = call("statvfs", || "/proc/self/exe".to_owned(), ask)?;
    Ok(stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}
