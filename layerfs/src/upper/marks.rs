//! Setting the marks of objects, and attributes of users past the marks.

use std::os::fd::OwnedFd;

use super::error::{During, UpperError};
use super::look::mark_error;
use super::open::Upper;
use super::owners::Owners;
use super::whiteout::Format;
use crate::sys::file::{self, Symlinks};
use crate::sys::xattr_at::{self, SetHow};
use crate::sys::{Errno, xattr};
use crate::tree::{
    AclFault, Attr, Kind, Mark, MarkSpace, Name, Opaque, Origin, Redirect, Redirects, acl,
};

/// The longest redirect that is written: what every file system takes beside other attributes.
const REDIRECT_WRITTEN_MAX: usize = 3500;

impl Upper {
    /// Whether objects of this type can be marked: the kernel keeps `user.*` to files and directories.
    pub fn can_mark(&self, kind: Kind) -> bool {
        match self.space {
            MarkSpace::Trusted => true,
            MarkSpace::User => matches!(kind, Kind::File | Kind::Directory),
        }
    }

    /// Marks what the object is a copy of. Where marks can't be, the number holds for this mount only.
    pub(super) fn set_origin(
        &self,
        dir: &OwnedFd,
        name: &[u8],
        (kind, origin): (Kind, &Origin),
    ) -> Result<(), UpperError> {
        if let Some(unmarked) = &self.unmarked {
            unmarked.set_origin(self.number(dir, name)?, *origin);
            return Ok(());
        }
        if self.can_mark(kind) || self.is_file(dir, name)? {
            return self.set_mark(dir, name, Mark::Origin, &origin.encode());
        }
        self.remembered.set_origin(self.number(dir, name)?, *origin);
        Ok(())
    }

    /// Whether a file stands for an object that can't be marked.
    pub(super) fn is_file(&self, dir: &OwnedFd, name: &[u8]) -> Result<bool, UpperError> {
        if self.owners == Owners::OfObjects {
            return Ok(false);
        }
        let stat = file::stat_at(dir, name, Symlinks::Stop);
        Ok(Attr::of_stat(&stat.during("look at an object of the upper")?).kind == Kind::File)
    }

    /// What is remembered of an object that had the number of a new one goes.
    pub(super) fn has_no_origin(&self, dir: &OwnedFd, name: &[u8]) -> Result<(), UpperError> {
        if let Some(unmarked) = &self.unmarked {
            unmarked.forget_origin(self.number(dir, name)?);
        } else if self.remembered.has_origins() {
            self.remembered.forget_origin(self.number(dir, name)?);
        }
        Ok(())
    }

    fn number(&self, dir: &OwnedFd, name: &[u8]) -> Result<u64, UpperError> {
        let stat = file::stat_at(dir, name, Symlinks::Stop);
        Ok(stat.during("look at an object of the upper")?.st_ino)
    }

    /// Makes a directory hide all that is below it.
    pub fn set_opaque(&self, dir: &OwnedFd, name: &[u8]) -> Result<(), UpperError> {
        if self.format()? == Format::Wh {
            return self.set_opaque_by_name(dir, name);
        }
        match Opaque::Hides.value() {
            Some(value) => self.set_mark(dir, name, Mark::Opaque, value),
            None => Ok(()),
        }
    }

    /// Whether a redirect to that path is written.
    pub fn is_written_redirect(path: &[Name]) -> bool {
        Redirect::Absolute(path.to_vec()).value().len() <= REDIRECT_WRITTEN_MAX
    }

    /// Marks where the lower part of an object lies, so that it may be renamed.
    pub fn set_redirect(
        &self,
        dir: &OwnedFd,
        name: &[u8],
        path: Vec<Name>,
    ) -> Result<(), UpperError> {
        if self.redirects != Redirects::Follow {
            return Err(UpperError::RedirectsOff);
        }
        let value = Redirect::Absolute(path).value();
        if value.len() > REDIRECT_WRITTEN_MAX {
            return Err(UpperError::LongRedirect);
        }
        match self.set_mark(dir, name, Mark::Redirect, &value) {
            Err(error) if matches!(error.errno(), Errno::TOOBIG | Errno::RANGE) => {
                Err(UpperError::LongRedirect)
            }
            other => other,
        }
    }

