//! The requests: each is translated, makes one call on the union, and is answered.

use std::sync::Arc;

use super::answer::{self, emptied, refuse, sized};
use super::aside::{Aside, Takes};
use super::ask::{name_or_error, open_how, set_how, way};
use super::backing::Backing;
use super::buffers::Buffers;
use super::faces::Face;
use super::given::Given;
use super::listing;
use super::manner::Manner;
use crate::sys::Errno;
use crate::sys::change::Special;
use crate::sys::file::AtOnce;
use crate::tree::Kind;
use crate::union::{
    HandleId, NewNode, NodeId, OpenHow, RenameHow, RenameTried, SetAttr, Touches, Union, UnionError,
};
use crate::wire::form::{OpenOut, SetAttrIn, set};
use crate::wire::{Answer, Ask, Asked, Entry, Kernel, Lead, Listing, Reply};

/// A union behind a FUSE connection.
#[derive(Clone)]
pub(super) struct Door {
    pub union: Arc<Union>,
    /// Where what takes long is done.
    pub aside: Aside,
    /// How it answers.
    pub manner: Arc<Manner>,
    /// Whether user 0 of a request is root of the machine, and no other namespace's.
    pub is_zero_root: bool,
    /// Which open files the kernel reads and writes itself.
    pub backing: Arc<Backing>,
    /// Which lower files it is given.
    pub given: Given,
    /// Room for what is read.
    pub buffers: Buffers,
    /// Whether a request that cuts a file says if who asks keeps set-id bits.
    pub says_kept: bool,
    /// Whom to tell what it does not ask for.
    pub kernel: Kernel,
}

impl Answer for Door {
    fn forget(&self, node: u64, lookups: u64) {
        let face = Face(node);
        let node = self.backing.faces.node(face);
        self.union.forget(node, lookups);
        self.backing.forget((face, node), lookups, self.union.is_known(node));
    }

    fn answer(&self, asked: Asked, ask: Ask<'_>, reply: Reply, lead: &dyn Lead) {
        let node = self.node(&asked);
        match ask {
            Ask::Lookup { name } => self.lookup(node, name, reply),
            Ask::Attr => self.told(reply, node, self.union.attr(node)),
            Ask::SetAttr(change) => self.set_attr(&asked, change, reply),
            Ask::ReadLink => match self.union.read_link(node) {
                Ok(target) => reply.bytes(&target),
                Err(error) => refuse(reply, &error),
            },
            Ask::Symlink { name, target } => {
                let name = name_or_error!(name, reply);
                let (target, caller) = (target.to_vec(), self.caller(&asked, 0));
                self.serve(self.link_takes(), move |door| {
                    let new = (NewNode::Symlink(&target), 0o777);
                    door.entered(reply, door.make((node, &name), new, caller));
                });
            }
            Ask::MakeNode { name, mode, rdev, umask } => {
                self.make_node(&asked, (name, (mode, umask), rdev), reply);
            }
            Ask::MakeDir { name, mode, umask } => {
                let name = name_or_error!(name, reply);
                let (new, caller) = (NewNode::Directory, self.caller(&asked, umask));
                self.serve(self.names_take(), move |door| {
                    door.entered(reply, door.make((node, &name), (new, mode), caller));
                });
            }
            Ask::Unlink { name } => {
                let name = name_or_error!(name, reply);
                self.serve(self.names_take(), move |door| {
                    emptied(reply, door.settle(&[node], door.union.unlink(node, &name)));
                });
            }
            Ask::RemoveDir { name } => {
                let name = name_or_error!(name, reply);
                self.serve(self.names_take(), move |door| {
                    emptied(reply, door.settle(&[node], door.union.rmdir(node, &name)));
                });
            }
            Ask::Rename { name, to, to_name, flags } => {
                self.rename((node, name), (NodeId(to), to_name), flags, reply);
            }
            Ask::Link { node: linked, name } => {
                let linked = self.backing.faces.node(Face(linked));
                self.link(linked, (node, name), reply);
            }
            Ask::Create { name, flags, mode, umask } => {
                self.create(&asked, (name, flags, (mode, umask)), reply);
            }
            Ask::CreateNameless { flags, mode, umask } => {
                let caller = self.caller(&asked, umask);
                self.created(reply, self.make_nameless(node, mode, caller), flags);
            }
            Ask::Read { handle, offset, size } => {
                self.read(HandleId(handle), (offset, size), reply, lead);
            }
            ask => self.answer_of_open(&asked, ask, reply),
        }
    }
}

