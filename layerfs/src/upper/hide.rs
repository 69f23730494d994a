//! A name that its directory hides by a mark: for the moment between a rename that takes it away and the whiteout.
//!
//! No call moves a name and leaves a marked file in its place. Where the new name shows nothing the two change places
//! (`Upper::move_to_free`). Where it shows something they can't: a whiteout that was put there first would hide that, and
//! an exchange with it would show it under the old name, to whoever looks next if the process dies then. So the directory of
//! the old name says before the rename, by a mark of its own, that it hides what lies below under that name. What must hold:
//!
//! 1. Of what stands under the name in the upper the mark says nothing: until the rename it changes nothing.
//! 2. From the rename on it says what the whiteout will say. Whoever dies then, or can't write the whiteout, leaves a name that is
//!    hidden as well as by a whiteout; it needs no repair, and no later mount has to find it.
//! 3. It may stay for too long: a name that an upper once had never shows its namesake below again, since each change that takes
//!    it away leaves a whiteout.
//! 4. A directory hides one name so. Before it is to hide another, the first gets its whiteout.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use super::error::{MarkFault, UpperError};
use super::look::mark_error;
use super::open::Upper;
use crate::sys::{Errno, xattr_at};
use crate::tree::{Mark, Name};

impl Upper {
    /// The name that a directory hides by its mark, whatever stands under it.
    pub(super) fn name_hidden_in(&self, at: &OwnedFd) -> Result<Option<Name>, UpperError> {
        if !self.may_hide_names.load(Ordering::Acquire) {
            return Ok(None);
        }
        let Some(value) = self.mark(at, b".", Mark::Hides)? else { return Ok(None) };
        let damaged = |fault| mark_error(b".", MarkFault::Hides(fault));
        Name::new(&value).map(Some).map_err(damaged)
    }

    /// Whether a directory hides a name by its mark.
    pub(super) fn is_hidden_by_mark(&self, at: &OwnedFd, name: &[u8]) -> Result<bool, UpperError> {
        Ok(self.name_hidden_in(at)?.is_some_and(|hidden| hidden.as_bytes() == name))
    }

    /// Has a directory hide a name, under which the upper has something, from when that is gone.
    pub(super) fn hide_name(&self, at: &OwnedFd, name: &[u8]) -> Result<(), UpperError> {
        match self.name_hidden_in(at)? {
            Some(hidden) if hidden.as_bytes() == name => return Ok(()),
            Some(hidden) => self.put_whiteout(at, hidden.as_bytes())?,
            None => {}
        }
        self.set_mark(at, b".", Mark::Hides, name)
    }

    /// Takes the mark away again: there is a whiteout now, or what was to go has stayed.
    pub(super) fn hide_no_name(&self, at: &OwnedFd) {
        if let Err(error) = xattr_at::remove(at, b".", &Mark::Hides.name(self.space)) {
            tracing::warn!("a mark that a name is hidden stays, and says nothing new: {error}");
        }
    }

    /// Whether a whiteout stands under the very name. Where only the mark of the directory hides it, it gets one.
    pub(super) fn has_own_whiteout(&self, at: &OwnedFd, name: &[u8]) -> Result<bool, UpperError> {
        if self.is_taken(at, name)? {
            return Ok(true);
        }
        if !self.is_hidden_by_mark(at, name)? {
            return Ok(false);
        }
        self.put_whiteout(at, name)?;
        // One that is a name beside it stands under another.
        self.is_taken(at, name)
    }

    /// Puts a whiteout where nothing stands.
    pub(super) fn put_whiteout(&self, at: &OwnedFd, name: &[u8]) -> Result<(), UpperError> {
        match self.add_whiteout(at, name) {
            Err(error) if error.errno() == Errno::EXIST => Ok(()),
            put => put,
        }
    }
}