    pub(super) fn set_mark(
        &self,
        dir: &OwnedFd,
        name: &[u8],
        mark: Mark,
        value: &[u8],
    ) -> Result<(), UpperError> {
        if self.unmarked.is_some() {
            return Err(UpperError::NoMarks);
        }
        let _measured = self.spending_at((dir, name), 0)?;
        xattr_at::set(dir, name, (&mark.name(self.space), value), SetHow::Any).during("set a mark")
    }

    /// An attribute as a user sees it; `None` where there is none. Marks can't be seen.
    pub fn user_xattr(
        &self,
        dir: &OwnedFd,
        name: &[u8],
        attribute: &[u8],
    ) -> Result<Option<Box<[u8]>>, UpperError> {
        if self.wh_names.reserves_attribute(attribute) {
            return Ok(None);
        }
        let value = xattr_at::get(dir, name, &self.stored_name(attribute));
        let value = value.during("read an attribute")?;
        if self.is_followed(attribute) { self.shown_list((dir, name), value) } else { Ok(value) }
    }

    /// The access control list that a directory hands on to what is made in it.
    pub fn default_list(&self, dir: &OwnedFd) -> Result<Option<Box<[u8]>>, UpperError> {
        self.user_xattr(dir, b".", acl::DEFAULT)
    }

    /// What is said of such a list that is damaged.
    pub fn default_list_error(fault: AclFault) -> UpperError {
        mark_error(b".", fault.into())
    }

    /// The names of attributes as a user sees them.
    pub fn user_xattr_names(&self, dir: &OwnedFd, name: &[u8]) -> Result<Vec<Vec<u8>>, UpperError> {
        let stored = xattr_at::names(dir, name).during("list attributes")?;
        let shown = stored.iter().filter(|name| !self.wh_names.reserves_attribute(name));
        Ok(shown.filter_map(|name| self.shown_name(name)).collect())
    }

    /// Sets an attribute for a user. Marks can't be set.
    pub fn set_user_xattr(
        &self,
        dir: &OwnedFd,
        name: &[u8],
        (attribute, value): (&[u8], &[u8]),
        how: SetHow,
    ) -> Result<(), UpperError> {
        self.refuse_reserved(attribute)?;
        if self.is_followed(attribute) {
            return self.set_list((dir, name), value, how);
        }
        let stored = self.stored_name(attribute);
        xattr_at::set(dir, name, (&stored, value), how).during("set an attribute")
    }

    /// Marks of fuse-overlayfs's, where they are read, can't be set, as there.
    fn refuse_reserved(&self, attribute: &[u8]) -> Result<(), UpperError> {
        match self.wh_names.reserves_attribute(attribute) {
            true => Err(UpperError::Reserved(attribute.escape_ascii().to_string())),
            false => Ok(()),
        }
    }

    /// Removes an attribute for a user.
    pub fn remove_user_xattr(
        &self,
        dir: &OwnedFd,
        name: &[u8],
        attribute: &[u8],
    ) -> Result<(), UpperError> {
        self.refuse_reserved(attribute)?;
        xattr_at::remove(dir, name, &self.stored_name(attribute)).during("remove an attribute")
    }

    /// Copies a lower object's attributes, as users see them, capabilities last: what comes after would drop them. Those
    /// that the upper's file system does not keep are left behind, as in the kernel's overlayfs; but not what decides who
    /// may do what.
    pub(super) fn copy_xattrs(
        &self,
        dir: &OwnedFd,
        name: &[u8],
        pairs: &[xattr::Pair],
    ) -> Result<(), UpperError> {
        const CAPABILITY: &[u8] = b"security.capability";
        let (last, first): (Vec<_>, Vec<_>) =
            pairs.iter().partition(|(name, _)| &**name == CAPABILITY);
        for (attribute, value) in first.into_iter().chain(last) {
            match self.set_user_xattr(dir, name, (attribute, value), SetHow::Any) {
                Err(error) if error.errno() == Errno::OPNOTSUPP && !is_needed(attribute) => {}
                set => set?,
            }
        }
        Ok(())
    }
}

fn is_needed(attribute: &[u8]) -> bool {
    acl::is_list(attribute) || attribute.starts_with(b"security.")
}
