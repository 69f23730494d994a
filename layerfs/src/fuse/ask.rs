//! What a request asks, in the union's words; the deeds that are more than one call on the union.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fuser::{Errno, FileHandle, FopenFlags, INodeNo, OpenFlags, ReplyOpen, Request};

use super::answer;
use super::asker::Asker;
use super::door::Door;
use super::manner::{Fsync, Manner, Names, Xattrs};
use crate::sys;
use crate::sys::xattr_at::SetHow;
use crate::tree::named_ids::{self, Way};
use crate::tree::{Ids, Name, NameError, acl};
use crate::union::{Caller, HandleId, Looked, NewNode, NodeId, OpenHow, Union, UnionError};

fn refuse<T>(errno: sys::Errno) -> Result<T, UnionError> {
    Err(UnionError::Answer(errno))
}

/// An id that a request names, as it is stored.
fn stored(ids: &Ids, id: u32, request: &Request) -> Result<u32, UnionError> {
    let stored = if request.uid() == 0 { ids.stored_by_root(id) } else { ids.stored(id) };
    stored.map_or_else(|| refuse(sys::Errno::OVERFLOW), Ok)
}

/// Which way the values of attributes go that a request brings.
pub(super) fn way(request: &Request) -> Way {
    if request.uid() == 0 { Way::StoredByRoot } else { Way::Stored }
}

pub(super) fn id(ino: INodeNo) -> NodeId {
    NodeId(ino.0)
}

