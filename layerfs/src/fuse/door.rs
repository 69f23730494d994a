//! The callbacks: each translates, makes one call on the union, and answers.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use fuser::{
    BsdFileFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, KernelConfig,
    LockOwner, Notifier, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite,
    ReplyXattr, Request, TimeOrNow, WriteFlags,
};

use super::answer::{self, emptied, sized};
use super::aside::{Aside, Takes};
use super::ask::{id, name_or_error, open_how, set_how, way};
use super::manner::Manner;
use super::{listing, session};
use crate::sys::change::Special;
use crate::tree::Kind;
use crate::union::{HandleId, NewNode, OpenHow, RenameHow, RenameTried, SetAttr, Union};

/// A union behind a FUSE connection.
#[derive(Clone)]
pub(super) struct Door {
    pub union: Arc<Union>,
    /// Where what takes long is done.
    pub aside: Option<Aside>,
    /// How it answers.
    pub manner: Arc<Manner>,
    /// Whether user 0 of a request is root of the machine, and no other namespace's.
    pub is_zero_root: bool,
    /// By which the kernel is told what it does not ask for; there once the connection is.
    pub notifier: Arc<OnceLock<Notifier>>,
    /// Where what was agreed with the kernel is told.
    pub agreed: Arc<OnceLock<String>>,
}

