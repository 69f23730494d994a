//! Opening an inode by the handle that its file system gave it.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use super::error::{SysError, call};

/// The longest handle (`MAX_HANDLE_SZ`).
pub const HANDLE_LEN_MAX: usize = 128;

/// `struct file_handle` of `linux/fs.h`, with room for the longest.
#[repr(C)]
struct FileHandle {
    bytes: u32,
    kind: i32,
    handle: [u8; HANDLE_LEN_MAX],
}

/// Opens the inode of a handle, for looks at it alone (`O_PATH`). `dir` is open for reading on the file system that gave
/// the handle; needs `CAP_DAC_READ_SEARCH`. What is longer than a handle can be is `EINVAL`.
pub fn open(dir: impl AsFd, kind: u8, handle: &[u8]) -> Result<OwnedFd, SysError> {
    let args = || format!("{} bytes of type {kind}", handle.len());
    let mut asked = FileHandle { bytes: 0, kind: kind.into(), handle: [0; HANDLE_LEN_MAX] };
    let Some(room) = asked.handle.get_mut(..handle.len()) else {
        return Err(SysError::new("open_by_handle_at", args(), Errno::INVAL));
    };
    room.copy_from_slice(handle);
    asked.bytes = u32::try_from(handle.len()).unwrap_or(u32::MAX);
    let dir = dir.as_fd().as_raw_fd();
    let flags = libc::O_PATH | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    call("open_by_handle_at", args, || {
        // SAFETY: `asked` begins as `struct file_handle` does and holds as many bytes as it says; the kernel keeps it not.
        let opened =
            unsafe { libc::syscall(libc::SYS_open_by_handle_at, dir, &raw mut asked, flags) };
        match i32::try_from(opened) {
            // SAFETY: the kernel gave this descriptor now, and nobody else knows it.
            Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
            _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
        }
    })
}
