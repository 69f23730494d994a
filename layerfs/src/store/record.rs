//! Small files that are replaced whole: written aside, synced, renamed over, their directory synced.

use std::os::fd::OwnedFd;

use super::error::StoreError;
use crate::sys::file::Symlinks;
use crate::sys::{SysError, dir, file, host};

/// The largest record read back: far over any that is written.
const LEN_MAX: u64 = 16 * 1024 * 1024;

/// Makes `name` in `parent` hold `bytes`: after a crash it has the old bytes or the new.
pub(super) fn replace(parent: &OwnedFd, name: &str, bytes: &[u8]) -> Result<(), SysError> {
    // The name aside holds random digits: two writers of one record do not meet in it, and what a killed one leaves
    // is known by the suffix and swept by gc.
    let aside = format!("{:016x}.new", host::random_u64()?);
    let written = write_aside(parent, &aside, bytes)
        .and_then(|fd| file::sync(&fd))
        .and_then(|()| dir::rename(parent, aside.as_str(), parent, name));
    if written.is_err() {
        best_effort_unlink(parent, &aside);
    }
    written?;
    file::sync(parent)
}

/// The same for what need not survive a power cut: whoever looks finds the old bytes or the new, nothing is synced.
pub(super) fn replace_volatile(parent: &OwnedFd, name: &str, bytes: &[u8]) -> Result<(), SysError> {
    let aside = format!("{:016x}.new", host::random_u64()?);
    let written = write_aside(parent, &aside, bytes)
        .and_then(|_| dir::rename(parent, aside.as_str(), parent, name));
    if written.is_err() {
        best_effort_unlink(parent, &aside);
    }
    written
}

/// Whether a name in a directory of records is one that [`replace`] left behind when it was killed.
pub(super) fn is_aside(name: &[u8]) -> bool {
    name.ends_with(b".new")
}

/// Reads a record whole; an error of `is_absent` where there is none.
pub(super) fn read(parent: &OwnedFd, name: &str) -> Result<Vec<u8>, SysError> {
    file::read_all(file::open_read(parent, name, Symlinks::Stop)?, LEN_MAX)
}

/// The version that a record says, whatever else is in it.
pub(super) fn version_of(text: &[u8]) -> serde_json::Result<u32> {
    #[derive(serde::Deserialize)]
    struct Version {
        version: u32,
    }
    serde_json::from_slice(text).map(|words: Version| words.version)
}

/// Refuses a record that only a later layerfs can read. That is no damage: it must be left as it is.
pub(super) fn check_version(
    what: impl FnOnce() -> String,
    found: u32,
    known: u32,
) -> Result<(), StoreError> {
    if found > known {
        return Err(StoreError::NewerRecord { what: what(), found, known });
    }
    Ok(())
}

/// Removes a record, durably. Absent is no error.
pub(super) fn remove(parent: &OwnedFd, name: &str) -> Result<(), SysError> {
    match dir::unlink(parent, name) {
        Err(error) if !error.is_absent() => Err(error),
        _ => file::sync(parent),
    }
}

fn write_aside(parent: &OwnedFd, aside: &str, bytes: &[u8]) -> Result<OwnedFd, SysError> {
    let fd = file::create_new(parent, aside, 0o600)?;
    file::write_all(&fd, bytes)?;
    Ok(fd)
}

fn best_effort_unlink(parent: &OwnedFd, name: &str) {
    if let Err(error) = dir::unlink(parent, name)
        && !error.is_absent()
    {
        tracing::warn!("a temporary record stays until gc: {error}");
    }
}
