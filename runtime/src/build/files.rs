//! What of the host's a container shows: volumes, and files made for it. And the directory it starts in.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use layerfs_driver::sys::dir;
use layerfs_driver::sys::file::{self, FileType};

use super::error::{Doing, SetupError};
use super::walk::Made;
use super::way::{self, End};
use super::{fill, place, walls};
use crate::spec::{Access, Contents, Users, Volume};
use crate::sys::mounts::{self, Attributes, Depth};
use crate::sys::{channel, inside};

/// The word by which the supervisor knows that what is shown next is wanted. No error begins with it.
pub(crate) const ASKED: &[u8] = b"M";

/// No file made for a container is longer: of the host's lists of names 16 MiB are taken, and what was said is added.
const LEN_MAX: u64 = 32 << 20;

/// Where a file system is mounted for a moment in which others than it can be made of it: nothing else in `/dev` is called so.
const ASIDE: &str = ".layerfs-files";

/// Bytes that the container may write into its own files beside what was made there.
const ROOM_BYTES: usize = 1 << 20;

/// Shows files made for this container. They are copies in memory, with little room: what is written into them takes nothing of
/// the host's disk.
pub(super) fn show_files(files: &[Volume], made: &Made<'_>) -> Result<(), SetupError> {
    let shown = |file: &Volume| format!("make the container's `{}`", file.target.display());
    let mut contents = Vec::new();
    for (file, found) in files.iter().zip(&made.given.files) {
        contents.push(file::read_all(found, LEN_MAX).doing(|| shown(file))?);
    }
    let deed = || "make the container's own files".to_owned();
    let size = (contents.iter().map(Vec::len).sum::<usize>() + ROOM_BYTES).to_string();
    let options = [("source", "files"), ("mode", "755"), ("size", &*size), ("nr_inodes", "16")];
    let base = Attributes::NO_SUID.and(Attributes::NO_DEV);
    let memory = mounts::new_filesystem("tmpfs", &options, base).doing(deed)?;
    // What is mounted nowhere can't be copied.
    let dev = made.dev()?;
    inside::make_directory(dev, OsStr::new(ASIDE), 0o700).doing(deed)?;
    mounts::attach(&memory, inside::open_name(dev, ASIDE).doing(deed)?).doing(deed)?;
    let mut mounted = Vec::new();
    for ((file, bytes), name) in files.iter().zip(&contents).zip(0_u32..) {
        let (deed, name) = (|| shown(file), name.to_string());
        let new = file::create_new(&memory, &*name, 0o644).doing(deed)?;
        file::write_all(&new, bytes).doing(deed)?;
        let place = inside::open_name(&memory, &name).doing(deed)?;
        mounted.push(mounts::clone_of(place).doing(deed)?);
    }
    mounts::detach(&memory).doing(deed)?;
    dir::remove(dev, Path::new(ASIDE)).doing(deed)?;
    files.iter().zip(&mounted).try_for_each(|(file, mount)| show_file(file, mount, made))
}

/// A link there that leads where nothing may be put, too deep, or nowhere, gives way to it.
fn show_file(file: &Volume, source: &OwnedFd, made: &Made<'_>) -> Result<(), SetupError> {
    let root = made.root()?;
    let place = match way::find_or_make(root, &file.target, End::File) {
        Err(SetupError::Containers { .. } | SetupError::Links(_) | SetupError::Deep(_)) => {
            way::remove_link(root, &file.target)?;
            way::find_or_make(root, &file.target, End::File)?
        }
        found => found?,
    };
    check_kinds(file, source, &place)?;
    attach(file, source, &place)
}

/// Shows a directory or a file of the host's.
pub(super) fn show_volume(volume: &Volume, made: &Made<'_>) -> Result<(), SetupError> {
    let (root, source) = (made.root()?, take(volume, made)?);
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

/// A copy of what the host has there. Root of the container's own users may not go there on the host, nor show it with their ids:
/// the supervisor does, in the order of the plan. Where root is the caller it may go wherever that one may.
fn take(volume: &Volume, made: &Made<'_>) -> Result<OwnedFd, SetupError> {
    let deed = || format!("take `{}` of the host", volume.source.display());
    match made.given.spec.users {
        Users::Hosts | Users::Callers(_) => {
            mounts::clone_found(volume.source.as_os_str()).doing(deed)
        }
        Users::Own(_) => ask(made, deed),
    }
}

/// What the supervisor has taken next, in the order of the plan.
pub(super) fn ask(
    made: &Made<'_>,
    deed: impl Fn() -> String + Copy,
) -> Result<OwnedFd, SetupError> {
    channel::send(&made.given.report, ASKED, None).doing(deed)?;
    let taken = channel::receive(&made.given.report, 1).doing(deed)?;
    taken.and_then(|(_, mount)| mount).ok_or(SetupError::Alone)
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
