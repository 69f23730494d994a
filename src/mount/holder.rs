//! Owns what is told of a mount that holds a directory which another one is to have.

use std::os::fd::OwnedFd;
use std::path::Path;

use layerfs_driver::sys::file::{self, Symlinks};
use layerfs_driver::sys::{SysError, dir, lock, mount};

use super::users::{self, FuseDevice};
use crate::output::text;

/// What `/proc/PID/fdinfo` says of one descriptor is no longer.
const INFO_MAX_BYTES: u64 = 1024 * 1024;

/// Stands before the number of the connection in what is said of an open FUSE device, from Linux 6.18 on.
const CONNECTION: &str = "fuse_connection:";

/// Who holds the lock of a directory, for what, and what to do; nothing where that is not seen from here.
pub fn told(held: &OwnedFd) -> String {
    looked_up(held).unwrap_or_else(|error| {
        tracing::debug!("who holds the lock is not known: {error}");
        String::new()
    })
}

fn looked_up(held: &OwnedFd) -> Result<String, SysError> {
    // One of another process namespace has no number here.
    let Some(pid) = lock::holder(held)?.filter(|pid| *pid != 0) else { return Ok(String::new()) };
    let holder = format!("; {} holds it", users::shown(&pid.to_string()));
    let Some(device) = device_of(pid)? else { return Ok(holder) };
    let one_line = |at: &Path| text::one_line(&at.to_string_lossy()).to_string();
    let number = format!("0:{}", device.0);
    if let Some(mount) =
        mount::standing()?.into_iter().find(|mount| mount.device == number.as_bytes())
    {
        let at = one_line(&mount.at);
        return Ok(format!("{holder}, mounted at `{at}`: `layerfs umount {at}`"));
    }
    if let Some((process, at)) = users::first_that_sees(device)? {
        let at = one_line(&at);
        return Ok(format!("{holder}, mounted at `{at}` where {process} is: unmount it there"));
    }
    Ok(match users::first_user_of(device)? {
        Some(user) => format!("{holder}, unmounted and still in use by {user}: end that"),
        None => format!("{holder}, unmounted and still in use: end what works in it"),
    })
}

/// The device of the mount that a process serves; `None` where it serves none, or the kernel does not tell.
pub(super) fn device_of(pid: u32) -> Result<Option<FuseDevice>, SysError> {
    let infos = dir::open_path(format!("/proc/{pid}/fdinfo").as_str())?;
    for info in dir::list(&infos)? {
        let Ok(opened) = file::open_read(&infos, &*info.name, Symlinks::Stop) else { continue };
        let text = file::read_all(opened, INFO_MAX_BYTES)?;
        let text = String::from_utf8_lossy(&text);
        let number = text.lines().find_map(|line| line.strip_prefix(CONNECTION));
        if let Some(number) = number.and_then(|number| number.trim().parse().ok()) {
            return Ok(Some(FuseDevice(number)));
        }
    }
    Ok(None)
}
