//! Small texts in which the kernel and the system speak of themselves.

use layerfs_driver::sys::file::{self, Stat, Symlinks};
use layerfs_driver::sys::{SysError, dir};

/// No such text is longer.
const LEN_MAX: u64 = 4 * 1024 * 1024;

/// The text of a file by its absolute path; `None` where it is absent.
pub fn text(path: &str) -> Result<Option<String>, SysError> {
    match file::open_read_path(path) {
        Err(error) if error.is_absent() => Ok(None),
        opened => {
            let bytes = file::read_all(opened?, LEN_MAX)?;
            Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
        }
    }
}

/// The metadata of what stands at an absolute path; `None` where nothing does.
pub fn stat(path: &str) -> Result<Option<Stat>, SysError> {
    match file::stat_at(&dir::open_path("/")?, path, Symlinks::Follow) {
        Err(error) if error.is_absent() => Ok(None),
        stat => stat.map(Some),
    }
}
