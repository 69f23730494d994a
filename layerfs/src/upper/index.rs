//! The index of hard-link groups: a lower inode with several names is one upper inode, and keeps its count of names.
//!
//! An entry is named by its origin. While the group is only lower it is an empty file that carries a count; once it is
//! copied up, it is a hard link to the copy, which carries the count: how many names the union shows. It begins with what
//! the lower has, and is changed with each name that is hidden or added.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use super::error::{During, MarkFault, UpperError};
use super::look::mark_error;
use super::open::Upper;
use super::stage::Staged;
use crate::store::digest::Digest;
use crate::sys::file::{self, FileType, Stat, Symlinks};
use crate::sys::xattr_at::{self, SetHow};
use crate::sys::{Errno, change, deep, dir};
use crate::tree::{Kind, Origin};

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
        if let Some(unmarked) = &self.unmarked {
            return Ok(unmarked.group(name));
        }
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
        if let Some(unmarked) = &self.unmarked {
            unmarked.set_group(name, group);
            return Ok(());
        }
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

    /// Enters the copies of groups that the layer holds into an empty index: its work directory was lost, or is another.
    /// What only the index knew, the hidden names of groups that were not copied up, counts again as in the lower.
    pub(super) fn rebuild_index(&self) -> Result<(), UpperError> {
        let deed = "rebuild the index";
        if xattr_at::get(&self.root, b".", &self.groups_mark()).during(deed)?.is_none() {
            return Ok(());
        }
        deep::visit(&self.root, |dir, name, stat| match self.enter_found(dir, name, stat) {
            Err(UpperError::Call { source, .. }) => Err(source),
            Err(damaged) => {
                tracing::warn!("a copy is not entered into the index: {damaged}");
                Ok(())
            }
            Ok(()) => Ok(()),
        })
        .during(deed)
    }

    /// Enters an object of the layer, where it is the copy of a group.
    fn enter_found(&self, dir: &OwnedFd, name: &[u8], stat: &Stat) -> Result<(), UpperError> {
        let deed = "rebuild the index";
        if file::type_of(stat) == FileType::Directory {
            return Ok(());
        }
        let Some(kind) = Kind::from_mode(stat.st_mode) else { return Ok(()) };
        if xattr_at::get(dir, name, &self.count_mark()).during(deed)?.is_none() {
            return Ok(());
        }
        let Some(origin) = self.origin((dir, name), kind, stat.st_ino)? else { return Ok(()) };
        match change::link(dir, name, &self.index, Self::group_name(&origin).as_str()) {
            // By another of its names.
            Err(error) if error.errno() == Errno::EXIST => Ok(()),
            linked => linked.during(deed),
        }
    }

    /// Marks the root, once, before the first copy of a group: an index that is lost is rebuilt then.
    fn note_groups(&self) -> Result<(), UpperError> {
        if self.has_groups.load(Ordering::Acquire) {
            return Ok(());
        }
        let mark = self.groups_mark();
        xattr_at::set(&self.root, b".", (&mark, b"y"), SetHow::Any).during("write the index")?;
        self.has_groups.store(true, Ordering::Release);
        Ok(())
    }

    fn groups_mark(&self) -> Vec<u8> {
        [self.space.prefix(), b"layerfs.groups"].concat()
    }

    /// Makes a staged copy the group's entry. The copy stays staged: its other name is installed next.
    pub fn enter_copy(&self, staged: &Staged, name: &str, links: u32) -> Result<(), UpperError> {
        let deed = "write the index";
        let group = Group { links, copied_up: true };
        let (value, aside) = (encode(group), staged.name.as_bytes());
        if self.unmarked.is_none() {
            self.note_groups()?;
            xattr_at::set(&self.work, aside, (&self.count_mark(), value.as_bytes()), SetHow::Any)
                .during(deed)?;
        }
        let link = self.aside();
        change::link(&self.work, aside, &self.work, link.as_str()).during(deed)?;
        self.or_sweep(&link, dir::rename(&self.work, link.as_str(), &self.index, name))
            .during(deed)?;
        if let Some(unmarked) = &self.unmarked {
            unmarked.set_group(name, group);
        }
        Ok(())
    }

    /// Removes the entry of a group that has no name left.
    pub fn drop_group(&self, name: &str) -> Result<(), UpperError> {
        if let Some(unmarked) = &self.unmarked {
            unmarked.drop_group(name);
        }
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
