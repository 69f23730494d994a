//! `layerfs umount`: takes mounts away.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use layerfs_driver::fuse::{self, MountError};
use layerfs_driver::sys::mount::{self, UnmountHow};
use layerfs_driver::sys::{Errno, dir, file};

use super::rights::need_root;
use super::users::first_user;
use crate::output::{Results, message, text};
use crate::session::Outcome;

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs umount /mnt
  layerfs umount --all
  layerfs umount -l /mnt";

/// The words of `layerfs umount`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct UmountArgs {
    /// Mountpoints
    #[arg(value_name = "DIR", required_unless_present = "all")]
    mountpoints: Vec<PathBuf>,
    /// Take away every layerfs mount that `layerfs mount` lists, whichever store it is of, and print where each was
    #[arg(long, conflicts_with = "mountpoints")]
    all: bool,
    /// Take it out of the tree now, and end it when its last user goes
    #[arg(short, long)]
    lazy: bool,
}

/// Takes each mount away; those that can't be have their line.
pub fn run(args: &UmountArgs, results: &mut Results) -> Result<Outcome> {
    need_root("umount")?;
    let known: Vec<PathBuf> = mount::mounted("fuse.layerfs")?
        .into_iter()
        .map(|mount| std::ffi::OsStr::from_bytes(&mount.at).into())
        .collect();
    let wanted =
        if args.all { known.iter().rev().cloned().collect() } else { args.mountpoints.clone() };
    let how = if args.lazy { UnmountHow::Lazy } else { UnmountHow::Now };
    let mut outcome = Outcome::Done;
    for at in wanted {
        match one(&at, &known, how) {
            // Who said the places knows them.
            Ok(()) if args.all => {
                results.line(text::one_line(&at.to_string_lossy()))?;
                results.flush()?;
            }
            Ok(()) => {}
            Err(error) => {
                message::error(&error);
                outcome = Outcome::SomeFailed;
            }
        }
    }
    Ok(outcome)
}

fn one(at: &Path, known: &[PathBuf], how: UnmountHow) -> Result<()> {
    // As the kernel lists it: no link and no `..` in it. What is mounted there is not asked, since it may not answer.
    let deed = || format!("`{}`", at.display());
    let place = file::open_place(at).with_context(deed)?;
    let listed = dir::path_of(&place).with_context(deed)?;
    drop(place); // it would be a use of the mount
    if !known.contains(&listed) {
        bail!("`{}` is not a layerfs mount; `layerfs mount` lists those there are", at.display());
    }
    match fuse::unmount(&listed, how) {
        Err(MountError::Refused { source, .. }) if source.errno() == Errno::BUSY => {
            bail!("{}", in_use(at, &listed))
        }
        unmounted => Ok(unmounted?),
    }
}

fn in_use(at: &Path, listed: &Path) -> String {
    let user = first_user(listed).unwrap_or_else(|error| {
        tracing::debug!("who uses the mount is not known: {error}");
        None
    });
    let cure =
        "or take it out of the tree with `layerfs umount -l`, and it ends with its last user";
    match user {
        Some(user) => format!("`{}` is in use by {user}: end that, {cure}", at.display()),
        None => format!("`{}` is in use: end what works in it, {cure}", at.display()),
    }
}
