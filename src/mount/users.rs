//! Who works in a mount, as far as /proc tells it.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use layerfs_driver::sys::file::{self, Symlinks};
use layerfs_driver::sys::{SysError, dir};

/// A name of a program is no longer.
const NAME_MAX_BYTES: u64 = 64;

/// Who works in a mount.
pub enum User {
    /// A process, as messages call it.
    Other(String),
    /// This process, and no other that is seen.
    This,
}

/// The first process that works in the mount at `at`, or has a file of it open; `None` where none is seen.
pub fn first_user(at: &Path) -> Result<Option<User>, SysError> {
    let proc = dir::open_path("/proc")?;
    let this = dir::read_link(&proc, "self")?;
    let mut is_this = false;
    for entry in dir::list(&proc)? {
        if !entry.name.iter().all(u8::is_ascii_digit) {
            continue;
        }
        // One that ends meanwhile, or may not be looked at, is passed over.
        let Ok(own) = dir::open(&proc, &*entry.name, Symlinks::Stop) else { continue };
        if uses(&own, at).unwrap_or(false) {
            if entry.name == this {
                is_this = true;
                continue;
            }
            let pid = String::from_utf8_lossy(&entry.name).into_owned();
            return Ok(Some(User::Other(match program(&own) {
                Ok(name) => format!("process {pid} ({name})"),
                Err(_) => format!("process {pid}"),
            })));
        }
    }
    Ok(is_this.then_some(User::This))
}

fn uses(own: &OwnedFd, at: &Path) -> Result<bool, SysError> {
    for link in ["cwd", "root"] {
        if leads_in(own, link.as_bytes(), at)? {
            return Ok(true);
        }
    }
    let files = dir::open(own, "fd", Symlinks::Stop)?;
    for file in dir::list(&files)? {
        if leads_in(&files, &file.name, at)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn leads_in(dir: &OwnedFd, link: &[u8], at: &Path) -> Result<bool, SysError> {
    match dir::read_link(dir, link) {
        Err(error) if error.is_absent() => Ok(false),
        target => Ok(Path::new(OsStr::from_bytes(&target?)).starts_with(at)),
    }
}

fn program(own: &OwnedFd) -> Result<String, SysError> {
    let name = file::read_all(file::open_read(own, "comm", Symlinks::Stop)?, NAME_MAX_BYTES)?;
    Ok(String::from_utf8_lossy(&name).trim_end().to_owned())
}
