//! Owns what a new node has of its directory beside the caller's wish: group, set-group-id bit, access control lists.

use std::os::fd::OwnedFd;

use super::create::{Caller, NewNode};
use super::error::UnionError;
use super::mount::Union;
use super::node::DirState;
use crate::sys::file;
use crate::tree::{Acls, Attr, acl};
use crate::upper::{Lists, Owner, Upper, UpperError};

/// How a new node is made.
pub(super) struct Birth {
    pub owner: Owner,
    pub lists: Lists,
    /// The directory has a default list, which its file system hands on to what is made in it.
    pub dir_has_list: bool,
}

impl Union {
    /// Owner, permissions and lists of a new node in `above`, the upper's directory: a copied-up one has the lists that
    /// the union shows. What is known of the directory spares a look, and is noted.
    pub(super) fn birth(
        &self,
        above: &OwnedFd,
        (new, permissions): (NewNode<'_>, u32),
        caller: Caller,
        known: Option<&mut DirState>,
    ) -> Result<Birth, UnionError> {
        let upper = self.writable()?;
        let default = match &known {
            Some(state) if state.has_no_default => None,
            _ => upper.default_list(above)?,
        };
        if let Some(state) = known {
            state.has_no_default = default.is_none();
        }
        let dir_has_list = default.is_some();
        let stat = file::stat(above).map_err(|source| UpperError::Call {
            deed: "look at a directory of the upper",
            source,
        })?;
        let parent = upper.attr((above, b"."), &stat)?;
        let mut owner = owner_of(&parent, new, permissions, caller);
        let mut lists = Lists::default();
        match default.filter(|_| self.acls == Acls::Obeyed) {
            _ if matches!(new, NewNode::Symlink(_)) => {}
            Some(default) => {
                let inherited =
                    acl::inherit(&default, owner.permissions).map_err(Upper::default_list_error)?;
                owner.permissions = inherited.permissions;
                lists.access = inherited.access;
                lists.default = matches!(new, NewNode::Directory).then_some(default);
            }
            None => owner.permissions &= !(caller.umask & 0o777),
        }
        Ok(Birth { owner, lists, dir_has_list })
    }
}

/// Owner and permissions of a new node: the caller's, but the group of a set-group-id directory, whose subdirectories
/// get the bit, too. The kernel has taken the bit from what is asked for where the caller is not of that group.
fn owner_of(parent: &Attr, new: NewNode<'_>, permissions: u32, caller: Caller) -> Owner {
    let mut permissions = permissions & 0o7777;
    let mut gid = caller.gid;
    if parent.permissions & 0o2000 != 0 {
        gid = parent.gid;
        if matches!(new, NewNode::Directory) {
            permissions |= 0o2000;
        }
    }
    Owner { uid: caller.uid, gid, permissions }
}
