//! Places to mount on: found in the image without leaving it, made where they are missing.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use layerfs_driver::sys::file::{self, FileType};

use super::error::{Doing, SetupError};
use crate::sys::inside::{self, Purpose};
use crate::sys::{Errno, SysError};

/// A directory of that name right in the root, never by way of a link: what the kernel's own file systems go on.
pub(super) fn of_system(root: impl AsFd, name: &'static str) -> Result<OwnedFd, SetupError> {
    let deed = || format!("find a place for `/{name}`");
    inside::make_directory(&root, OsStr::new(name), 0o755).doing(deed)?;
    let place = inside::open_name(&root, name).doing(deed)?;
    match kind(&place).doing(deed)? {
        FileType::Directory => Ok(place),
        other => Err(SetupError::WrongKind {
            path: format!("/{name}"),
            is: shown(other),
            needs: "a directory",
        }),
    }
}

/// A directory anywhere in the root, links resolved inside it, made with those it lies in where they are missing.
pub(super) fn directory(root: impl AsFd, path: &Path) -> Result<OwnedFd, SetupError> {
    let deed = || format!("find or make the directory `{}`", path.display());
    let mut at = PathBuf::from("/");
    let mut here = inside::open(&root, at.as_os_str(), Purpose::Directory).doing(deed)?;
    for part in path.components() {
        let name = match part {
            Component::Normal(name) => name,
            Component::ParentDir => OsStr::new(".."),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => continue,
        };
        at.push(name);
        let absent = |error: &SysError| error.is_absent();
        if inside::open(&root, at.as_os_str(), Purpose::Directory).is_err_and(|e| absent(&e)) {
            inside::make_directory(&here, name, 0o755).doing(deed)?;
        }
        here = inside::open(&root, at.as_os_str(), Purpose::Directory)
            .map_err(|error| of_open(error, path))?;
    }
    Ok(here)
}

/// A file anywhere in the root, links resolved inside it, made empty where it is missing. `None` where the directory
/// that it lies in is missing.
pub(super) fn file(root: impl AsFd, path: &Path) -> Result<Option<OwnedFd>, SetupError> {
    let deed = || format!("find or make the file `{}`", path.display());
    match inside::open(&root, path.as_os_str(), Purpose::Place) {
        Err(error) if error.is_absent() => {}
        other => return other.map(Some).map_err(|error| of_open(error, path)),
    }
    match inside::create(&root, path.as_os_str(), 0o644) {
        Err(error) if error.is_absent() => return Ok(None),
        other => other.doing(deed)?,
    }
    inside::open(&root, path.as_os_str(), Purpose::Place).doing(deed).map(Some)
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

fn of_open(error: SysError, path: &Path) -> SetupError {
    match error.errno() {
        // A link of /proc that leads by itself, such as /proc/self/fd/7.
        Errno::LOOP | Errno::XDEV => SetupError::Outside(path.display().to_string()),
        _ => SetupError::Refused { deed: format!("open `{}`", path.display()), source: error },
    }
}
