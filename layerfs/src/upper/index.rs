//! The index of hard-link groups: a lower inode with several names is one upper inode, and keeps its count of names.
//!
//! An entry is named by its origin. While the group is only lower it is an empty file that carries a count; once it is
//! copied up, it is a hard link to the copy, which carries the count: how many names the union shows. It begins with what
//! the lower has, and is changed with each name that is hidden or added.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use super::adopt;
use super::error::{During, MarkFault, UpperError};
use super::look::{Data, mark_error};
use super::open::{self, Upper};
use super::rename::At;
use super::stage::Staged;
use crate::store::digest::Digest;
use crate::sys::file::{self, FileType, Stat, Symlinks};
use crate::sys::xattr_at::{self, SetHow};
use crate::sys::{Errno, change, deep, dir};
use crate::tree::{Kind, MarkSpace, Origin};

/// What the index knows of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Names that the union shows.
    pub links: u32,
    /// Whether the entry is the copied-up inode.
    pub copied_up: bool,
}

/// What a file of the upper with the mark of a copy is to the group that the mark names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Belongs {
    /// Nothing: there is no such group, or nothing of it changed.
    Alone,
    /// Its copy.
    ToGroup,
    /// Another file: who copies a file of an upper by hand copies its mark.
    Beside,
}

impl Upper {
    /// The name of a group's entry in the index.
    pub fn group_name(origin: &Origin) -> String {
        Digest::of(&origin.encode()).hex()
    }

    /// The directory of the index, where there is one: most mounts never make an entry.
    pub fn index_dir(&self) -> Option<&OwnedFd> {
        self.index.get()
    }

    /// Makes the entries of the index durable.
    pub fn sync_index(&self) -> Result<(), UpperError> {
        self.index_dir().map_or(Ok(()), |index| self.sync(index))
    }