impl Door {
    /// The node that a request names.
    fn node(&self, asked: &Asked) -> NodeId {
        self.backing.faces.node(Face(asked.node))
    }

    /// Requests about open files, listings and attributes.
    fn answer_of_open(&self, asked: &Asked, ask: Ask<'_>, reply: Reply) {
        let node = self.node(asked);
        match ask {
            Ask::Open { flags, strips } => self.open(asked, (flags, strips), reply),
            Ask::Write { handle, offset, data, strips, is_late } => {
                let written = self.write(asked, (HandleId(handle), strips), (offset, data));
                match written {
                    // The kernel takes what a mapping left for written whatever the answer counts, and tells only an error.
                    Ok(len) if is_late && len < data.len() => reply.error(Errno::NOSPC),
                    // It never sends more than fits the field of the answer.
                    Ok(len) => reply.size(u32::try_from(len).unwrap_or(u32::MAX)),
                    Err(error) => refuse(reply, &error),
                }
            }
            Ask::Release { handle } => {
                self.close(Face(asked.node), HandleId(handle));
                reply.done();
            }
            Ask::Sync { handle } => {
                self.serve(self.sync_takes(), move |door| {
                    emptied(reply, door.sync(|union| union.sync(HandleId(handle))));
                });
            }
            Ask::SyncDir => self.serve(self.sync_takes(), move |door| {
                emptied(reply, door.sync(|union| union.sync_dir(node)));
            }),
            Ask::OpenDir => self.open_dir(reply),
            Ask::ReleaseDir => reply.done(),
            Ask::ReadDir { offset, size } => {
                let mut listing = Listing::new(size);
                let listed = listing::list(&self.union, node, offset, |entry| {
                    let (ino, cookie, kind, name) =
                        (entry.ino, entry.cookie, entry.kind, entry.bytes);
                    listing.add(None, Entry { ino, cookie, kind, name })
                });
                match listed {
                    Ok(()) => reply.bytes(listing.bytes()),
                    Err(error) => refuse(reply, &error),
                }
            }
            Ask::ReadDirPlus { offset, size } => {
                let mut listing = Listing::new(size);
                match listing::list_plus(self, node, offset, &mut listing) {
                    Ok(()) => reply.bytes(listing.bytes()),
                    Err(error) => refuse(reply, &error),
                }
            }
            Ask::Allocate { handle, offset, len, mode } => {
                self.serve(self.whole_takes(node), move |door| {
                    emptied(reply, door.union.allocate(HandleId(handle), mode, offset, len));
                });
            }
            Ask::Seek { handle, offset, whence } => self.seek(handle, (offset, whence), reply),
            Ask::StatFs => answer::figures(reply, self.union.filesystem()),
            ask => self.answer_of_attribute(asked, ask, reply),
        }
    }

    fn answer_of_attribute(&self, asked: &Asked, ask: Ask<'_>, reply: Reply) {
        let node = self.node(asked);
        match ask {
            Ask::SetXattr { name, value, flags } => {
                let how = set_how(flags);
                let (asker, way) = (self.asker(asked), way(asked));
                // It stands on what has all its data.
                let takes = match name == b"security.capability" {
                    true => self.whole_takes(node),
                    false => self.change_takes(node, Touches::Attributes),
                };
                let (name, value) = (name.to_vec(), value.to_vec());
                self.serve(takes, move |door| {
                    emptied(reply, door.set_attribute(&asker, node, ((&name, &value), way), how));
                });
            }
            Ask::Xattr { name, size } => match self.attribute(node, name) {
                Ok(value) => sized(reply, &value, size),
                Err(error) => refuse(reply, &error),
            },
            Ask::XattrNames { size } => match self.attribute_names(&self.asker(asked), node) {
                Ok(names) => {
                    let list: Vec<u8> =
                        names.iter().flat_map(|name| name.iter().copied().chain([0])).collect();
                    sized(reply, &list, size);
                }
                Err(error) => refuse(reply, &error),
            },
            Ask::RemoveXattr { name } => {
                let name = name.to_vec();
                self.serve(self.change_takes(node, Touches::Attributes), move |door| {
                    let known = door.expect_xattrs();
                    emptied(reply, known.and_then(|()| door.union.remove_xattr(node, &name)));
                });
            }
            // The kernel does without, and does not ask again. Nothing waits for a FLUSH: data is with the upper's file system
            // when a write is answered.
            _ => reply.error(Errno::NOSYS),
        }
    }

