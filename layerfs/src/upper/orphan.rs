//! Orphans: open objects that have no name any more, kept under a name of ours until the last close.
//!
//! They stand among the things being made: a directory of their own would take a block of each upper, and had to be made
//! when one is needed, which a full disk refuses just when a file is to be removed.

use std::os::fd::OwnedFd;

use super::error::{During, UpperError};
use super::open::Upper;
use super::rename::At;
use super::stage::{Cover, Staged};
use crate::sys::{change, dir};

impl Upper {
    /// The directory of orphans.
    pub fn orphan_dir(&self) -> &OwnedFd {
        &self.work
    }

    /// A name for an orphan of this mount.
    pub fn orphan_name(&self) -> String {
        self.aside()
    }

    /// Takes a name of the upper away; what it led to lives on as an orphan.
    pub fn orphan(&self, from: &OwnedFd, name: &[u8], orphan: &str) -> Result<(), UpperError> {
        let _shrunk = self.spending(from, 0)?;
        self.keep_as(from, name, orphan)
    }

    fn keep_as(&self, from: &OwnedFd, name: &[u8], orphan: &str) -> Result<(), UpperError> {
        dir::rename(from, name, &self.work, orphan).during("keep an open object")
    }

    /// Gives an object an orphan's name beside those that it has.
    pub fn keep_link(&self, (dir, name): At<'_>, orphan: &str) -> Result<(), UpperError> {
        change::link(dir, name, &self.work, orphan).during("keep an open object")
    }

    /// The same for what a change put into the work directory.
    pub fn orphan_aside(&self, aside: &str, orphan: &str) -> Result<(), UpperError> {
        self.keep_as(&self.work, aside.as_bytes(), orphan)
    }

    /// The same for a copy of what has no name any more.
    pub fn orphan_staged(&self, staged: &Staged, orphan: &str) -> Result<(), UpperError> {
        self.keep_as(&self.work, staged.name.as_bytes(), orphan)
    }

    /// Gives an orphan a name of the upper, where nothing stands or a whiteout.
    pub fn name_orphan(&self, orphan: &str, to: At<'_>, cover: Cover) -> Result<(), UpperError> {
        let _grown = self.spending(to.0, 0)?;
        let named = match cover {
            Cover::Whiteout => dir::rename(&self.work, orphan, to.0, to.1),
            Cover::Nothing | Cover::Hidden => dir::rename_new(&self.work, orphan, to.0, to.1),
        };
        named.during("name a file")
    }

    /// Removes an orphan.
    pub fn drop_orphan(&self, orphan: &str) -> Result<(), UpperError> {
        let at = (&self.work, orphan.as_bytes());
        match self.taking(at, || dir::unlink(&self.work, orphan)) {
            Err(error) if error.is_absent() => Ok(()),
            other => other.during("remove an open object"),
        }
    }
}
