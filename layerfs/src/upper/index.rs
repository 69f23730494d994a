//! The index of hard-link groups: a lower inode with several names is one upper inode, and keeps its count of names.
//!
//! An entry is named by its origin. While the group is only lower it is an empty file that carries a count; once it is
//! copied up, it is a hard link to the copy, which carries the count: how many names the union shows. It begins with what
//! the lower has, and is changed with each name that is hidden or added.

use std::os::fd::OwnedFd;

use super::error::{During, MarkFault, UpperError};
use super::look::mark_error;
use super::open::Upper;
use super::stage::Staged;
use crate::store::digest::Digest;
use crate::sys::file::{self, Symlinks};
use crate::sys::xattr_at::{self, SetHow};
use crate::sys::{change, dir};
use crate::tree::Origin;

/// What the index knows of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Names that the union shows.
    pub links: u32,
    /// Whether the entry is the copied-up inode.
    pub copied_up: bool,
}

impl Upper {
    /// The name of a group's entry in the index.
    pub fn group_name(origin: &Origin) -> String {
        Digest::of(&origin.encode()).hex()
    }

    /// The directory of the index.
    pub fn index_dir(&self) -> &OwnedFd {
        &self.index
    }

    /// What the index knows of a group; `None` of one that is as the lower has it.
    pub fn group(&self, name: &str) -> Result<Option<Group>, UpperError> {
        match file::stat_at(&self.index, name, Symlinks::Stop) {
            Err(error) if error.is_absent() => return Ok(None),
            stat => stat.during("look into the index")?,
        };
        let damaged = || mark_error(name.as_bytes(), MarkFault::Links);
        let value = xattr_at::get(&self.index, name.as_bytes(), &self.count_mark())
            .during("read the index")?;
        let value = value.ok_or_else(damaged)?;
        let text = std::str::from_utf8(&value).map_err(|_| damaged())?;
        let (state, links) = text.split_at_checked(1).ok_or_else(damaged)?;
        let links = links.parse().map_err(|_| damaged())?;
        match state {
            "L" => Ok(Some(Group { links, copied_up: false })),
            "U" => Ok(Some(Group { links, copied_up: true })),
            _ => Err(damaged()),
        }
    }

    /// Stores a group's count; begins its entry where there is none.
    pub fn set_group(&self, name: &str, group: Group) -> Result<(), UpperError> {
        let deed = "write the index";
        let value = encode(group);
        let mark = self.count_mark();
        match xattr_at::set(&self.index, name.as_bytes(), (&mark, value.as_bytes()), SetHow::Any) {
            Err(error) if error.is_absent() => {}
            set => return set.during(deed),
        }
        // A record without its count would be damage: it is made aside.
        let aside = self.aside();
        let made = file::create_new(&self.work, aside.as_str(), 0o600).map(drop);
        let marked = made.and_then(|()| {
            xattr_at::set(&self.work, aside.as_bytes(), (&mark, value.as_bytes()), SetHow::Any)
        });
        let placed =
            marked.and_then(|()| dir::rename(&self.work, aside.as_str(), &self.index, name));
        self.or_sweep(&aside, placed).during(deed)
    }

    /// Makes a staged copy the group's entry. The copy stays staged: its other name is installed next.
    pub fn enter_copy(&self, staged: &Staged, name: &str, links: u32) -> Result<(), UpperError> {
        let deed = "write the index";
        let value = encode(Group { links, copied_up: true });
        let aside = staged.name.as_bytes();
        xattr_at::set(&self.work, aside, (&self.count_mark(), value.as_bytes()), SetHow::Any)
            .during(deed)?;
        let link = self.aside();
        change::link(&self.work, aside, &self.work, link.as_str()).during(deed)?;
        self.or_sweep(&link, dir::rename(&self.work, link.as_str(), &self.index, name)).during(deed)
    }

    /// Removes the entry of a group that has no name left.
    pub fn drop_group(&self, name: &str) -> Result<(), UpperError> {
        match dir::unlink(&self.index, name) {
            Err(error) if error.is_absent() => Ok(()),
            other => other.during("write the index"),
        }
    }

    fn count_mark(&self) -> Vec<u8> {
        [self.space.prefix(), b"layerfs.nlink"].concat()
    }
}

fn encode(group: Group) -> String {
    format!("{}{}", if group.copied_up { 'U' } else { 'L' }, group.links)
}