/// The kernel sends no name that is empty or holds a slash, and one of up to 1,024 bytes.
pub(super) fn named(name: &OsStr) -> Result<Name, Errno> {
    Name::new(name.as_bytes()).map_err(|fault| match fault {
        NameError::TooLong { .. } => Errno::ENAMETOOLONG,
        NameError::Empty | NameError::Dots | NameError::ForbiddenByte => Errno::EINVAL,
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
    pub(super) fn caller(&self, request: &Request, umask: u32) -> Result<Caller, UnionError> {
        let Manner { ids, .. } = &*self.manner;
        let uid = stored(&ids.users, request.uid(), request)?;
        let gid = stored(&ids.groups, request.gid(), request)?;
        Ok(Caller { uid, gid, umask })
    }

    /// Makes a node.
    pub(super) fn make(
        &self,
        (parent, name): (INodeNo, &Name),
        (new, mode): (NewNode<'_>, u32),
        caller: Result<Caller, UnionError>,
    ) -> Result<Looked, UnionError> {
        let made = self.union.create((id(parent), name), new, mode & 0o7777, caller?);
        self.settle_entry(parent, made)
    }

    /// An owner to be set, as it is stored.
    pub(super) fn owner(
        &self,
        (uid, gid): (Option<u32>, Option<u32>),
        request: &Request,
    ) -> Result<(Option<u32>, Option<u32>), UnionError> {
        let Manner { ids, .. } = &*self.manner;
        let uid = uid.map(|uid| stored(&ids.users, uid, request)).transpose()?;
        let gid = gid.map(|gid| stored(&ids.groups, gid, request)).transpose()?;
        Ok((uid, gid))
    }

    /// After a change of names in directories that was made: has the kernel drop their listings and, where names are to be
    /// on disk at once, syncs them.
    pub(super) fn settle<T>(
        &self,
        dirs: &[INodeNo],
        done: Result<T, UnionError>,
    ) -> Result<T, UnionError> {
        let done = done?;
        for dir in dirs {
            self.unlist(*dir);
        }
        if self.manner.names == Names::AtOnce {
            dirs.iter().try_for_each(|dir| self.union.sync_dir(id(*dir)))?;
        }
        Ok(done)
    }

    /// The same for a name that was made. One that can't be synced is not counted as looked up: the kernel is told of none.
    pub(super) fn settle_entry(
        &self,
        dir: INodeNo,
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
            Fsync::PassedOver => refuse(sys::Errno::NOSYS),
        }
    }

    /// Whether attributes are answered at all. Told once that they are not known, the kernel does not ask again.
    pub(super) fn expect_xattrs(&self) -> Result<(), UnionError> {
        match self.manner.xattrs {
            Xattrs::Known => Ok(()),
            Xattrs::Unknown => refuse(sys::Errno::NOSYS),
        }
    }

    /// The value of an attribute, with the ids in it as they are shown.
    pub(super) fn attribute(&self, ino: INodeNo, name: &[u8]) -> Result<Box<[u8]>, UnionError> {
        self.expect_xattrs()?;
        let value = self.union.xattr(id(ino), name)?;
        if self.manner.ids.keeps_all() {
            return Ok(value);
        }
        let shown = named_ids::mapped(&self.manner.ids, (name, &value), Way::Shown);
        Ok(shown.map_or_else(Vec::new, Cow::into_owned).into())
    }

    /// Makes a file and opens it.
    pub(super) fn make_open(
        &self,
        at: (INodeNo, &Name),
        mode: u32,
        caller: Result<Caller, UnionError>,
    ) -> Result<(Looked, HandleId), UnionError> {
        self.union.expect_room()?;
        let looked = self.make(at, (NewNode::File, mode), caller)?;
        let opened = self.union.open(looked.id, OpenHow::Write);
        if opened.is_err() {
            self.union.forget(looked.id, 1);
        }
        Ok((looked, opened?))
    }

    /// Opens a file, and says whether what the kernel has of its contents may stay.
    pub(super) fn answer_open(&self, ino: INodeNo, how: OpenHow, asker: &Asker, reply: ReplyOpen) {
        match self.open_stripped(ino, how, asker) {
            Ok(handle) if self.union.is_changed(handle) => {
                reply.opened(FileHandle(handle.0), FopenFlags::empty());
            }
            Ok(handle) => reply.opened(FileHandle(handle.0), FopenFlags::FOPEN_KEEP_CACHE),
            Err(error) => reply.error(answer::error(&error)),
        }
    }

    fn open_stripped(
        &self,
        ino: INodeNo,
        how: OpenHow,
        asker: &Asker,
    ) -> Result<HandleId, UnionError> {
        if !matches!(how, OpenHow::Truncate | OpenHow::TruncateToRead) {
            return self.union.open(id(ino), how);
        }
        let before = self.union.attr(id(ino))?;
        let handle = self.union.open(id(ino), how)?;
        let stripped = self.strip_emptied(asker, id(ino), &before);
        stripped.map(|()| handle).inspect_err(|_| self.union.release(handle))
    }

    /// The names of attributes. `trusted.*` is for the administrator.
    pub(super) fn attribute_names(
        &self,
        asker: &Asker,
        ino: INodeNo,
    ) -> Result<Vec<Vec<u8>>, UnionError> {
        self.expect_xattrs()?;
        let mut names = self.union.xattr_names(id(ino))?;
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
        ino: INodeNo,
        (pair, way): ((&[u8], &[u8]), Way),
        how: SetHow,
    ) -> Result<(), UnionError> {
        self.expect_xattrs()?;
        let Some(value) = named_ids::mapped(&self.manner.ids, pair, way) else {
            return refuse(sys::Errno::OVERFLOW);
        };
        self.union.set_xattr(id(ino), (pair.0, &value), how)?;
        if pair.0 == acl::ACCESS { self.strip_listed(asker, ino) } else { Ok(()) }
    }
}

/// What a file is opened for.
pub(super) fn open_how(flags: OpenFlags) -> OpenHow {
    let has = |flag: i32| flags.0 & flag != 0;
    let reads = flags.0 & open_flag::ACCESS == open_flag::READ;
    match (has(open_flag::TRUNCATE), reads) {
        (true, true) => OpenHow::TruncateToRead,
        (true, false) => OpenHow::Truncate,
        (false, true) if has(open_flag::EXEC) => OpenHow::Run,
        (false, true) => OpenHow::Read,
        (false, false) => OpenHow::Write,
    }
}

/// Whether an attribute may or must be there: `XATTR_CREATE` is 1, `XATTR_REPLACE` 2, and the kernel lets no other bit in.
pub(super) fn set_how(flags: i32) -> SetHow {
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
    /// `__FMODE_EXEC`, with which the kernel opens programs and their interpreters. From a user it takes no such flag.
    pub const EXEC: i32 = 0x20;
}
