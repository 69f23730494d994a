//! Owns what takes the place of marks where there can be none: memory, which holds for the mount. The upper's file system
//! keeps no attributes (ramfs, some network file systems), or none of users for what is neither file nor directory.
//!
//! The kernel's overlayfs goes on there, too, without origins, redirects and its index. Copies keep their numbers, and
//! hard links their one inode, until the unmount; the next mount takes copies for new files. Entries of objects that are
//! gone stay until their number is given again: no more of them than the mount copied up.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use parking_lot::Mutex;

use super::error::{During, UpperError};
use super::index::Group;
use crate::sys::xattr_at::SetHow;
use crate::sys::{Errno, xattr_at};
use crate::tree::{Mark, MarkSpace, Origin};

/// What marks would say.
#[derive(Debug, Default)]
pub(super) struct Unmarked {
    /// By inode number. Guarded for moments.
    origins: Mutex<HashMap<u64, Origin>>,
    /// By name in the index. Guarded for moments.
    groups: Mutex<HashMap<String, Group>>,
}

impl Unmarked {
    /// Looks whether `probed`, a directory of ours, can be marked; `None` where it can.
    pub(super) fn where_needed(
        probed: &OwnedFd,
        space: MarkSpace,
    ) -> Result<Option<Unmarked>, UpperError> {
        let deed = "try whether the upper's file system keeps attributes";
        let mark = Mark::Origin.name(space);
        match xattr_at::set(probed, b".", (&mark, b"?"), SetHow::Any) {
            Err(error) if error.errno() == Errno::OPNOTSUPP => Ok(Some(Unmarked::default())),
            set => {
                set.and_then(|()| xattr_at::remove(probed, b".", &mark)).during(deed)?;
                Ok(None)
            }
        }
    }

    pub(super) fn has_origins(&self) -> bool {
        !self.origins.lock().is_empty()
    }

    pub(super) fn origin(&self, ino: u64) -> Option<Origin> {
        self.origins.lock().get(&ino).copied()
    }

    pub(super) fn set_origin(&self, ino: u64, origin: Origin) {
        self.origins.lock().insert(ino, origin);
    }

    /// A new object has the number.
    pub(super) fn forget_origin(&self, ino: u64) {
        self.origins.lock().remove(&ino);
    }

    pub(super) fn group(&self, name: &str) -> Option<Group> {
        self.groups.lock().get(name).copied()
    }

    pub(super) fn set_group(&self, name: &str, group: Group) {
        self.groups.lock().insert(name.to_owned(), group);
    }

    pub(super) fn drop_group(&self, name: &str) {
        self.groups.lock().remove(name);
    }
}
