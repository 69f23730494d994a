//! `<work>/work/incompat/NAME`: what a mount must know to use the upper. The kernel refuses to mount where there is any
//! such name; we refuse those that we do not know, and the kernel's of a volatile mount.

use std::os::fd::OwnedFd;

use super::error::{During, UpperError};
use crate::sys::file::{self, Symlinks};
use crate::sys::{SysError, deep, dir};

/// Left as it is when the work directory is swept.
pub(super) const DIRECTORY: &[u8] = b"incompat";

/// Changes were made, and nothing was synced.
const VOLATILE: &[u8] = b"volatile";

/// Whiteouts are files with a mark: the kernel would list them in an upper.
pub(super) const XATTR_WHITEOUTS: &[u8] = b"layerfs-xattr-whiteouts";

/// Whiteouts, and what makes directories opaque, are names that begin with `.wh.`: the kernel would take them for files.
pub(super) const WH_WHITEOUTS: &[u8] = b"layerfs-wh-whiteouts";

/// There are files whose data lies in the lower by marks of ours: the kernel would answer errors for them.
pub(super) const PARTIAL: &[u8] = b"layerfs-partial";

/// What may stand there and does not stop us.
pub(super) const KNOWN: [&[u8]; 3] = [XATTR_WHITEOUTS, WH_WHITEOUTS, PARTIAL];

/// Refuses an upper whose work directory `work` has a mark.
pub(super) fn refuse(work: &OwnedFd) -> Result<(), UpperError> {
    let deed = "read the marks of the work directory";
    let open = |parent: &OwnedFd, name: &[u8]| {
        present(dir::open(parent, name, Symlinks::Stop)).during(deed)
    };
    let Some(inner) = open(work, b"work")? else { return Ok(()) };
    let Some(marks) = open(&inner, DIRECTORY)? else { return Ok(()) };
    let listed = dir::list(&marks).during(deed)?;
    match listed.iter().find(|mark| !KNOWN.contains(&&*mark.name)) {
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

/// Leaves `incompat/NAME` in the inner work directory. Answers the directory of the marks.
pub(super) fn mark(inner: &OwnedFd, name: &[u8]) -> Result<OwnedFd, UpperError> {
    let deed = "mark the work directory with what the upper has";
    dir::make_if_absent(inner, DIRECTORY, 0o700).during(deed)?;
    let marks = dir::open(inner, DIRECTORY, Symlinks::Stop).during(deed)?;
    dir::make_if_absent(&marks, name, 0o700).during(deed)?;
    Ok(marks)
}

/// Takes the marks of ours away: nothing in the upper needs them any more.
pub(super) fn forget(inner: &OwnedFd) -> Result<(), UpperError> {
    let deed = "take the marks from the work directory";
    let Some(marks) = present(dir::open(inner, DIRECTORY, Symlinks::Stop)).during(deed)? else {
        return Ok(());
    };
    for name in KNOWN {
        deep::remove(&marks, name).during(deed)?;
    }
    Ok(())
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