    fn read(&self, handle: HandleId, (offset, size): (u64, u32), reply: Reply, lead: &dyn Lead) {
        self.buffers.with(size, |buf| {
            match self.union.read_at_once(handle, buf, offset) {
                AtOnce::Read(len) => return reply.bytes(&buf[..len]),
                AtOnce::Waits => lead.give_way(),
                AtOnce::Unknown => {}
            }
            match self.union.read(handle, buf, offset) {
                Ok(len) => reply.bytes(&buf[..len]),
                Err(error) => refuse(reply, &error),
            }
        });
    }

    fn write(
        &self,
        asked: &Asked,
        (handle, strips): (HandleId, bool),
        (offset, data): (u64, &[u8]),
    ) -> Result<usize, UnionError> {
        if strips {
            self.change(&self.asker(asked), self.node(asked), &SetAttr::default())?;
        }
        self.union.write(handle, data, offset)
    }

    fn lookup(&self, parent: NodeId, name: &[u8], reply: Reply) {
        let name = name_or_error!(name, reply);
        match self.union.lookup(parent, &name) {
            // It counts as no lookup, whether anyone takes it or not.
            Err(error) if error.errno() == Errno::NOENT => {
                reply.entry(&self.absent());
            }
            looked => self.entered(reply, looked),
        }
    }

    fn set_attr(&self, asked: &Asked, change: &SetAttrIn, reply: Reply) {
        let node = self.node(asked);
        let if_set = |bit: u32, value: u32| (change.valid & bit != 0).then_some(value);
        let owner = (if_set(set::UID, change.uid), if_set(set::GID, change.gid));
        let (uid, gid) = match self.owner(owner, asked) {
            Ok(owner) => owner,
            Err(error) => return refuse(reply, &error),
        };
        let (atime, mtime) = answer::set_times(change);
        let permissions = if_set(set::MODE, change.mode).map(|mode| mode & 0o7777);
        let size = (change.valid & set::SIZE != 0).then_some(change.size);
        let set = SetAttr { permissions, uid, gid, size, atime, mtime };
        let strips = change.valid & set::KILL_SUIDGID != 0;
        let asker = self.asker(asked).stripping(self.says_kept, strips);
        // Who has it open for writing was asked then.
        let is_cut = size.is_some() && change.valid & set::HANDLE == 0;
        let face = Face(asked.node);
        let takes = match (size, permissions) {
            (Some(_), _) => self.change_takes(node, Touches::Contents),
            // They stand on what has all its data.
            (None, Some(bits)) if bits & 0o6000 != 0 => self.whole_takes(node),
            (None, _) => self.change_takes(node, Touches::Attributes),
        };
        self.serve(takes, move |door| {
            if is_cut && door.backing.faces.is_former(face) {
                // Who reads and writes by the second number would not see it.
                return reply.error(Errno::STALE);
            }
            let may = if is_cut { door.expect_no_run(face, node) } else { Ok(()) };
            door.told(reply, node, may.and_then(|()| door.change(&asker, node, &set)));
        });
    }

