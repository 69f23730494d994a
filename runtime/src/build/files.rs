//! What of the host's a container shows: volumes, and files made for it. And the directory it starts in.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use layerfs_driver::sys::file::FileType;

use super::error::{Doing, SetupError};
use super::way::{self, End};
use super::{fill, place, walls};
use crate::spec::{Access, Contents, Volume};
use crate::sys::inside;
use crate::sys::mounts::{self, Attributes, Depth};

/// Shows a file made for this container. A link there that leads where nothing may be put, too deep, or nowhere, gives way to it.
pub(super) fn show_file(file: &Volume, root: &OwnedFd) -> Result<(), SetupError> {
    let place = match way::find_or_make(root, &file.target, End::File) {
        Err(SetupError::Containers { .. } | SetupError::Links(_) | SetupError::Deep(_)) => {
            way::remove_link(root, &file.target)?;
            way::find_or_make(root, &file.target, End::File)?
        }
        found => found?,
    };
    let source = clone(file)?;
    check_kinds(file, &source, &place)?;
    attach(file, &source, &place)
}

/// Shows a directory or a file of the host's.
pub(super) fn show_volume(volume: &Volume, root: &OwnedFd) -> Result<(), SetupError> {
    let source = clone(volume)?;
    let deed = || format!("mount `{}`", volume.target.display());
    let end = match place::kind(&source).doing(deed)? {
        FileType::Directory => End::Directory,
        _ => End::File,
    };
    let place = way::find_or_make(root, &volume.target, end)?;
    check_kinds(volume, &source, &place)?;
    if volume.contents == Contents::OfPlace {
        fill::fill(&place, &source, &volume.target.display().to_string())?;
    }
    attach(volume, &source, &place)
}

fn clone(volume: &Volume) -> Result<OwnedFd, SetupError> {
    mounts::clone_path(volume.source.as_os_str())
        .doing(|| format!("take `{}` of the host", volume.source.display()))
}

/// A directory goes on a directory, a file on a file.
fn check_kinds(volume: &Volume, source: impl AsFd, place: impl AsFd) -> Result<(), SetupError> {
    let deed = || format!("mount `{}`", volume.target.display());
    let (wanted, found) = (place::kind(source).doing(deed)?, place::kind(place).doing(deed)?);
    match (wanted == FileType::Directory, found == FileType::Directory) {
        (true, true) | (false, false) => Ok(()),
        (directory, _) => Err(SetupError::WrongKind {
            path: volume.target.display().to_string(),
            is: place::shown(found),
            needs: if directory { "a directory" } else { "a file" },
        }),
    }
}

fn attach(volume: &Volume, source: &OwnedFd, place: &OwnedFd) -> Result<(), SetupError> {
    let deed = || format!("mount `{}`", volume.target.display());
    mounts::attach(source, place).doing(deed)?;
    let base = Attributes::NO_SUID.and(Attributes::NO_DEV);
    let attributes = match volume.access {
        Access::ReadWrite => base,
        Access::ReadOnly => base.and(Attributes::READ_ONLY),
    };
    walls::restrict(source, attributes, Depth::All).doing(deed)
}

/// Goes where the program starts.
pub(super) fn enter(directory: &OwnedFd, path: &Path) -> Result<(), SetupError> {
    let shown = path.display().to_string();
    inside::enter(directory).doing(|| format!("enter `{shown}`"))?;
    let here = inside::current().doing(|| format!("enter `{shown}`"))?;
    if here.first() == Some(&b'/') { Ok(()) } else { Err(SetupError::Outside(shown)) }
}
