//! Owns giving objects their owner, permissions and type, and reading them: of the objects themselves, or, where this
//! process can't give files to others, from what is recorded in an attribute.
//!
//! 1. A record says all: owner, group, permissions and type. An object without one is what its file system says.
//! 2. An object that its file system can have as it is to be gets no record, so that others read it, too.
//! 3. Whoever has a record keeps bits for its owner, this process, to work with it, and no set-id bits: they would be this
//!    user's.
//! 4. The root of a layer with records has one, whatever it says: by that the layer is known.

use std::os::fd::OwnedFd;

use super::error::{During, UpperError};
use super::look::mark_error;
use super::open::Upper;
use super::rename::At;
use crate::sys::file::{self, Stat, Symlinks};
use crate::sys::xattr_at::{self, SetHow};
use crate::sys::{Errno, SysError, change, dir};
use crate::tree::id_map::NONE;
use crate::tree::recorded::{self, RECORD, Recorded, Records};
use crate::tree::{Attr, Kind, acl, marks};

/// Where owners, permissions and types are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// The objects have them.
    OfObjects,
    /// Recorded, where the objects can't have them.
    Recorded,
}

/// The longest target of a symbolic link that is kept as a file (`PATH_MAX`).
const TARGET_MAX_BYTES: u64 = 4096;

/// What the owner of an object must be allowed for this process to work with it.
fn needed(kind: Kind) -> u32 {
    if kind == Kind::Directory { 0o700 } else { 0o600 }
}

/// An attribute of users of an object that is not open for this process: it is taken for absent, as the kernel's overlayfs
/// takes it.
pub(super) fn unless_shut<T>(got: Result<Option<T>, SysError>) -> Result<Option<T>, SysError> {
    match got {
        Err(error) if error.errno() == Errno::ACCESS => Ok(None),
        got => got,
    }
}

impl Upper {
    /// Whether the layer at `root` has records, or gets them.
    pub(super) fn find_owners(root: &OwnedFd, records: Records) -> Result<Owners, UpperError> {
        if records == Records::Never {
            return Ok(Owners::OfObjects);
        }
        let deed = "look for recorded owners";
        if xattr_at::get(root, b".", RECORD).during(deed)?.is_some() {
            return Ok(Owners::Recorded);
        }
        if records == Records::OfLayers {
            return Ok(Owners::OfObjects);
        }
        let root_attr = Attr::of_stat(&file::stat(root).during(deed)?);
        let record = Recorded::of(&root_attr).encode();
        xattr_at::set(root, b".", (RECORD, &record), SetHow::Any).during("record an owner")?;
        Ok(Owners::Recorded)
    }

    /// The attributes of an object with this metadata.
    pub fn attr(&self, (dir, name): At<'_>, stat: &Stat) -> Result<Attr, UpperError> {
        let mut attr = Attr::of_stat(stat);
        if self.owners == Owners::OfObjects || !self.can_mark(attr.kind) {
            return Ok(attr);
        }
        let deed = "read a recorded owner";
        if let Some(value) = unless_shut(xattr_at::get(dir, name, RECORD)).during(deed)? {
            let record =
                Recorded::decode(&value).map_err(|fault| mark_error(name, fault.into()))?;
            record.apply(&mut attr);
        }
        Ok(attr)
    }

    fn attr_now(&self, at: At<'_>) -> Result<Attr, UpperError> {
        let stat = file::stat_at(at.0, at.1, Symlinks::Stop).during("look at an object")?;
        self.attr(at, &stat)
    }

    /// Whether what this process makes has that owner and these permissions without further ado.
    pub fn is_made_so(&self, kind: Kind, (uid, gid): (u32, u32), permissions: u32) -> bool {
        let is_workable = match (self.owners, kind) {
            (Owners::OfObjects, _) => true,
            (Owners::Recorded, Kind::CharDevice | Kind::BlockDevice) => false,
            (Owners::Recorded, kind) => permissions & needed(kind) == needed(kind),
        };
        (uid, gid) == self.own && is_workable
    }

    /// Whether files stand for objects that can't carry a record.
    pub fn records_owners(&self) -> bool {
        self.owners == Owners::Recorded
    }

