//! `layerfs umount`: takes mounts away.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use layerfs_driver::fuse::{self, By, MountError};
use layerfs_driver::sys::host::{self, Rights};
use layerfs_driver::sys::mount::{self, Mounted, UnmountHow};
use layerfs_driver::sys::{dir, file};

use super::users::{User, first_user};
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
    /// Take away every layerfs mount that `layerfs mount` lists, of others than root those of their own, whichever store
    /// it is of, and print where each was
    #[arg(long, conflicts_with = "mountpoints")]
    all: bool,
    /// Take it out of the tree now, and end it when its last user goes
    #[arg(short, long)]
    lazy: bool,
}

/// How often a user is looked for that is not found: what has a file of the mount open only between its start and the program that
/// it becomes is gone by the time.
const LOOKS: usize = 5;

/// Takes each mount away; those that can't be have their line.
pub fn run(args: &UmountArgs, results: &mut Results) -> Result<Outcome> {
    let rights = host::rights()?;
    let known = mount::mounted("fuse.layerfs")?;
    let is_own = |mount: &&Mounted| is_of_this_user(mount, rights);
    let wanted = match args.all {
        true => known.iter().rev().filter(is_own).map(path_of).collect(),
        false => args.mountpoints.clone(),
    };
    let how = if args.lazy { UnmountHow::Lazy } else { UnmountHow::Now };
    let mut outcome = Outcome::Done;
    for at in wanted {
        match one(&at, &known, (how, rights)) {
            // It is none of those that `--all` means.
            Err(error) if args.all && is_locked(&error) => {}
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

fn is_locked(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(MountError::is_locked)
}

fn path_of(mount: &Mounted) -> PathBuf {
    std::ffi::OsStr::from_bytes(&mount.at).into()
}

/// Whether who has these rights may take a mount away; `fusermount3` looks at the user alone.
fn is_of_this_user(mount: &Mounted, rights: Rights) -> bool {
    rights != Rights::User || mount.user.is_none_or(|user| user == host::own_ids().0)
}

fn one(at: &Path, known: &[Mounted], (how, rights): (UnmountHow, Rights)) -> Result<()> {
    // As the kernel lists it: no link and no `..` in it. What is mounted there is not asked, since it may not answer.
    let deed = || format!("`{}`", at.display());
    let place = file::open_place(at).with_context(deed)?;
    let listed = dir::path_of(&place).with_context(deed)?;
    drop(place); // it would be a use of the mount
    let Some(mount) = known.iter().rev().find(|mount| path_of(mount) == listed) else {
        bail!("`{}` is not a layerfs mount; `layerfs mount` lists those there are", at.display());
    };
    if !is_of_this_user(mount, rights) {
        bail!("`{}` is the mount of another user: call as that user, or as root", at.display());
    }
    let mut unmounted = fuse::unmount(&listed, how, By::of(rights));
    for _ in 0..LOOKS {
        let Err(error) = &unmounted else { break };
        if !error.is_busy() {
            break;
        }
        if let Some(user) = found_user(&listed) {
            bail!("{}", in_use(at, Some(&user)));
        }
        unmounted = fuse::unmount(&listed, how, By::of(rights));
    }
    match unmounted {
        Err(error) if error.is_busy() => bail!("{}", in_use(at, None)),
        Err(error) if error.is_locked() => {
            let at = at.display();
            Err(anyhow::Error::from(error).context(format!(
                "`{at}` is the mount of another user namespace: call outside of this one"
            )))
        }
        unmounted => Ok(unmounted?),
    }
}

fn found_user(listed: &Path) -> Option<User> {
    first_user(listed).unwrap_or_else(|error| {
        tracing::debug!("who uses the mount is not known: {error}");
        None
    })
}

fn in_use(at: &Path, user: Option<&User>) -> String {
    let cure =
        "or take it out of the tree with `layerfs umount -l`, and it ends with its last user";
    match user {
        Some(User::Other(user)) => {
            format!("`{}` is in use by {user}: end that, {cure}", at.display())
        }
        Some(User::This) => {
            format!("`{}` is in use by this command alone: call it elsewhere, {cure}", at.display())
        }
        None => format!("`{}` is in use: end what works in it, {cure}", at.display()),
    }
}
