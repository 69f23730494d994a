//! What a request asks, in the union's words; the deeds that are more than one call on the union.

use std::borrow::Cow;

use super::answer;
use super::asker::Asker;
use super::backing::{Begun, Opened};
use super::door::Door;
use super::faces::Face;
use super::manner::{Fsync, Manner, Names, Xattrs};
use crate::sys::Errno;
use crate::sys::xattr_at::SetHow;
use crate::tree::named_ids::{self, Way};
use crate::tree::{Ids, Name, NameError, acl};
use crate::union::{Caller, HandleId, Looked, NewNode, NodeId, OpenHow, Union, UnionError};
use crate::wire::{Asked, Reply};

fn refuse<T>(errno: Errno) -> Result<T, UnionError> {
    Err(UnionError::Answer(errno))
}

/// An id that a request names, as it is stored.
fn stored(ids: &Ids, id: u32, asked: &Asked) -> Result<u32, UnionError> {
    let stored = if asked.uid == 0 { ids.stored_by_root(id) } else { ids.stored(id) };
    stored.map_or_else(|| refuse(Errno::OVERFLOW), Ok)
}

/// Which way the values of attributes go that a request brings.
pub(super) fn way(asked: &Asked) -> Way {
    if asked.uid == 0 { Way::StoredByRoot } else { Way::Stored }
}

/// The kernel sends no name that is empty or holds a slash, and one of up to 1,024 bytes.
pub(super) fn named(name: &[u8]) -> Result<Name, Errno> {
    Name::new(name).map_err(|fault| match fault {
        NameError::TooLong { .. } => Errno::NAMETOOLONG,
        NameError::Empty | NameError::Dots | NameError::ForbiddenByte => Errno::INVAL,
    })
}

/// Answers with a name's request, or the refusal of the name.
macro_rules! name_or_error {
    ($name:expr, $reply:expr) => {
        match $crate::fuse::ask::named($name) {
            Ok(name) => name,
            Err(errno) => return $reply.error(errno),
        }
    };
}
pub(super) use name_or_error;

impl Door {
    /// Who makes something. Who has no id that could be stored makes nothing.
    pub(super) fn caller(&self, asked: &Asked, umask: u32) -> Result<Caller, UnionError> {
        let Manner { ids, .. } = &*self.manner;
        let uid = stored(&ids.users, asked.uid, asked)?;
        let gid = stored(&ids.groups, asked.gid, asked)?;
        Ok(Caller { uid, gid, umask })
    }