    /// Whether a file stands for an object of that type and owner, which can't carry a record.
    pub(super) fn has_stand_in(&self, kind: Kind, owner: (u32, u32)) -> bool {
        self.owners == Owners::Recorded
            && match kind {
                Kind::File | Kind::Directory => false,
                Kind::CharDevice | Kind::BlockDevice => true,
                Kind::Symlink | Kind::Fifo | Kind::Socket => owner != self.own,
            }
    }

    /// Refuses an owner or a group that is none this user namespace knows: nothing can be given to it.
    pub(super) fn refuse_unknown(owner: (u32, u32)) -> Result<(), UpperError> {
        if owner.0 != NONE && owner.1 != NONE {
            return Ok(());
        }
        let what = "its owner or group is none that this user namespace knows";
        Err(SysError::new("fchownat", what, Errno::OVERFLOW)).during("give an object its owner")
    }

    /// Gives a new object its owner, and where it is recorded all that is recorded.
    pub(super) fn give(&self, at: At<'_>, wanted: &Recorded) -> Result<(), UpperError> {
        let deed = "give an object its owner";
        Self::refuse_unknown((wanted.uid, wanted.gid))?;
        if self.owners == Owners::Recorded {
            return self.settle(at, wanted);
        }
        match change::chown_at(at.0, at.1, Some(wanted.uid), Some(wanted.gid)) {
            // An owner whom this user namespace does not know: the kernel's overlayfs says it so.
            Err(error) if error.errno() == Errno::INVAL => {
                Err(SysError::new("fchownat", error.args(), Errno::OVERFLOW)).during(deed)
            }
            given => given.during(deed),
        }
    }

    /// Changes owner and group, where they are given. Takes set-id bits and capabilities away, as the kernel does.
    pub fn set_owner(
        &self,
        at: At<'_>,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> Result<(), UpperError> {
        let deed = "change attributes";
        if self.owners == Owners::OfObjects {
            return change::chown_at(at.0, at.1, uid, gid).during(deed);
        }
        let mut wanted = self.attr_now(at)?;
        wanted.uid = uid.unwrap_or(wanted.uid);
        wanted.gid = gid.unwrap_or(wanted.gid);
        if wanted.kind != Kind::Directory {
            let group_bit = if wanted.permissions & 0o10 == 0 { 0 } else { 0o2000 };
            wanted.permissions &= !(0o4000 | group_bit);
        }
        // The kernel takes set-id bits and capabilities with the old owner, at once. Where that one stays and another is
        // recorded, it is asked for the capabilities alone: such an object has no set-id bits of its own.
        match change::chown_at(at.0, at.1, Some(wanted.uid), Some(wanted.gid)) {
            Err(error) if matches!(error.errno(), Errno::PERM | Errno::INVAL) => {
                change::chown_at(at.0, at.1, None, None).during(deed)?;
            }
            given => given.during(deed)?,
        }
        self.settle(at, &Recorded::of(&wanted))
    }

    /// Changes permissions.
    pub fn set_permissions(&self, at: At<'_>, permissions: u32) -> Result<(), UpperError> {
        if self.owners == Owners::OfObjects {
            return change::chmod_at(at.0, at.1, permissions).during("change attributes");
        }
        self.settle(at, &Recorded { permissions, ..Recorded::of(&self.attr_now(at)?) })
    }

    /// Sets the list of an object whose owner may be recorded. Permissions follow it.
    pub(super) fn set_list(&self, at: At<'_>, list: &[u8], how: SetHow) -> Result<(), UpperError> {
        let deed = "set an access control list";
        let real = file::stat_at(at.0, at.1, Symlinks::Stop).during(deed)?;
        let Ok(owner) = acl::of_owner(list) else {
            // The kernel knows best how to refuse it.
            return xattr_at::set(at.0, at.1, (acl::ACCESS, list), how).during(deed);
        };
        let kept = acl::with_owner(list, owner | needed(Attr::of_stat(&real).kind));
        let kept = kept.map_err(|fault| mark_error(at.1, fault.into()))?;
        xattr_at::set(at.0, at.1, (acl::ACCESS, &kept), how).during(deed)?;
        let real = file::stat_at(at.0, at.1, Symlinks::Stop).during(deed)?;
        let before = Recorded::of(&self.attr(at, &real)?);
        let others = Attr::of_stat(&real).permissions & 0o077;
        let permissions = before.permissions & 0o7000 | owner | others;
        self.settle(at, &Recorded { permissions, ..before })
    }

