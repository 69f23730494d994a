//! Who works in a mount, as far as /proc tells it.

use std::cell::Cell;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use layerfs_driver::sys::file::{self, Symlinks};
use layerfs_driver::sys::mount::{self, TABLE_MAX_BYTES};
use layerfs_driver::sys::{SysError, dir};

/// A name of a program is no longer.
const NAME_MAX_BYTES: u64 = 64;

/// A list of what a process has mapped is no longer.
const MAPS_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The device of a FUSE file system: the second number, as the first is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuseDevice(pub u32);

/// Who works in a mount.
pub enum User {
    /// A process, as messages call it.
    Other(String),
    /// This process, and no other that is seen.
    This,
}

/// The first process that works in the mount at `at`, or has a file of it open; `None` where none is seen.
pub fn first_user(at: &Path) -> Result<Option<User>, SysError> {
    let this = dir::read_link(&dir::open_path("/proc")?, "self")?;
    let is_this = Cell::new(false);
    let other = first(|name, own| {
        let uses = uses(own, at)?;
        if uses && name == &*this {
            is_this.set(true);
            return Ok(None);
        }
        Ok(uses.then_some(()))
    })?;
    Ok(match other {
        Some((shown, ())) => Some(User::Other(shown)),
        None => is_this.get().then_some(User::This),
    })
}

/// The first process that works in a mount of `device`, whether or not that stands anywhere, or has a file of it open or
/// mapped.
pub fn first_user_of(device: FuseDevice) -> Result<Option<String>, SysError> {
    first(|_, own| uses_device(own, device).map(|uses| uses.then_some(())))
        .map(|found| found.map(|(shown, ())| shown))
}

/// The first process in whose mount namespace `device` is mounted, and where.
pub fn first_that_sees(device: FuseDevice) -> Result<Option<(String, PathBuf)>, SysError> {
    let device = format!("0:{}", device.0);
    first(|_, own| {
        let table = file::open_read(own, "mountinfo", Symlinks::Stop)?;
        let mounts = mount::standing_in(&file::read_all(table, TABLE_MAX_BYTES)?);
        Ok(mounts.into_iter().find(|mount| mount.device == device.as_bytes()).map(|mount| mount.at))
    })
}

/// A process as messages call it: its number and the name of its program.
pub fn shown(pid: &str) -> String {
    let own = dir::open_path(Path::new("/proc").join(pid).as_path());
    match own.and_then(|own| program(&own)) {
        Ok(name) => format!("process {pid} ({name})"),
        Err(_) => format!("process {pid}"),
    }
}

/// The first process of which `look` finds something.
fn first<T>(
    look: impl Fn(&[u8], &OwnedFd) -> Result<Option<T>, SysError>,
) -> Result<Option<(String, T)>, SysError> {
    let proc = dir::open_path("/proc")?;
    for entry in dir::list(&proc)? {
        if !entry.name.iter().all(u8::is_ascii_digit) {
            continue;
        }
        // One that ends meanwhile, or may not be looked at, is passed over.
        let Ok(own) = dir::open(&proc, &*entry.name, Symlinks::Stop) else { continue };
        if let Ok(Some(found)) = look(&entry.name, &own) {
            return Ok(Some((shown(&String::from_utf8_lossy(&entry.name)), found)));
        }
    }
    Ok(None)
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

fn uses_device(own: &OwnedFd, device: FuseDevice) -> Result<bool, SysError> {
    let leads = |dir: &OwnedFd, link: &[u8]| match file::device_at(dir, link) {
        Err(error) if error.is_absent() => Ok(false),
        found => Ok(found? == (0, device.0)),
    };
    if leads(own, b"cwd")? || leads(own, b"root")? {
        return Ok(true);
    }
    let files = dir::open(own, "fd", Symlinks::Stop)?;
    for file in dir::list(&files)? {
        if leads(&files, &file.name)? {
            return Ok(true);
        }
    }
    // A line of `maps` (proc(5)): ADDRESSES PERMISSIONS OFFSET MAJOR:MINOR INODE NAME, in hexadecimal digits.
    let maps = file::read_all(file::open_read(own, "maps", Symlinks::Stop)?, MAPS_MAX_BYTES)?;
    let wanted = format!("00:{:02x}", device.0);
    let mut lines = maps.split(|byte| *byte == b'\n');
    Ok(lines.any(|line| line.split(|byte| *byte == b' ').nth(3) == Some(wanted.as_bytes())))
}

fn program(own: &OwnedFd) -> Result<String, SysError> {
    let name = file::read_all(file::open_read(own, "comm", Symlinks::Stop)?, NAME_MAX_BYTES)?;
    Ok(String::from_utf8_lossy(&name).trim_end().to_owned())
}