    /// The directory of the index, made for the first entry. Who makes it at the same time makes the same one.
    fn index_for_entry(&self) -> Result<&OwnedFd, UpperError> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let made = open::made(&self.lock, "index")?;
        Ok(self.index.get_or_init(|| made))
    }

    /// What the index knows of a group; `None` of one that is as the lower has it.
    pub fn group(&self, name: &str) -> Result<Option<Group>, UpperError> {
        match self.unstored_group(name) {
            Some(group) => Ok(group),
            None => match self.entry(name)? {
                Some(entry) => self.stored_group(name, &entry).map(Some),
                None => Ok(None),
            },
        }
    }

    /// Where the copy of a group has its data.
    pub fn data_of_group(&self, name: &str) -> Result<Data, UpperError> {
        match self.index_dir() {
            Some(index) => self.data((index, name.as_bytes())),
            None => Ok(Data::Here),
        }
    }

    /// Whether a file of the upper that has the mark of a group's copy is that copy.
    pub fn belongs(&self, name: &str, stat: &Stat) -> Result<Belongs, UpperError> {
        let entry = self.entry(name)?;
        let known = match (self.unstored_group(name), &entry) {
            (_, Some(entry)) if entry.st_ino != stat.st_ino => return Ok(Belongs::Beside),
            (Some(group), _) => group,
            (None, Some(entry)) => Some(self.stored_group(name, entry)?),
            (None, None) => None,
        };
        Ok(known.map_or(Belongs::Alone, |_| Belongs::ToGroup))
    }

    /// What is known of a group that no entry can say; `None` where entries say all.
    fn unstored_group(&self, name: &str) -> Option<Option<Group>> {
        match &self.unmarked {
            Some(unmarked) => Some(unmarked.group(name)),
            None => self.remembered.group(name).map(Some),
        }
    }

    /// The entry of a group, where it has one.
    fn entry(&self, name: &str) -> Result<Option<Stat>, UpperError> {
        let Some(index) = self.index_dir() else { return Ok(None) };
        match file::stat_at(index, name, Symlinks::Stop) {
            Err(error) if error.is_absent() => Ok(None),
            stat => stat.map(Some).during("look into the index"),
        }
    }

    fn stored_group(&self, name: &str, entry: &Stat) -> Result<Group, UpperError> {
        // Another union, which does not know the count, may have given the copy more names; the entry is none.
        let names = u32::try_from(entry.st_nlink).unwrap_or(u32::MAX).saturating_sub(1);
        let damaged = || mark_error(format!("layerfs/index/{name}").as_bytes(), MarkFault::Links);
        let index = self.index_dir().ok_or_else(damaged)?;
        let value =
            xattr_at::get(index, name.as_bytes(), &self.count_mark()).during("read the index")?;
        let value = value.ok_or_else(damaged)?;
        let text = std::str::from_utf8(&value).map_err(|_| damaged())?;
        let (state, links) = text.split_at_checked(1).ok_or_else(damaged)?;
        let links = links.parse().map_err(|_| damaged())?;
        match state {
            "L" => Ok(Group { links, copied_up: false }),
            "U" => Ok(Group { links: names.max(links), copied_up: true }),
            _ => Err(damaged()),
        }
    }

    /// Stores a group's count; begins its entry where there is none.
    pub fn set_group(&self, name: &str, group: Group) -> Result<(), UpperError> {
        if let Some(unmarked) = &self.unmarked {
            unmarked.set_group(name, group);
            return Ok(());
        }
        if self.remembered.group(name).is_some() {
            self.remembered.set_group(name, group);
            return Ok(());
        }
        let deed = "write the index";
        let value = encode(group);
        let mark = self.count_mark();
        let index = self.index_for_entry()?;
        let is_copy = group.copied_up && self.is_bounded() && self.entry(name)?.is_some();
        let _measured = match is_copy {
            true => self.spending_at((index, name.as_bytes()), 0)?,
            false => None,
        };
        match xattr_at::set(index, name.as_bytes(), (&mark, value.as_bytes()), SetHow::Any) {
            Err(error) if error.is_absent() => {}
            set => return set.during(deed),
        }
        // A record without its count would be damage: it is made aside.
        let aside = self.aside();
        let made = file::create_new(&self.work, aside.as_str(), 0o600).map(drop);
        let marked = made.and_then(|()| {
            xattr_at::set(&self.work, aside.as_bytes(), (&mark, value.as_bytes()), SetHow::Any)
        });
        let placed = marked.and_then(|()| dir::rename(&self.work, aside.as_str(), index, name));
        placed.inspect_err(|_| self.sweep_uncounted(&aside)).during(deed)
    }

    /// Opens the index where there is one, and makes it anew where there must be one: the layer has copies of groups, and
    /// would show lower files under their other names. Its work directory was lost then, or is another. What only the
    /// index knew, the hidden names of groups that were not copied up, counts again as in the lower.
    pub(super) fn find_index(&self) -> Result<(), UpperError> {
        const NEW: &str = "index.new";
        let deed = "rebuild the index";
        let is_there = match file::stat_at(&self.lock, "index", Symlinks::Stop) {
            Err(error) if error.is_absent() => false,
            found => found.map(|_| true).during("look for the index")?,
        };
        if is_there {
            return self.index_for_entry().map(|_| ());
        }
        if !self.has_group_copies()? {
            return Ok(());
        }
        deep::remove(&self.lock, NEW).during(deed)?;
        let index = open::made(&self.lock, NEW)?;
        let enter = |at: At<'_>, stat: &Stat| match self.enter_found(&index, at, stat) {
            Err(UpperError::Call { source, .. }) => Err(source),
            Err(damaged) => {
                tracing::warn!("a copy is not entered into the index: {damaged}");
                Ok(())
            }
            Ok(()) => Ok(()),
        };
        deep::visit(&self.root, |dir, name, stat| enter((dir, name), stat)).during(deed)?;
        dir::rename(&self.lock, NEW, &self.lock, "index").during(deed)?;
        self.index.get_or_init(|| index);
        Ok(())
    }

    /// Enters an object of the layer into an index, where it is the copy of a group.
    fn enter_found(
        &self,
        index: &OwnedFd,
        (dir, name): At<'_>,
        stat: &Stat,
    ) -> Result<(), UpperError> {
        let deed = "rebuild the index";
        if file::type_of(stat) == FileType::Directory {
            return Ok(());
        }
        let Some(kind) = Kind::from_mode(stat.st_mode) else { return Ok(()) };
        if xattr_at::get(dir, name, &self.count_mark()).during(deed)?.is_none() {
            return Ok(());
        }
        let Some(origin) = self.origin((dir, name), kind, stat.st_ino)? else { return Ok(()) };
        match change::link(dir, name, index, Self::group_name(&origin).as_str()) {
            // By another of its names.
            Err(error) if error.errno() == Errno::EXIST => Ok(()),
            linked => linked.during(deed),
        }
    }

    /// Makes a copy that another union made the entry of a group.
    pub(super) fn enter_foreign(
        &self,
        from: At<'_>,
        name: &str,
        group: Group,
    ) -> Result<(), UpperError> {
        let deed = "write the index";
        let index = self.index_for_entry()?;
        self.note_groups()?;
        let value = encode(group);
        xattr_at::set(from.0, from.1, (&self.count_mark(), value.as_bytes()), SetHow::Any)
            .during(deed)?;
        adopt::link_once(from, index, name).during(deed)
    }

    /// Marks the root, once, before the first copy of a group and after the index was made: one that is lost is rebuilt.
    fn note_groups(&self) -> Result<(), UpperError> {
        if self.has_groups.load(Ordering::Acquire) {
            return Ok(());
        }
        let mark = self.groups_mark();
        let _measured = self.spending_at((&self.root, b"."), 0)?;
        xattr_at::set(&self.root, b".", (&mark, b"y"), SetHow::Any).during("write the index")?;
        self.has_groups.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether the layer holds copies of files with several names in the lower.
    pub fn has_group_copies(&self) -> Result<bool, UpperError> {
        if self.unmarked.is_some() {
            return Ok(false);
        }
        let mark = xattr_at::get(&self.root, b".", &self.groups_mark()).during("read a mark")?;
        Ok(mark.is_some())
    }

    fn groups_mark(&self) -> Vec<u8> {
        [self.space.prefix(), b"layerfs.groups"].concat()
    }

    /// Makes a staged copy the group's entry. The copy stays staged: its other name is installed next.
    pub fn enter_copy(&self, staged: &Staged, name: &str, links: u32) -> Result<(), UpperError> {
        let deed = "write the index";
        let group = Group { links, copied_up: true };
        let (value, aside) = (encode(group), staged.name.as_bytes());
        let index = self.index_for_entry()?;
        let can_mark = self.can_mark(staged.kind) || self.is_file(&self.work, aside)?;
        if self.unmarked.is_none() && can_mark {
            self.note_groups()?;
            let _measured = self.spending_at((&self.work, aside), 0)?;
            xattr_at::set(&self.work, aside, (&self.count_mark(), value.as_bytes()), SetHow::Any)
                .during(deed)?;
        }
        let link = self.aside();
        change::link(&self.work, aside, &self.work, link.as_str()).during(deed)?;
        self.or_sweep(&link, dir::rename(&self.work, link.as_str(), index, name)).during(deed)?;
        match &self.unmarked {
            Some(unmarked) => unmarked.set_group(name, group),
            None if !can_mark => self.remembered.set_group(name, group),
            None => {}
        }
        Ok(())
    }

    /// Takes the entries of groups away that carry no count, as links and devices can't where marks are those of users:
    /// they mean nothing to a later mount.
    pub(super) fn forget_unmarked_groups(&self) -> Result<(), UpperError> {
        let deed = "look through the index";
        let (MarkSpace::User, Some(index)) = (self.space, self.index_dir()) else {
            return Ok(());
        };
        for entry in dir::list(index).during(deed)? {
            if entry.kind.is_some_and(|kind| kind != dir::ListedKind::File) {
                dir::unlink(index, &*entry.name).during(deed)?;
            }
        }
        Ok(())
    }

    /// Removes the entry of a group that has no name left.
    pub fn drop_group(&self, name: &str) -> Result<(), UpperError> {
        // A record of how many names a group of the lower has is no object of the layer.
        let is_copy = self.is_bounded()
            && matches!(self.group(name), Ok(Some(Group { copied_up: true, .. })));
        if let Some(unmarked) = &self.unmarked {
            unmarked.drop_group(name);
        }
        self.remembered.drop_group(name);
        let Some(index) = self.index_dir() else { return Ok(()) };
        let unlink = || dir::unlink(index, name);
        let dropped = match is_copy {
            true => self.taking((index, name.as_bytes()), unlink),
            false => unlink(),
        };
        match dropped {
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