impl Filesystem for Door {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        let (acls, xattrs) = (self.union.acls(), self.manner.xattrs);
        self.agreed.get_or_init(|| session::negotiate(config, acls, xattrs));
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = name_or_error!(name, reply);
        match self.union.lookup(id(parent), &name) {
            // An entry with number 0 is a name that the kernel may remember as absent.
            Err(error) if error.errno() == crate::sys::Errno::NOENT => {
                reply.entry(&self.belief_in_absence(), &session::absent(), Generation(0));
            }
            looked => self.entered(reply, looked),
        }
    }

    fn forget(&self, _request: &Request, ino: INodeNo, nlookup: u64) {
        self.union.forget(id(ino), nlookup);
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        self.told(reply, id(ino), self.union.attr(id(ino)));
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let (atime, mtime) = (answer::set_time(atime), answer::set_time(mtime));
        let permissions = mode.map(|mode| mode & 0o7777);
        let (uid, gid) = match self.owner((uid, gid), request) {
            Ok(owner) => owner,
            Err(error) => return reply.error(answer::error(&error)),
        };
        let set = SetAttr { permissions, uid, gid, size, atime, mtime };
        let asker = self.asker(request);
        self.serve(self.change_takes(ino), move |door| {
            door.told(reply, id(ino), door.change(&asker, ino, &set));
        });
    }

    fn readlink(&self, _request: &Request, ino: INodeNo, reply: ReplyData) {
        match self.union.read_link(id(ino)) {
            Ok(target) => reply.data(&target),
            Err(error) => reply.error(answer::error(&error)),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        let name = name_or_error!(name, reply);
        let (major, minor) = answer::major_minor(rdev);
        let new = match Kind::from_mode(mode) {
            Some(Kind::File) => NewNode::File,
            Some(Kind::Fifo) => NewNode::Special(Special::Fifo),
            Some(Kind::Socket) => NewNode::Special(Special::Socket),
            Some(Kind::CharDevice) => NewNode::Special(Special::Character { major, minor }),
            Some(Kind::BlockDevice) => NewNode::Special(Special::Block { major, minor }),
            Some(Kind::Directory | Kind::Symlink) | None => return reply.error(Errno::EINVAL),
        };
        let caller = self.caller(request, umask);
        self.serve(self.names_take(), move |door| {
            door.entered(reply, door.make((parent, &name), (new, mode), caller));
        });
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let name = name_or_error!(name, reply);
        let (new, caller) = (NewNode::Directory, self.caller(request, umask));
        self.serve(self.names_take(), move |door| {
            door.entered(reply, door.make((parent, &name), (new, mode), caller));
        });
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name_or_error!(name, reply);
        self.serve(self.names_take(), move |door| {
            emptied(reply, door.settle(&[parent], door.union.unlink(id(parent), &name)));
        });
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name_or_error!(name, reply);
        self.serve(self.names_take(), move |door| {
            emptied(reply, door.settle(&[parent], door.union.rmdir(id(parent), &name)));
        });
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let name = name_or_error!(name, reply);
        let (target, caller) = (target.as_os_str().as_bytes().to_vec(), self.caller(request, 0));
        self.serve(self.link_takes(), move |door| {
            let new = (NewNode::Symlink(&target), 0o777);
            door.entered(reply, door.make((parent, &name), new, caller));
        });
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let (name, newname) = (name_or_error!(name, reply), name_or_error!(newname, reply));
        let how = match flags {
            flags if flags.is_empty() => RenameHow::Replace,
            RenameFlags::RENAME_NOREPLACE => RenameHow::NoReplace,
            RenameFlags::RENAME_EXCHANGE => RenameHow::Exchange,
            flags if flags.contains(RenameFlags::RENAME_WHITEOUT) => RenameHow::Whiteout,
            _ => return reply.error(Errno::EINVAL),
        };
        let (from, to) = (id(parent), id(newparent));
        self.serve(self.names_take(), move |door| {
            match door.union.try_rename((from, &name), (to, &newname), how) {
                Ok(RenameTried::WouldLast(copies)) => door.serve(copies.into(), move |door| {
                    let renamed = door.union.rename((from, &name), (to, &newname), how);
                    emptied(reply, door.settle(&[newparent, parent], renamed));
                }),
                tried => emptied(reply, door.settle(&[newparent, parent], tried.map(|_| ()))),
            }
        });
    }

    fn link(
        &self,
        _request: &Request,
        ino: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        let name = name_or_error!(newname, reply);
        self.serve(self.change_takes(ino).max(self.names_take()), move |door| {
            let linked = door.union.link(id(ino), id(newparent), &name);
            door.entered(reply, door.settle_entry(newparent, linked));
        });
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let (how, asker) = (open_how(flags), self.asker(request));
        let takes = match how {
            OpenHow::Read | OpenHow::Run => Takes::Short,
            OpenHow::Write | OpenHow::Truncate => self.change_takes(ino),
            // It may wait for the close of a program.
            OpenHow::TruncateToRead => Takes::Long,
        };
        self.serve(takes, move |door| door.answer_open(ino, how, &asker, reply));
    }

    fn read(
        &self,
        _request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut buf = vec![0; usize::try_from(size).unwrap_or(0)];
        match self.union.read(HandleId(fh.0), &mut buf, offset) {
            Ok(len) => reply.data(&buf[..len]),
            Err(error) => reply.error(answer::error(&error)),
        }
    }

    fn write(
        &self,
        _request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.union.write(HandleId(fh.0), data, offset) {
            // The kernel never sends more than fits the field of the answer.
            Ok(len) => reply.written(u32::try_from(len).unwrap_or(u32::MAX)),
            Err(error) => reply.error(answer::error(&error)),
        }
    }

    /// Nothing waits for a close: data is with the upper's file system when a write is answered. The kernel does not
    /// ask again.
    fn flush(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn release(
        &self,
        _request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.union.release(HandleId(fh.0));
        emptied(reply, Ok(()));
    }

    fn fsync(
        &self,
        _request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.serve(self.sync_takes(), move |door| {
            emptied(reply, door.sync(|union| union.sync(HandleId(fh.0))));
        });
    }

    /// Directories need no handle: cookies hold for as long as the directory is known. But without one the kernel keeps
    /// listings, and has no way to see that the lower part of a merged directory changed.
    fn opendir(&self, _request: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        if self.expects_changes() {
            reply.opened(FileHandle(0), FopenFlags::empty());
        } else {
            reply.error(Errno::ENOSYS);
        }
    }

    fn readdir(
        &self,
        _request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listed = listing::list(&self.union, id(ino), offset, |entry| {
            !reply.add(entry.ino, entry.cookie, entry.kind, OsStr::from_bytes(entry.bytes))
        });
        match listed {
            Ok(()) => {
                reply.ok(); // tidy: allow(hushed_result) it sends the reply, there is no result
            }
            Err(error) => reply.error(answer::error(&error)),
        }
    }

    fn readdirplus(
        &self,
        _request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        match listing::list_plus(self, id(ino), offset, &mut reply) {
            Ok(()) => {
                reply.ok(); // tidy: allow(hushed_result) it sends the reply, there is no result
            }
            Err(error) => reply.error(answer::error(&error)),
        }
    }

    fn fsyncdir(
        &self,
        _request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        self.serve(self.sync_takes(), move |door| {
            emptied(reply, door.sync(|union| union.sync_dir(id(ino))));
        });
    }

    fn statfs(&self, _request: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        answer::filesystem(reply, self.union.filesystem());
    }

    fn setxattr(
        &self,
        request: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        let how = set_how(flags);
        let (asker, way) = (self.asker(request), way(request));
        let (name, value) = (name.as_bytes().to_vec(), value.to_vec());
        self.serve(self.change_takes(ino), move |door| {
            emptied(reply, door.set_attribute(&asker, ino, ((&name, &value), way), how));
        });
    }

    fn getxattr(
        &self,
        _request: &Request,
        ino: INodeNo,
        name: &OsStr,
        size: u32,
        reply: ReplyXattr,
    ) {
        match self.attribute(ino, name.as_bytes()) {
            Ok(value) => sized(reply, &value, size),
            Err(error) => reply.error(answer::error(&error)),
        }
    }

    fn listxattr(&self, request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        match self.attribute_names(&self.asker(request), ino) {
            Ok(names) => {
                let list: Vec<u8> =
                    names.iter().flat_map(|name| name.iter().copied().chain([0])).collect();
                sized(reply, &list, size);
            }
            Err(error) => reply.error(answer::error(&error)),
        }
    }

    fn removexattr(&self, _request: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.as_bytes().to_vec();
        self.serve(self.change_takes(ino), move |door| {
            let known = door.expect_xattrs();
            emptied(reply, known.and_then(|()| door.union.remove_xattr(id(ino), &name)));
        });
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let name = name_or_error!(name, reply);
        let caller = self.caller(request, umask);
        self.serve(self.names_take(), move |door| {
            door.created(reply, door.make_open((parent, &name), mode, caller));
        });
    }

    fn fallocate(
        &self,
        _request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        emptied(reply, self.union.allocate(HandleId(fh.0), mode.unsigned_abs(), offset, length));
    }

    fn lseek(
        &self,
        _request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        // Only SEEK_DATA (3) and SEEK_HOLE (4) reach a server.
        let Ok(from) = u64::try_from(offset) else { return reply.error(Errno::ENXIO) };
        let found = match whence {
            3 => self.union.seek_data(HandleId(fh.0), from),
            4 => self.union.seek_hole(HandleId(fh.0), from),
            _ => return reply.error(Errno::EINVAL),
        };
        match found {
            Ok(at) => reply.offset(i64::try_from(at).unwrap_or(i64::MAX)),
            Err(error) => reply.error(answer::error(&error)),
        }
    }
}
