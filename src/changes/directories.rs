//! From a user's word to a mount of plain directories, or the upper directory of one, and what is below it.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use layerfs_driver::changes::Sides;
use layerfs_driver::lower::{DirStack, Lower, StackOptions, WhNames};
use layerfs_driver::sys::dir;
use layerfs_driver::sys::file;
use layerfs_driver::sys::host::{self, Rights};
use layerfs_driver::sys::mount::{self, Mounted};
use layerfs_driver::upper::{Records, UpperReader};

use super::what::{What, work_beside};
use crate::mount::serve::ServeArgs;
use crate::mount::{served, tree};

/// What the user says beside the word.
#[derive(Clone, Copy, Debug)]
pub struct Beside<'a> {
    /// The work directory of an upper directory.
    pub work: Option<&'a Path>,
    /// The lower directories, the first on top; none where the mount is to say which they are.
    pub lowers: &'a [PathBuf],
}

/// Finds it; `None` where the path leads to something else.
pub fn find(path: &Path, beside: Beside<'_>) -> Result<Option<What>> {
    let Ok(place) = file::open_place(path) else { return Ok(None) };
    let shown = format!("`{}`", path.display());
    let listed = dir::path_of(&place).with_context(|| shown.clone())?;
    drop(place);
    let is_there = |mount: &Mounted| *mount.at == *listed.as_os_str().as_bytes();
    if mount::mounted("fuse.layerfs")?.iter().any(is_there) {
        let served = served::at(&listed).with_context(|| shown.clone())?;
        let Some(args) = served.filter(|args| !args.lower.is_empty()) else { return Ok(None) };
        let called = format!("the mount at {shown}");
        let what = of_served(&args, (called, &listed))?;
        let root = dir::open_path(path).with_context(|| shown)?;
        return Ok(Some(What { mounted: Some(root), ..what }));
    }
    let Ok(upper) = dir::open_path(path) else { return Ok(None) };
    let called = format!("the upper directory {shown}");
    if !beside.lowers.is_empty() {
        return of_lowers(path, (upper, called), beside).map(Some);
    }
    match served::with_upper(&upper).with_context(|| shown)? {
        Some(args) if !args.lower.is_empty() && is_same(args.upper.as_deref(), &upper)? => {
            let at = args.mountpoint.clone().unwrap_or_default();
            of_served(&args, (called, &at)).map(Some)
        }
        _ => Ok(None),
    }
}

/// Whether a path leads to a directory that is open.
fn is_same(path: Option<&Path>, open: &OwnedFd) -> Result<bool> {
    let Some(path) = path else { return Ok(false) };
    let named = match dir::open_path(path) {
        Err(error) if error.is_absent() => return Ok(false),
        opened => file::stat(opened?)?,
    };
    let stat = file::stat(open)?;
    Ok((named.st_dev, named.st_ino) == (stat.st_dev, stat.st_ino))
}

/// What a serving process was told to serve at `at`.
fn of_served(args: &ServeArgs, (called, at): (String, &Path)) -> Result<What> {
    let (Some(upper), Some(work)) = (&args.upper, &args.work) else {
        bail!("{called} is read-only: nothing is changed in it");
    };
    let device = served::device_at(at)?.map(|device| (0, device.0));
    for lower in &args.lower {
        // It would answer with what it shows itself.
        let deed = || format!("lower directory `{}` of {called}", lower.display());
        let below = file::device_at(dir::open_path("/")?, lower.as_path()).with_context(deed)?;
        if device == Some(below) {
            bail!(
                "{called}: the lower directory `{0}` lies below the mount itself: unmount it, and say `--lowerdir` with the \
                 upper directory `{1}`",
                lower.display(),
                upper.display()
            );
        }
    }
    let lower = tree::stack(args).with_context(|| format!("lower directories of {called}"))?;
    let deed = || format!("upper directory of {called}");
    let work = dir::open_path(work.as_path()).with_context(deed)?;
    let upper = dir::open_path(upper.as_path()).with_context(deed)?;
    let upper = UpperReader::open(upper, Some(&work)).with_context(deed)?;
    let upper = upper.over_directories().with_marks(args.space(), args.redirects());
    Ok(what(called, Sides { lower: Lower::Dirs(lower), upper, places: Vec::new() }))
}

/// An upper directory and the directories that it was mounted over, as the user says.
fn of_lowers(path: &Path, (upper, called): (OwnedFd, String), beside: Beside<'_>) -> Result<What> {
    let work = match beside.work {
        Some(work) => Some(
            dir::open_path(work).with_context(|| format!("work directory `{}`", work.display()))?,
        ),
        None => work_beside(path)?,
    };
    let mut upper = UpperReader::open(upper, work.as_ref()).with_context(|| called.clone())?;
    upper.find_marks().with_context(|| called.clone())?;
    let options = StackOptions {
        space: upper.space(),
        redirects: upper.redirects(),
        wh_names: WhNames::Whiteouts,
    };
    let records = match host::rights()? {
        Rights::Root => Records::Never,
        Rights::Namespace(_) | Rights::User => Records::OfLayers,
    };
    let stack = DirStack::open_paths(beside.lowers, options)?.taking(records)?;
    let lower = Lower::Dirs(stack.doubting(host::doubtful_ids()?));
    Ok(what(called, Sides { lower, upper: upper.over_directories(), places: Vec::new() }))
}

fn what(called: String, sides: Sides) -> What {
    What {
        called,
        sides,
        layers: Vec::new(),
        image: None,
        command: Vec::new(),
        container: None,
        mounted: None,
    }
}
