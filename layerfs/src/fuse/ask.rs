//! What a request asks, in the union's words; the deeds that are more than one call on the union.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fuser::{Errno, FileHandle, FopenFlags, INodeNo, OpenFlags, ReplyOpen, Request};

use super::answer;
use super::door::Door;
use crate::sys::xattr_at::SetHow;
use crate::tree::{Attr, Name, NameError, acl};
use crate::union::{Caller, HandleId, Looked, NewNode, NodeId, OpenHow, SetAttr, UnionError};

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

pub(super) fn caller(request: &Request, umask: u32) -> Caller {
    Caller { uid: request.uid(), gid: request.gid(), umask }
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
    pub(super) fn make(
        &self,
        (parent, name): (INodeNo, &Name),
        new: NewNode<'_>,
        mode: u32,
        caller: Caller,
    ) -> Result<Looked, UnionError> {
        self.union.create((id(parent), name), new, mode & 0o7777, caller)
    }

    /// Makes a file and opens it.
    pub(super) fn make_open(
        &self,
        at: (INodeNo, &Name),
        mode: u32,
        caller: Caller,
    ) -> Result<(Looked, HandleId), UnionError> {
        let looked = self.make(at, NewNode::File, mode, caller)?;
        let opened = self.union.open(looked.id, OpenHow::Write);
        if opened.is_err() {
            self.union.forget(looked.id, 1);
        }
        Ok((looked, opened?))
    }

    /// Whether a caller has root's rights to the whole machine, and not to a user namespace.
    fn is_root(&self, caller: u32) -> bool {
        caller == 0 && self.is_zero_root
    }

    /// A change of size by anyone but root takes set-id bits and capabilities away. The kernel says so with a flag that
    /// the crate does not pass on.
    pub(super) fn stripped(
        &self,
        caller: u32,
        ino: INodeNo,
        attr: Attr,
    ) -> Result<Attr, UnionError> {
        if self.is_root(caller) || attr.permissions & 0o6000 == 0 {
            return Ok(attr);
        }
        self.union.set_attr(id(ino), &SetAttr::default())
    }

    /// Opens a file, and says whether what the kernel has of its contents may stay.
    pub(super) fn answer_open(&self, ino: INodeNo, how: OpenHow, caller: u32, reply: ReplyOpen) {
        match self.open_stripped(ino, how, caller) {
            Ok(handle) if self.union.is_changed(handle) => {
                reply.opened(FileHandle(handle.0), FopenFlags::empty());
            }
            Ok(handle) => reply.opened(FileHandle(handle.0), FopenFlags::FOPEN_KEEP_CACHE),
            Err(error) => reply.error(answer::error(&error)),
        }
    }

    /// As [`Door::stripped`], for a file that is emptied as it is opened. The answer to an open says nothing of the
    /// attributes, and the kernel believes to know the mode. Where this process is not root of the machine, the upper's
    /// file system strips the file by itself.
    fn open_stripped(
        &self,
        ino: INodeNo,
        how: OpenHow,
        caller: u32,
    ) -> Result<HandleId, UnionError> {
        if how != OpenHow::Truncate || self.is_root(caller) {
            return self.union.open(id(ino), how);
        }
        let before = self.union.attr(id(ino))?;
        let handle = self.union.open(id(ino), how)?;
        let emptied = self.union.attr(id(ino));
        match emptied.and_then(|attr| self.stripped(caller, ino, attr)) {
            Ok(after) => {
                if before.permissions != after.permissions {
                    self.disbelieve(id(ino));
                }
                Ok(handle)
            }
            Err(error) => {
                self.union.release(handle);
                Err(error)
            }
        }
    }

    /// The names of attributes. `trusted.*` is for the administrator, whom a request shows by its user alone.
    pub(super) fn attribute_names(
        &self,
        request: &Request,
        ino: INodeNo,
    ) -> Result<Vec<Vec<u8>>, UnionError> {
        let mut names = self.union.xattr_names(id(ino))?;
        let is_root = self.is_root(request.uid());
        names.retain(|name| is_root || !name.starts_with(b"trusted."));
        Ok(names)
    }

    /// Sets an attribute. Who gives a file an access control list, and is neither root nor of its group, takes its
    /// set-group-id bit away: the kernel says so with a flag that the crate does not pass on. Other groups of the caller
    /// than the first are not known here.
    pub(super) fn set_attribute(
        &self,
        caller: Caller,
        ino: INodeNo,
        pair: (&[u8], &[u8]),
        how: SetHow,
    ) -> Result<(), UnionError> {
        self.union.set_xattr(id(ino), pair, how)?;
        if pair.0 != acl::ACCESS || caller.uid == 0 {
            return Ok(());
        }
        let attr = self.union.attr(id(ino))?;
        if attr.permissions & 0o2000 != 0 && attr.gid != caller.gid {
            let permissions = Some(attr.permissions & !0o2000);
            self.union.set_attr(id(ino), &SetAttr { permissions, ..SetAttr::default() })?;
        }
        Ok(())
    }
}

/// What a file is opened for.
pub(super) fn open_how(flags: OpenFlags) -> OpenHow {
    if flags.0 & open_flag::TRUNCATE != 0 {
        OpenHow::Truncate
    } else if flags.0 & open_flag::ACCESS == open_flag::READ {
        OpenHow::Read
    } else {
        OpenHow::Write
    }
}

/// The bits of `open(2)` flags that decide here; the kernel's numbers on every architecture that FUSE runs on.
mod open_flag {
    pub const ACCESS: i32 = 3;
    pub const READ: i32 = 0;
    pub const TRUNCATE: i32 = 0o1000;
}
