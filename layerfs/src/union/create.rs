//! Making new nodes.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use super::error::{UnionError, answer};
use super::handle::{HandleId, OpenHow};
use super::ids::NodeId;
use super::list::{Became, begin_change};
use super::lookup::Looked;
use super::mount::{Seed, Shared, Union};
use super::node::{DirState, Side};
use super::view::View;
use crate::sys::Errno;
use crate::sys::change::Special;
use crate::sys::file::{self, Symlinks};
use crate::tree::Name;
use crate::upper::{At, Blank, Cover, Staged, Upper, UpperError};

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// Permissions that are taken away from what is made.
    pub umask: u32,
}

/// What is to be made.
#[derive(Clone, Copy, Debug)]
pub enum NewNode<'a> {
    /// A directory.
    Directory,
    /// An empty file.
    File,
    /// A symbolic link with that target.
    Symlink(&'a [u8]),
    /// A fifo, a socket or a device.
    Special(Special),
}

/// What a new node is made with.
#[derive(Clone, Copy)]
struct Given<'a> {
    /// Made aside already.
    ahead: Option<&'a Staged>,
    /// It is to be open, if it is a file that is made in its place.
    opens: bool,
}

impl Union {
    /// Makes a node that must not exist. It is counted as a lookup is.
    pub fn create(
        &self,
        (parent, name): (NodeId, &Name),
        new: NewNode<'_>,
        permissions: u32,
        caller: Caller,
    ) -> Result<Looked, UnionError> {
        let upper = self.writable()?;
        let ahead = self.link_ahead(upper, (parent, name), (new, permissions), caller)?;
        let given = Given { ahead: ahead.as_ref(), opens: false };
        let made = self.create_named((parent, name), (new, permissions), caller, given);
        if let (Err(_), Some(staged)) = (&made, &ahead) {
            upper.discard(staged);
        }
        Ok(made?.0)
    }

    /// Makes a file that must not exist, and opens it for writing. It is counted as a lookup is.
    pub fn create_open(
        &self,
        at: (NodeId, &Name),
        permissions: u32,
        caller: Caller,
    ) -> Result<(Looked, HandleId), UnionError> {
        self.expect_room()?;
        let given = Given { ahead: None, opens: true };
        match self.create_named(at, (NewNode::File, permissions), caller, given)? {
            (looked, Some(handle)) => Ok((looked, handle)),
            (looked, None) => self.open_made(looked),
        }
    }

    /// Opens for writing what was just made. Where that is refused it is not counted any more.
    pub fn open_made(&self, looked: Looked) -> Result<(Looked, HandleId), UnionError> {
        let opened = self.open(looked.id, OpenHow::Write);
        if opened.is_err() {
            self.forget(looked.id, 1);
        }
        Ok((looked, opened?))
    }

