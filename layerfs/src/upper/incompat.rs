//! `<work>/work/incompat/NAME`: what a mount must know to use the upper. The kernel refuses to mount where there is any
//! such name, and so do we, who know none that could be mounted.

use std::os::fd::OwnedFd;

use super::error::{During, UpperError};
use crate::sys::file::{self, Symlinks};
use crate::sys::{SysError, dir};

/// Left as it is when the work directory is swept.
pub(super) const DIRECTORY: &[u8] = b"incompat";

/// Changes were made, and nothing was synced.
const VOLATILE: &[u8] = b"volatile";

/// Refuses an upper whose work directory `work` has a mark.
pub(super) fn refuse(work: &OwnedFd) -> Result<(), UpperError> {
    let deed = "read the marks of the work directory";
    let open = |parent: &OwnedFd, name: &[u8]| {
        present(dir::open(parent, name, Symlinks::Stop)).during(deed)
    };
    let Some(inner) = open(work, b"work")? else { return Ok(()) };
    let Some(marks) = open(&inner, DIRECTORY)? else { return Ok(()) };
    match dir::list(&marks).during(deed)?.first() {
        None => Ok(()),
        Some(mark) if &*mark.name == VOLATILE => Err(UpperError::Volatile),
        Some(mark) => Err(UpperError::Incompatible(mark.name.escape_ascii().to_string())),
    }
}

fn present(opened: Result<OwnedFd, SysError>) -> Result<Option<OwnedFd>, SysError> {
    match opened {
        Err(error) if error.is_absent() => Ok(None),
        opened => opened.map(Some),
    }
}

/// Leaves `incompat/volatile/dirty` in the inner work directory. Not synced: a file system that lost it in a crash has
/// also lost what was changed after it.
pub(super) fn mark_volatile(inner: &OwnedFd) -> Result<(), UpperError> {
    let deed = "mark the work directory as volatile";
    let made = |parent: &OwnedFd, name: &[u8]| {
        dir::make_if_absent(parent, name, 0o700)?;
        dir::open(parent, name, Symlinks::Stop)
    };
    let marks = made(inner, DIRECTORY).during(deed)?;
    let volatile = made(&marks, VOLATILE).during(deed)?;
    file::open_or_create(&volatile, "dirty", 0o600).during(deed)?;
    Ok(())
}
