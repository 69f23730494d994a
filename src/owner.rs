//! Whose the directories are in which this command finds what it ends, unmounts and removes.
//!
//! Records name processes, groups, links and directories. In a directory of another user's they are that user's words, by which root
//! could be had to end or remove what that user may not. So a command goes by what belongs to its own user, and by what is root's. It
//! is the open directory that is asked: what a path leads to may change.

use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, Result, bail};
use layerfs_driver::sys::dir;
use layerfs_driver::sys::file::{self, Symlinks};
use layerfs_driver::sys::host::{self, Rights};

use crate::container::subordinate;

/// The directory of a store's in which its containers have their records.
const CONTAINERS: &str = "containers";

/// What such a directory is to the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It has images, containers and volumes.
    Store,
    /// It has what is gone after a reboot.
    RunDirectory,
}

impl What {
    fn shown(self) -> &'static str {
        match self {
            What::Store => "store",
            What::RunDirectory => "run directory",
        }
    }
}

/// Refuses an open directory that is another user's.
pub fn check(directory: &OwnedFd, what: What, path: &Path) -> Result<()> {
    let deed = || format!("look whose the {} `{}` is", what.shown(), path.display());
    refuse(file::stat(directory).with_context(deed)?.st_uid, what, path)
}

/// The same for a store, of which the records may have been given away alone.
pub fn check_store(root: &OwnedFd, path: &Path) -> Result<()> {
    check(root, What::Store, path)?;
    let records = path.join(CONTAINERS);
    let stat = file::stat_at(root, CONTAINERS, Symlinks::Stop);
    let stat = stat.with_context(|| format!("look whose `{}` is", records.display()))?;
    refuse(stat.st_uid, What::Store, &records)
}

/// Opens a directory of the running state, and makes it where it is absent.
pub fn open_run(path: &Path) -> Result<OwnedFd> {
    let deed = || format!("open the run directory `{}`", path.display());
    dir::make_all(path, 0o700).with_context(deed)?;
    let run = dir::open_path(path).with_context(deed)?;
    check(&run, What::RunDirectory, path)?;
    Ok(run)
}

/// Opens one in it, whose name is given, and makes it where it is absent.
pub fn open_below(run: &OwnedFd, name: &str, path: &Path) -> Result<OwnedFd> {
    let whole = path.join(name);
    let deed = || format!("open the run directory `{}`", whole.display());
    dir::make_if_absent(run, name, 0o700).with_context(deed)?;
    let below = dir::open(run, name, Symlinks::Stop).with_context(deed)?;
    check(&below, What::RunDirectory, &whole)?;
    Ok(below)
}

fn refuse(owner: u32, what: What, path: &Path) -> Result<()> {
    let (user, _) = host::own_ids();
    if is_trusted(owner, user) {
        return Ok(());
    }
    let (whose, cure) = match (host::rights()?, subordinate::name_of_user(owner)) {
        // What it does not know it calls by one name.
        (Rights::Namespace(_), _) => {
            ("another user".to_owned(), "outside of this user namespace".to_owned())
        }
        (_, Some(name)) => (format!("user `{name}`"), format!("with `sudo -u {name} layerfs …`")),
        (_, None) => (format!("user {owner}"), format!("with `sudo -u '#{owner}' layerfs …`")),
    };
    bail!(
        "the {} `{}` belongs to {whose}, whose records would say what this command ends and removes: run it as that user, {cure}, or \
         give it to this one with chown -R where all in it is trusted",
        what.shown(),
        path.display()
    )
}

/// Root may do to a user whatever it wants, without any record.
fn is_trusted(owner: u32, user: u32) -> bool {
    owner == user || owner == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_goes_by_what_is_its_own_and_by_what_is_roots() {
        for (owner, user, expected) in
            [(0, 0, true), (0, 7, true), (7, 7, true), (7, 0, false), (7, 8, false)]
        {
            assert_eq!(is_trusted(owner, user), expected, "{owner} {user}");
        }
    }
}