    /// A link for which a file stands is on the disk before it has its name: it is made before anything is locked.
    fn link_ahead(
        &self,
        upper: &Upper,
        (parent, name): (NodeId, &Name),
        new: (NewNode<'_>, u32),
        caller: Caller,
    ) -> Result<Option<Staged>, UnionError> {
        if !matches!(new.0, NewNode::Symlink(_)) || !self.syncs_links() {
            return Ok(None);
        }
        let above = {
            let _topology = self.topology.read();
            let dir = self.dir_node(parent)?;
            self.refuse_known(&dir, name)?;
            self.ensure_upper_dir(&dir)?
        };
        let birth = self.birth(&above, new, caller, None)?;
        Ok(Some(upper.stage_new(&blank_of(new.0), birth.owner, &birth.lists)?))
    }

    /// Whether to make a link lasts: it is synced.
    pub fn syncs_links(&self) -> bool {
        self.syncs() && self.upper.as_ref().is_some_and(Upper::records_owners)
    }

    fn create_named(
        &self,
        (parent, name): (NodeId, &Name),
        (new, permissions): (NewNode<'_>, u32),
        caller: Caller,
        given: Given<'_>,
    ) -> Result<(Looked, Option<HandleId>), UnionError> {
        let upper = self.writable()?;
        let _topology = self.topology.read();
        let dir = self.dir_node(parent)?;
        if !dir.is_upper() {
            self.refuse_known(&dir, name)?;
        }
        // A device 0:0 is a whiteout on disk: it can't be an object.
        if matches!(new, NewNode::Special(Special::Character { major: 0, minor: 0 })) {
            return answer(Errno::PERM);
        }
        upper.expect_within_bounds()?;
        let above = self.ensure_upper_dir(&dir)?;
        let mut state = dir.dir.write();
        let cover = self.free_name(&dir, &state, name)?;
        let listing = begin_change(&mut state);
        let birth = self.birth(&above, (new, permissions), caller, Some(&mut state))?;
        let (owner, blank) = (birth.owner, blank_of(new));
        // Made in place where nothing has to be set afterwards; else aside, so that no one meets it half made.
        let in_place = cover == Cover::Nothing
            && upper.is_made_so(blank.kind(), (owner.uid, owner.gid), owner.permissions)
            && !birth.dir_has_list
            && !matches!(new, NewNode::Symlink(_));
        let mut file = None;
        if let Some(staged) = given.ahead {
            upper.install(staged, &above, name.as_bytes(), cover)?;
        } else if in_place && owner.permissions & 0o7000 == 0 {
            file = upper.make_in_place(&blank, &above, name.as_bytes(), owner.permissions)?;
        } else {
            let staged = upper.stage_new(&blank, owner, &birth.lists)?;
            upper.install(&staged, &above, name.as_bytes(), cover)?;
        }
        let (node, looked) =
            self.new_node(Some((&dir, name)), (&above, name.as_bytes()), file.as_ref())?;
        let became = Became::Node(name, looked.attr.kind, looked.id);
        self.end_change(&mut state, listing, &[became]);
        node.has_no_capability.store(file.is_some(), Ordering::Release);
        // Open before anybody can take its name away.
        let handle = file.filter(|_| given.opens).map(|file| self.opened_new(node, file));
        Ok((looked, handle))
    }

    /// An answer that needs no copy-up of the directory: most failed creates ask for a name that is there.
    fn refuse_known(&self, dir: &Shared, name: &Name) -> Result<(), UnionError> {
        let state = dir.dir.read();
        self.free_name(dir, &state, name).map(|_| ())
    }

    /// What stands where a new name is to be made; a name that is taken is an error.
    pub(super) fn free_name(
        &self,
        dir: &Shared,
        state: &DirState,
        name: &Name,
    ) -> Result<Cover, UnionError> {
        if state.removed {
            return answer(Errno::NOENT);
        }
        match self.view(dir, name)? {
            View::Absent { .. } if self.lower.is_reserved(name) => answer(Errno::PERM),
            View::Absent { whiteout: true } => Ok(Cover::Whiteout),
            View::Absent { whiteout: false } if self.lower_has_hidden(dir, name)? => {
                Ok(Cover::Hidden)
            }
            View::Absent { whiteout: false } => Ok(Cover::Nothing),
            View::Upper(_) | View::Lower(..) => answer(Errno::EXIST),
        }
    }

    /// Makes a file that has no name, in the way of its directory (`O_TMPFILE`). It is counted as a lookup is, may be given a
    /// name, and goes with its last close else.
    pub fn create_nameless(
        &self,
        parent: NodeId,
        permissions: u32,
        caller: Caller,
    ) -> Result<Looked, UnionError> {
        let upper = self.writable()?;
        upper.expect_within_bounds()?;
        let _topology = self.topology.read();
        let dir = self.dir_node(parent)?;
        if dir.dir.read().removed {
            return answer(Errno::PERM); // as ext4 and XFS answer it
        }
        let above = self.ensure_upper_dir(&dir)?;
        let birth = self.birth(&above, (NewNode::File, permissions), caller, None)?;
        let staged = upper.stage_new(&Blank::File, birth.owner, &birth.lists)?;
        let orphan = upper.orphan_name();
        if let Err(error) = upper.orphan_staged(&staged, &orphan) {
            upper.discard(&staged);
            return Err(error.into());
        }
        let made = self.new_node(None, (upper.orphan_dir(), orphan.as_bytes()), None);
        if made.is_err()
            && let Err(error) = upper.drop_orphan(&orphan)
        {
            tracing::warn!("a file without a name stays until the next mount: {error}");
        }
        Ok(made?.1)
    }

    /// The node of an object that was made at `at`: in a directory under a name, or as an orphan.
    fn new_node(
        &self,
        named: Option<(&Shared, &Name)>,
        at: At<'_>,
        file: Option<&OwnedFd>,
    ) -> Result<(Shared, Looked), UnionError> {
        let stat = file.map_or_else(|| file::stat_at(at.0, at.1, Symlinks::Stop), file::stat);
        let deed = "look at a new object";
        let stat = stat.map_err(|source| UpperError::Call { deed, source })?;
        let attr = self.writable()?.attr(at, &stat)?;
        let id = NodeId(self.lower.ino_of_upper(&stat)?.0);
        loop {
            let (kind, side) = (attr.kind, Side::Upper);
            let seed = Seed { kind, lower: None, group: None, side, data: None };
            // A number that is still known belongs to an object that is gone: the file system gave it again.
            let node = match self.table.get(id) {
                Some(old) => self.replace(&old, seed),
                None => self.born(id, seed, named.map(|(dir, name)| (dir.id, name))).0,
            };
            match named {
                Some((dir, name)) => self.add_name(&node, (dir.id, name)),
                None => node.place.lock().make_nameless(at.1),
            }
            let attr = self.shown_upper(&node, attr)?;
            // The kernel may have forgotten the old object meanwhile, and its number with it.
            if self.table.count(&node) {
                let looked = Looked { id, generation: node.generation, attr };
                return Ok((node, looked));
            }
        }
    }
}

fn blank_of(new: NewNode<'_>) -> Blank<'_> {
    match new {
        NewNode::Directory => Blank::Directory,
        NewNode::File => Blank::File,
        NewNode::Symlink(target) => Blank::Symlink(target),
        NewNode::Special(special) => Blank::Special(special),
    }
}
