//! Control files of the kernel, as cgroup directories hold them: read whole, written whole.

use std::os::fd::{AsFd, OwnedFd};

use layerfs_driver::sys::file::{self, Symlinks};
use rustix::fs::{Mode, OFlags};

use super::{SysError, call};

/// No control file is longer.
const LEN_MAX: u64 = 4 * 1024 * 1024;

/// Writes `value` with one call: the kernel takes each write as a whole answer.
pub fn write(dir: impl AsFd, name: &str, value: &str) -> Result<(), SysError> {
    let file = open_to_write(dir, name)?;
    let shown = || format!("{name:?}, {value:?}");
    call("write", shown, || rustix::io::write(&file, value.as_bytes()))?;
    Ok(())
}

/// A control file that is told something later, by [`tell`].
pub fn open_to_write(dir: impl AsFd, name: &str) -> Result<OwnedFd, SysError> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let open = || rustix::fs::openat(&dir, name, flags, Mode::empty());
    call("openat", || format!("{name:?}, O_WRONLY"), open)
}

/// Writes `value` with one call.
pub fn tell(file: impl AsFd, value: &str) -> Result<(), SysError> {
    call("write", || format!("{value:?}"), || rustix::io::write(&file, value.as_bytes())).map(drop)
}

/// The whole text of a control file.
pub fn read(dir: impl AsFd, name: &str) -> Result<String, SysError> {
    let bytes = file::read_all(file::open_read(dir, name, Symlinks::Stop)?, LEN_MAX)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
