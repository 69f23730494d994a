//! Places of the image, to mount on or to start in: found without leaving it, made where they are missing.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use layerfs_driver::sys::file::{self, FileType};

use super::error::{Doing, SetupError};
use super::way::{self, End};
use crate::sys::inside;
use crate::sys::{Errno, SysError};

/// A directory of that name right in the root, never by way of a link: what the kernel's own file systems go on.
pub(super) fn of_system(root: impl AsFd, name: &'static str) -> Result<OwnedFd, SetupError> {
    let deed = || format!("find a place for `/{name}`");
    inside::make_directory(&root, OsStr::new(name), 0o755).doing(deed)?;
    let place = inside::open_name(&root, name).doing(deed)?;
    directory(place, &Path::new("/").join(name), deed)
}

/// A directory to start in, links resolved inside the root, made with those it lies in where they are missing.
pub(super) fn to_start_in(root: &OwnedFd, path: &Path) -> Result<OwnedFd, SetupError> {
    let deed = || format!("open `{}`", path.display());
    let found = match inside::open(root, path.as_os_str()) {
        Err(error) if matches!(error.errno(), Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
            way::find_or_make(root, path, End::Directory)?
        }
        opened => opened.doing(deed)?,
    };
    directory(found, path, deed)
}

/// A directory to start in that is there, links resolved inside the root.
pub(super) fn that_is_there(root: &OwnedFd, path: &Path) -> Result<OwnedFd, SetupError> {
    let deed = || format!("start in `{}`", path.display());
    let found = inside::open(root, path.as_os_str()).doing(deed)?;
    directory(found, path, deed)
}

/// What was found at `path`, where it is a directory.
fn directory(
    found: OwnedFd,
    path: &Path,
    deed: impl Fn() -> String,
) -> Result<OwnedFd, SetupError> {
    match kind(&found).doing(deed)? {
        FileType::Directory => Ok(found),
        other => Err(SetupError::WrongKind {
            path: path.display().to_string(),
            is: shown(other),
            needs: "a directory",
        }),
    }
}

/// What a descriptor is open on.
pub(super) fn kind(object: impl AsFd) -> Result<FileType, SysError> {
    Ok(file::type_of(&inside::stat(object)?))
}

/// A kind of file, in words.
pub(super) fn shown(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a fifo",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "of no known kind",
    }
}
