//! What a container may not read, and what it may not change.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};

use layerfs_driver::sys::dir;
use layerfs_driver::sys::file::{FileType, Symlinks};

use super::error::{Doing, SetupError};
use super::place;
use super::walk::Made;
use crate::spec::Gains;
use crate::sys::SysError;
use crate::sys::inside;
use crate::sys::mounts::{self, Attributes, Depth};

/// Lets an attached mount refuse more, on old kernels too: those know one mount at a time only.
pub(super) fn restrict(
    mount: impl AsFd,
    attributes: Attributes,
    depth: Depth,
) -> Result<(), SysError> {
    match mounts::set(&mount, attributes, depth) {
        Err(error) if mounts::is_missing(&error) => {
            mounts::set_by_remount(&mount, attributes)?;
            let below = if depth == Depth::All { mounts::below(&mount)? } else { Vec::new() };
            below.iter().try_for_each(|place| mounts::set_by_remount(place, attributes))
        }
        set => set,
    }
}

/// Puts nothing in the place of a file, and an empty directory in that of a directory. What is absent stays so.
pub(super) fn mask(path: &'static str, made: &mut Made<'_>) -> Result<(), SetupError> {
    for target in targets(path, made)? {
        let deed = || format!("mask `{path}`");
        let blank = match place::kind(&target).doing(deed)? {
            FileType::Directory => blank_directory(made).doing(deed)?,
            _ => mounts::clone_of(made.null()?).doing(deed)?,
        };
        mounts::attach(&blank, &target).doing(deed)?;
        if made.blank.is_none() && place::kind(&blank).doing(deed)? == FileType::Directory {
            made.blank = Some(blank);
        }
    }
    Ok(())
}

/// One empty directory serves for all: the first is made, the others are copies of it.
fn blank_directory(made: &Made<'_>) -> Result<OwnedFd, SysError> {
    if let Some(blank) = &made.blank {
        return mounts::clone_of(blank);
    }
    let attributes = Attributes::READ_ONLY
        .and(Attributes::NO_SUID)
        .and(Attributes::NO_DEV)
        .and(Attributes::NO_EXEC);
    mounts::new_filesystem("tmpfs", &[("mode", "555"), ("size", "4k")], attributes)
}

/// Refuses changes below a path of `/proc`. What is absent stays so.
pub(super) fn protect(path: &'static str, made: &Made<'_>) -> Result<(), SetupError> {
    for target in targets(path, made)? {
        let deed = || format!("make `{path}` read-only");
        let copy = mounts::clone_of(&target).doing(deed)?;
        mounts::attach(&copy, &target).doing(deed)?;
        let attributes = Attributes::READ_ONLY
            .and(Attributes::NO_SUID)
            .and(Attributes::NO_DEV)
            .and(Attributes::NO_EXEC);
        restrict(&copy, attributes, Depth::All).doing(deed)?;
    }
    Ok(())
}

/// What the root refuses: devices of the image always, and its set-id bits where no program gains rights.
pub(super) fn of_root(gains: Gains) -> Attributes {
    match gains {
        Gains::Never => Attributes::NO_SUID.and(Attributes::NO_DEV),
        Gains::OfFiles => Attributes::NO_DEV,
    }
}

/// Refuses changes of the root. What is mounted in it goes by its own rules.
pub(super) fn protect_root(root: &OwnedFd, gains: Gains) -> Result<(), SetupError> {
    restrict(root, of_root(gains).and(Attributes::READ_ONLY), Depth::One)
        .doing(|| "make the root read-only".into())
}

/// What a path below `/proc` or `/sys` names, each opened in the file system that we mounted there; `*` stands for
/// any one name.
fn targets(path: &'static str, made: &Made<'_>) -> Result<Vec<OwnedFd>, SetupError> {
    let deed = || format!("find `{path}`");
    let (base, rest) = match path.strip_prefix("/proc/") {
        Some(rest) => (made.proc()?, rest),
        None => (made.sys()?, path.strip_prefix("/sys/").unwrap_or(path)),
    };
    let paths = match rest.split_once("/*/") {
        None => vec![rest.to_owned()],
        Some((before, after)) => names(base, before)
            .doing(deed)?
            .into_iter()
            .map(|name| format!("{before}/{name}/{after}"))
            .collect(),
    };
    let mut found = Vec::new();
    for path in paths {
        match inside::open(base, OsStr::new(&path)) {
            Ok(target) => found.push(target),
            Err(error) if error.is_absent() || is_no_directory(&error) => {}
            Err(error) => return Err(error).doing(deed),
        }
    }
    Ok(found)
}

fn is_no_directory(error: &SysError) -> bool {
    error.errno() == crate::sys::Errno::NOTDIR
}

fn names(base: &OwnedFd, path: &str) -> Result<Vec<String>, SysError> {
    let dir = match dir::open(base, path, Symlinks::Stop) {
        Err(error) if error.is_absent() => return Ok(Vec::new()),
        opened => opened?,
    };
    let listed = dir::list(&dir)?;
    Ok(listed.iter().map(|entry| String::from_utf8_lossy(&entry.name).into_owned()).collect())
}
