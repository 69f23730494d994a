//! What a request asks, in the union's words; the two deeds that are more than one call on the union.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fuser::{Errno, INodeNo, OpenFlags, Request};

use super::door::Door;
use crate::tree::{Attr, Name};
use crate::union::{Caller, HandleId, Looked, NewNode, NodeId, OpenHow, SetAttr, UnionError};

pub(super) fn id(ino: INodeNo) -> NodeId {
    NodeId(ino.0)
}

/// The kernel checks the length of names and sends none that is empty or holds a slash.
pub(super) fn named(name: &OsStr) -> Result<Name, Errno> {
    Name::new(name.as_bytes()).map_err(|_| Errno::EINVAL)
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

    /// A change of size by anyone but root takes set-id bits and capabilities away. The kernel says so with a flag that
    /// the crate does not pass on.
    pub(super) fn stripped(
        &self,
        request: &Request,
        ino: INodeNo,
        attr: Attr,
    ) -> Result<Attr, UnionError> {
        if request.uid() == 0 || attr.permissions & 0o6000 == 0 {
            return Ok(attr);
        }
        self.union.set_attr(id(ino), &SetAttr::default())
    }

    /// The same for a file that was emptied as it was opened.
    pub(super) fn stripped_open(
        &self,
        request: &Request,
        ino: INodeNo,
        handle: HandleId,
    ) -> Result<HandleId, UnionError> {
        let stripped = self.union.attr(id(ino)).and_then(|attr| self.stripped(request, ino, attr));
        if stripped.is_err() {
            self.union.release(handle);
        }
        stripped.map(|_| handle)
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