    fn make_node(
        &self,
        asked: &Asked,
        (name, (mode, umask), rdev): (&[u8], (u32, u32), u32),
        reply: Reply,
    ) {
        let name = name_or_error!(name, reply);
        let (major, minor) = answer::major_minor(rdev);
        let new = match Kind::from_mode(mode) {
            Some(Kind::File) => NewNode::File,
            Some(Kind::Fifo) => NewNode::Special(Special::Fifo),
            Some(Kind::Socket) => NewNode::Special(Special::Socket),
            Some(Kind::CharDevice) => NewNode::Special(Special::Character { major, minor }),
            Some(Kind::BlockDevice) => NewNode::Special(Special::Block { major, minor }),
            Some(Kind::Directory | Kind::Symlink) | None => return reply.error(Errno::INVAL),
        };
        let (parent, caller) = (self.node(asked), self.caller(asked, umask));
        self.serve(self.names_take(), move |door| {
            door.entered(reply, door.make((parent, &name), (new, mode), caller));
        });
    }

    fn rename(&self, from: (NodeId, &[u8]), to: (NodeId, &[u8]), flags: u32, reply: Reply) {
        /// The bits of `renameat2(2)`.
        const NO_REPLACE: u32 = 1;
        const EXCHANGE: u32 = 2;
        const WHITEOUT: u32 = 4;

        let (name, to_name) = (name_or_error!(from.1, reply), name_or_error!(to.1, reply));
        let how = match flags {
            0 => RenameHow::Replace,
            NO_REPLACE => RenameHow::NoReplace,
            EXCHANGE => RenameHow::Exchange,
            flags if flags & WHITEOUT != 0 => RenameHow::Whiteout,
            _ => return reply.error(Errno::INVAL),
        };
        let (from, to) = (from.0, to.0);
        self.serve(self.names_take(), move |door| {
            match door.union.try_rename((from, &name), (to, &to_name), how) {
                Ok(RenameTried::WouldLast(copies)) => door.serve(copies.into(), move |door| {
                    let renamed = door.union.rename((from, &name), (to, &to_name), how);
                    emptied(reply, door.settle(&[to, from], renamed));
                }),
                tried => emptied(reply, door.settle(&[to, from], tried.map(|_| ()))),
            }
        });
    }

    fn link(&self, node: NodeId, (parent, name): (NodeId, &[u8]), reply: Reply) {
        let name = name_or_error!(name, reply);
        let takes = self.change_takes(node, Touches::Names).max(self.names_take());
        self.serve(takes, move |door| {
            let linked = door.union.link(node, parent, &name);
            door.entered(reply, door.settle_entry(parent, linked));
        });
    }

    fn open(&self, asked: &Asked, (flags, strips): (i32, bool), reply: Reply) {
        let node = self.node(asked);
        let (how, asker) = (open_how(flags), self.asker(asked).stripping(self.says_kept, strips));
        let takes = match how {
            OpenHow::Read | OpenHow::Run => Takes::Short,
            OpenHow::Write | OpenHow::Truncate => self.change_takes(node, Touches::Contents),
            // It may wait for the close of a program.
            OpenHow::TruncateToRead => Takes::Long,
        };
        let face = Face(asked.node);
        self.serve(takes, move |door| door.answer_open(face, flags, &asker, reply));
    }

    fn create(
        &self,
        asked: &Asked,
        (name, flags, (mode, umask)): (&[u8], i32, (u32, u32)),
        reply: Reply,
    ) {
        let name = name_or_error!(name, reply);
        let (parent, caller) = (self.node(asked), self.caller(asked, umask));
        self.serve(self.names_take(), move |door| {
            door.created(reply, door.make_open((parent, &name), mode, caller), flags);
        });
    }

    /// Directories need no handle: cookies hold for as long as the directory is known. But without one the kernel keeps
    /// listings, and has no way to see that the lower part of a merged directory changed.
    fn open_dir(&self, reply: Reply) {
        if self.expects_changes() {
            reply.opened(OpenOut::default());
        } else {
            reply.error(Errno::NOSYS);
        }
    }

    fn seek(&self, handle: u64, (from, whence): (u64, u32), reply: Reply) {
        // Only SEEK_DATA (3) and SEEK_HOLE (4) reach a server.
        if i64::try_from(from).is_err() {
            return reply.error(Errno::NXIO);
        }
        let found = match whence {
            3 => self.union.seek_data(HandleId(handle), from),
            4 => self.union.seek_hole(HandleId(handle), from),
            _ => return reply.error(Errno::INVAL),
        };
        match found {
            Ok(at) => reply.offset(at),
            Err(error) => refuse(reply, &error),
        }
    }
}