    /// Makes an object what is wanted: by itself where it can be, else by a record, which is there before the object is
    /// less than it says, and goes after it is as much.
    fn settle(&self, (dir, name): At<'_>, wanted: &Recorded) -> Result<(), UpperError> {
        let deed = "change attributes";
        let stat = file::stat_at(dir, name, Symlinks::Stop).during(deed)?;
        let mut real = Attr::of_stat(&stat);
        let owner = (wanted.uid, wanted.gid);
        let mut is_changed = false;
        if (real.uid, real.gid) != owner {
            match change::chown_at(dir, name, Some(wanted.uid), Some(wanted.gid)) {
                Ok(()) => ((real.uid, real.gid), is_changed) = (owner, true),
                Err(error)
                    if self.can_mark(real.kind)
                        && matches!(error.errno(), Errno::PERM | Errno::INVAL) => {}
                Err(error) => return Err(error).during(deed),
            }
        }
        if !self.can_mark(real.kind) {
            return match real.kind {
                Kind::Symlink => Ok(()),
                _ => change::chmod_at(dir, name, wanted.permissions).during(deed),
            };
        }
        // Who is not of the group can't set its bit.
        let is_settable = wanted.permissions & 0o2000 == 0 || real.gid == self.own.1;
        let least = needed(real.kind);
        let is_itself = wanted.kind.is_none_or(|(kind, _)| kind == real.kind)
            && (real.uid, real.gid) == owner
            && wanted.permissions & least == least
            && is_settable;
        let own_bits = if is_itself { 0o7777 } else { 0o1777 };
        let permissions = wanted.permissions & own_bits | least;
        if real.permissions & least != least {
            // Attributes of users are for whom the object is open.
            change::chmod_at(dir, name, real.permissions | least).during(deed)?;
            is_changed = true;
        }
        if !is_itself || name == b"." {
            let record = wanted.encode();
            xattr_at::set(dir, name, (RECORD, &record), SetHow::Any).during("record an owner")?;
        }
        if real.permissions != permissions || is_changed {
            change::chmod_at(dir, name, permissions).during(deed)?;
        }
        if is_itself && name != b"." {
            match xattr_at::remove(dir, name, RECORD) {
                Err(error) if error.errno() == Errno::NODATA => {}
                removed => removed.during("take a recorded owner away")?,
            }
        }
        Ok(())
    }

    /// The target of a symbolic link.
    pub fn read_link(&self, dir: &OwnedFd, name: &[u8]) -> Result<Box<[u8]>, UpperError> {
        let deed = "read a symbolic link";
        match dir::read_link(dir, name) {
            Err(error) if self.owners == Owners::Recorded && error.errno() == Errno::INVAL => {
                let file = change::open_file(dir, name, change::Access::Read).during(deed)?;
                Ok(file::read_all(file, TARGET_MAX_BYTES).during(deed)?.into())
            }
            target => target.during(deed),
        }
    }

    /// The name under which an attribute of a user's is stored.
    pub(super) fn stored_name(&self, shown: &[u8]) -> Vec<u8> {
        let stored = marks::escape(self.space, shown);
        match self.owners {
            Owners::OfObjects => stored,
            Owners::Recorded => recorded::escape(stored),
        }
    }

    /// The name by which users see a stored attribute; `None` for what they don't.
    pub(super) fn shown_name(&self, stored: &[u8]) -> Option<Vec<u8>> {
        let shown = marks::unescape(self.space, stored)?;
        match self.owners {
            Owners::OfObjects => Some(shown),
            Owners::Recorded => recorded::unescape(shown),
        }
    }

    /// A list as users see it: what it says of the owner is what is recorded.
    pub(super) fn shown_list(
        &self,
        at: At<'_>,
        list: Option<Box<[u8]>>,
    ) -> Result<Option<Box<[u8]>>, UpperError> {
        let Some(list) = list else { return Ok(None) };
        let permissions = self.attr_now(at)?.permissions;
        let shown = acl::with_owner(&list, permissions);
        Ok(Some(shown.map_err(|fault| mark_error(at.1, fault.into()))?.into()))
    }

    /// Whether this attribute is the list of an object whose owner may be recorded.
    pub(super) fn is_followed(&self, attribute: &[u8]) -> bool {
        self.owners == Owners::Recorded && attribute == acl::ACCESS
    }
}