    /// Makes a node.
    pub(super) fn make(
        &self,
        (parent, name): (NodeId, &Name),
        (new, mode): (NewNode<'_>, u32),
        caller: Result<Caller, UnionError>,
    ) -> Result<Looked, UnionError> {
        let made = self.union.create((parent, name), new, mode & 0o7777, caller?);
        self.settle_entry(parent, made)
    }

    /// An owner to be set, as it is stored.
    pub(super) fn owner(
        &self,
        (uid, gid): (Option<u32>, Option<u32>),
        asked: &Asked,
    ) -> Result<(Option<u32>, Option<u32>), UnionError> {
        let Manner { ids, .. } = &*self.manner;
        let uid = uid.map(|uid| stored(&ids.users, uid, asked)).transpose()?;
        let gid = gid.map(|gid| stored(&ids.groups, gid, asked)).transpose()?;
        Ok((uid, gid))
    }

    /// After a change of names in directories that was made: has the kernel drop their listings and, where names are to be
    /// on disk at once, syncs them.
    pub(super) fn settle<T>(
        &self,
        dirs: &[NodeId],
        done: Result<T, UnionError>,
    ) -> Result<T, UnionError> {
        let done = done?;
        for dir in dirs {
            self.unlist(*dir);
        }
        if self.manner.names == Names::AtOnce {
            dirs.iter().try_for_each(|dir| self.union.sync_dir(*dir))?;
        }
        Ok(done)
    }

    /// The same for a name that was made. One that can't be synced is not counted as looked up: the kernel is told of none.
    pub(super) fn settle_entry(
        &self,
        dir: NodeId,
        made: Result<Looked, UnionError>,
    ) -> Result<Looked, UnionError> {
        let looked = made?;
        if let Err(error) = self.settle(&[dir], Ok(())) {
            self.union.forget(looked.id, 1);
            return Err(error);
        }
        Ok(looked)
    }

    /// Syncs, where that is asked for in earnest. Told once that it is not, the kernel does not ask again, and answers that
    /// it is done.
    pub(super) fn sync(
        &self,
        deed: impl FnOnce(&Union) -> Result<(), UnionError>,
    ) -> Result<(), UnionError> {
        match self.manner.fsync {
            Fsync::Done => deed(&self.union),
            Fsync::PassedOver => refuse(Errno::NOSYS),
        }
    }

    /// Whether attributes are answered at all. Told once that they are not known, the kernel does not ask again.
    pub(super) fn expect_xattrs(&self) -> Result<(), UnionError> {
        match self.manner.xattrs {
            Xattrs::Known => Ok(()),
            Xattrs::Unknown => refuse(Errno::NOSYS),
        }
    }

    /// The value of an attribute, with the ids in it as they are shown.
    pub(super) fn attribute(&self, node: NodeId, name: &[u8]) -> Result<Box<[u8]>, UnionError> {
        self.expect_xattrs()?;
        let value = self.union.xattr(node, name)?;
        if self.manner.ids.keeps_all() {
            return Ok(value);
        }
        let shown = named_ids::mapped(&self.manner.ids, (name, &value), Way::Shown);
        Ok(shown.map_or_else(Vec::new, Cow::into_owned).into())
    }

    /// Makes a file and opens it.
    pub(super) fn make_open(
        &self,
        at: (NodeId, &Name),
        mode: u32,
        caller: Result<Caller, UnionError>,
    ) -> Result<(Looked, HandleId), UnionError> {
        let (looked, handle) = self.union.create_open(at, mode & 0o7777, caller?)?;
        let settled = self.settle_entry(at.0, Ok(looked));
        if settled.is_err() {
            self.union.release(handle);
        }
        Ok((settled?, handle))
    }

    /// Makes a file without a name and opens it.
    pub(super) fn make_nameless(
        &self,
        dir: NodeId,
        mode: u32,
        caller: Result<Caller, UnionError>,
    ) -> Result<(Looked, HandleId), UnionError> {
        self.union.expect_room()?;
        self.union.open_made(self.union.create_nameless(dir, mode & 0o7777, caller?)?)
    }

    /// Opens a file, and says how it is served.
    pub(super) fn answer_open(&self, face: Face, flags: i32, asker: &Asker, reply: Reply) {
        let (node, how) = (self.backing.faces.node(face), open_how(flags));
        let writes = !matches!(how, OpenHow::Read | OpenHow::Run);
        if writes && !self.backing.expect_writer((face, node)) {
            return self.open_elsewhere(node, reply);
        }
        let may_write = if writes { self.expect_no_run(face, node) } else { Ok(()) };
        match may_write.and_then(|()| self.open_stripped(node, how, asker)) {
            Ok(handle) => match self.served(face, handle, flags) {
                Some(begun) => {
                    if begun.is_first_writer {
                        // What the kernel knows of it would be believed beside what goes past us.
                        self.disbelieve(node);
                    }
                    let is_taken = reply.opened(begun.answer);
                    self.opened((face, handle), is_taken);
                }
                None => {
                    self.union.release(handle);
                    self.open_elsewhere(node, reply);
                }
            },
            Err(error) => {
                if writes {
                    self.backing.expect_none(face);
                }
                answer::refuse(reply, &error);
            }
        }
    }

    /// Refuses to change the contents of a program that runs, where it may have been started by another number: of those that
    /// run by the same one the kernel itself keeps who writes away.
    pub(super) fn expect_no_run(&self, face: Face, node: NodeId) -> Result<(), UnionError> {
        if self.backing.faces.is_second(face) { self.union.expect_no_run(node) } else { Ok(()) }
    }

    /// Has the kernel look a name up once more before it opens it: it is found under another number now.
    fn open_elsewhere(&self, node: NodeId, reply: Reply) {
        // It would go on believing what it knows under the first.
        self.disbelieve(node);
        reply.error(Errno::STALE);
    }

    /// How an open file is served: by the kernel itself, or by us; `None` where another number is to be opened.
    pub(super) fn served(&self, face: Face, handle: HandleId, flags: i32) -> Option<Begun> {
        let file = self.union.opened(handle).ok()?;
        let by_us = flags & (open_flag::APPEND | open_flag::DIRECT) != 0;
        let is_given = self.backing.is_agreed() && !by_us && self.given.has(&file);
        let opened = Opened { file: &file, by_us, is_given };
        self.backing.open(&self.kernel, (face, handle.0), &opened)
    }

    /// Who asked for an open file may have gone, and nobody will close it.
    pub(super) fn opened(&self, (face, handle): (Face, HandleId), is_taken: bool) {
        if !is_taken {
            self.close(face, handle);
        }
    }

    /// Closes an open file.
    pub(super) fn close(&self, face: Face, handle: HandleId) {
        let Ok(file) = self.union.opened(handle) else { return };
        let told = self.backing.close(&self.kernel, face, &file);
        if told.is_some() && told != file.changed_at() {
            self.disbelieve(file.node());
        }
        drop(file);
        self.union.release(handle);
    }

    fn open_stripped(
        &self,
        node: NodeId,
        how: OpenHow,
        asker: &Asker,
    ) -> Result<HandleId, UnionError> {
        if !matches!(how, OpenHow::Truncate | OpenHow::TruncateToRead) {
            return self.union.open(node, how);
        }
        let before = self.union.attr(node)?;
        let handle = self.union.open(node, how)?;
        let stripped = self.strip_emptied(asker, node, &before);
        stripped.map(|()| handle).inspect_err(|_| self.union.release(handle))
    }

    /// The names of attributes. `trusted.*` is for the administrator.
    pub(super) fn attribute_names(
        &self,
        asker: &Asker,
        node: NodeId,
    ) -> Result<Vec<Vec<u8>>, UnionError> {
        self.expect_xattrs()?;
        let mut names = self.union.xattr_names(node)?;
        let is_trusted = |name: &[u8]| name.starts_with(b"trusted.");
        if names.iter().any(|name| is_trusted(name)) && !self.sees_trusted(asker) {
            names.retain(|name| !is_trusted(name));
        }
        Ok(names)
    }

    /// Sets an attribute.
    pub(super) fn set_attribute(
        &self,
        asker: &Asker,
        node: NodeId,
        (pair, way): ((&[u8], &[u8]), Way),
        how: SetHow,
    ) -> Result<(), UnionError> {
        self.expect_xattrs()?;
        let Some(value) = named_ids::mapped(&self.manner.ids, pair, way) else {
            return refuse(Errno::OVERFLOW);
        };
        self.union.set_xattr(node, (pair.0, &value), how)?;
        if pair.0 == acl::ACCESS { self.strip_listed(asker, node) } else { Ok(()) }
    }
}

/// `FOPEN_KEEP_CACHE`: what the kernel has of the contents stays.
pub(super) const KEEP_CACHE: u32 = 1 << 1;

/// What a file is opened for.
pub(super) fn open_how(flags: i32) -> OpenHow {
    let has = |flag: i32| flags & flag != 0;
    let reads = flags & open_flag::ACCESS == open_flag::READ;
    match (has(open_flag::TRUNCATE), reads) {
        (true, true) => OpenHow::TruncateToRead,
        (true, false) => OpenHow::Truncate,
        (false, true) if has(open_flag::EXEC) => OpenHow::Run,
        (false, true) => OpenHow::Read,
        (false, false) => OpenHow::Write,
    }
}

/// Whether an attribute may or must be there: `XATTR_CREATE` is 1, `XATTR_REPLACE` 2, and the kernel lets no other bit in.
pub(super) fn set_how(flags: u32) -> SetHow {
    match (flags & 1 != 0, flags & 2 != 0) {
        (false, false) => SetHow::Any,
        (true, false) => SetHow::Create,
        (false, true) => SetHow::Replace,
        (true, true) => SetHow::CreateAndReplace,
    }
}

/// The bits of `open(2)` flags that decide here; the kernel's numbers on every architecture that FUSE runs on.
mod open_flag {
    pub const ACCESS: i32 = 3;
    pub const READ: i32 = 0;
    pub const TRUNCATE: i32 = 0o1000;
    pub const APPEND: i32 = 0o2000;
    /// The one flag that architectures number differently.
    pub const DIRECT: i32 = crate::sys::fuse_device::O_DIRECT;
    /// `__FMODE_EXEC`, with which the kernel opens programs and their interpreters. From a user it takes no such flag.
    pub const EXEC: i32 = 0x20;
}
