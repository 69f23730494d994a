//! Owns which directories a stack does not show: those that belong to the mount itself.

use super::node::StackNode;
use super::open::DirStack;
use crate::lower::error::LowerError;
use crate::sys::{OwnedFd, SysError, file};
use crate::tree::Name;

/// Directories that are absent wherever they are met, in whichever layer and by whichever way.
#[derive(Debug, Default)]
pub(super) struct Hidden(Vec<One>);

#[derive(Debug)]
struct One {
    device: u64,
    inode: u64,
    /// Held so that no other directory gets the number.
    _held: OwnedFd,
}

impl Hidden {
    fn add(&mut self, dir: OwnedFd) -> Result<(), SysError> {
        let stat = file::stat(&dir)?;
        self.0.push(One { device: stat.st_dev, inode: stat.st_ino, _held: dir });
        Ok(())
    }

    /// Whether that is one of them.
    pub(super) fn has(&self, device: u64, inode: u64) -> bool {
        self.0.iter().any(|one| (one.device, one.inode) == (device, inode))
    }
}

impl DirStack {
    /// Hides directories: a name that leads to one is absent, and no listing has it. A layer whose root is one of them
    /// is shown: it was asked for by name.
    ///
    /// They are told by device and inode number, so it does not matter by which mount they were opened.
    pub fn hiding(mut self, dirs: impl IntoIterator<Item = OwnedFd>) -> Result<Self, LowerError> {
        let mut dirs = dirs.into_iter();
        let refused = |source| LowerError::Call { path: "a hidden directory".into(), source };
        dirs.try_for_each(|dir| self.hidden.add(dir)).map_err(refused)?;
        Ok(self)
    }

    /// Whether a directory that is hidden stands under `name` in a layer of `dir`.
    pub(crate) fn has_hidden(&self, dir: &StackNode, name: &Name) -> Result<bool, LowerError> {
        if self.hidden.0.is_empty() {
            return Ok(false);
        }
        for place in &dir.places {
            if let Some(looking) = self.look(place)?
                && looking.has_hidden(name)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
