//! Translation of the union's words into the kernel's.

use std::time::Duration;

use super::complaint;
use super::door::Door;
use super::manner::DirLinks;
use crate::sys::Errno;
use crate::sys::change::{SetTime, StatVfs};
use crate::tree::{Attr, Kind};
use crate::union::{HandleId, Looked, NodeId, UnionError};
use crate::wire::form::{AttrForm, AttrOut, EntryOut, SetAttrIn, StatFsOut, set};
use crate::wire::{Answer, Reply};

/// What `st_blksize` says: a page.
const BLOCK: u32 = 4096;

impl Door {
    /// Attributes as the kernel has them, and as this mount shows them.
    pub(super) fn attr(&self, id: NodeId, attr: &Attr) -> AttrForm {
        let is_counted = attr.kind != Kind::Directory || self.manner.dir_links == DirLinks::Counted;
        AttrForm {
            ino: id.ino().0,
            size: attr.size,
            blocks: attr.blocks,
            atime: attr.atime.secs,
            mtime: attr.mtime.secs,
            ctime: attr.ctime.secs,
            atime_nanos: attr.atime.nanos,
            mtime_nanos: attr.mtime.nanos,
            ctime_nanos: attr.ctime.nanos,
            mode: u32::from(attr.kind.dt()) << 12 | attr.permissions & 0o7777,
            nlink: if is_counted { attr.nlink } else { 1 },
            uid: self.manner.ids.users.shown(attr.uid),
            gid: self.manner.ids.groups.shown(attr.gid),
            rdev: device(attr.rdev),
            block_size: BLOCK,
            flags: 0,
        }
    }

    /// A node that was found, as the kernel has it, which counts that it was told of it.
    pub(super) fn entry(&self, looked: &Looked) -> EntryOut {
        self.entry_of(looked, || self.belief_in(looked.id, &looked.attr))
    }

    /// The number is told before it is asked how long the attributes are believed: who has the node found under another from then on
    /// finds that the kernel has this one.
    fn entry_of(&self, looked: &Looked, belief: impl FnOnce() -> Duration) -> EntryOut {
        let node = self.backing.faces.tell(looked.id).0;
        let (entry_valid, entry_valid_nanos) = valid(self.belief(looked.id));
        let (attr_valid, attr_valid_nanos) = valid(belief());
        EntryOut {
            node,
            generation: looked.generation,
            entry_valid,
            attr_valid,
            entry_valid_nanos,
            attr_valid_nanos,
            attr: self.attr(looked.id, &looked.attr),
        }
    }

    /// The entry that tells the kernel that a name is absent, and for how long it may believe that.
    pub(super) fn absent(&self) -> EntryOut {
        let (entry_valid, entry_valid_nanos) = valid(self.belief_in_absence());
        EntryOut { entry_valid, entry_valid_nanos, ..EntryOut::default() }
    }

    /// Answers a request for an entry.
    pub(super) fn entered(&self, reply: Reply, looked: Result<Looked, UnionError>) {
        match looked {
            Ok(looked) => {
                let entry = self.entry(&looked);
                // Where who asked has gone, the kernel has not counted the lookup.
                if !reply.entry(&entry) {
                    self.forget(entry.node, 1);
                }
            }
            Err(failed) => refuse(reply, &failed),
        }
    }

    /// Answers a request for a new file that is open.
    pub(super) fn created(
        &self,
        reply: Reply,
        made: Result<(Looked, HandleId), UnionError>,
        flags: i32,
    ) {
        match made {
            Ok((looked, handle)) => {
                // How it is served is settled before its attributes are: it says how long they are believed.
                let face = self.backing.faces.face(looked.id);
                let is_expected = self.backing.expect_writer((face, looked.id));
                let begun = is_expected.then(|| self.served(face, handle, flags)).flatten();
                let is_written = begun.as_ref().is_some_and(|begun| begun.is_first_writer);
                let entry = self.entry_of(&looked, || self.belief_in_new(looked.id, is_written));
                let is_taken = match begun {
                    Some(begun) => reply.created(&entry, begun.answer),
                    None => {
                        // Nobody has had it before.
                        reply.error(Errno::STALE);
                        false
                    }
                };
                if !is_taken {
                    self.close(face, handle);
                    self.forget(entry.node, 1);
                }
            }
            Err(failed) => refuse(reply, &failed),
        }
    }

    /// Answers a request for attributes.
    pub(super) fn told(&self, reply: Reply, id: NodeId, known: Result<Attr, UnionError>) {
        match known {
            Ok(known) => {
                let (valid, valid_nanos) = valid(self.belief_in(id, &known));
                let attr = self.attr(id, &known);
                reply.attr(&AttrOut { valid, valid_nanos, padding: 0, attr });
            }
            Err(failed) => refuse(reply, &failed),
        }
    }
}

/// Seconds and nanoseconds for which the kernel may believe something.
fn valid(belief: Duration) -> (u64, u32) {
    (belief.as_secs(), belief.subsec_nanos())
}

pub(super) fn emptied(reply: Reply, done: Result<(), UnionError>) {
    match done {
        Ok(()) => reply.done(),
        Err(failed) => refuse(reply, &failed),
    }
}

/// Answers a request for the figures of a file system.
pub(super) fn figures(reply: Reply, known: Result<StatVfs, UnionError>) {
    match known {
        Ok(figures) => {
            let block_size = u32::try_from(figures.f_bsize).unwrap_or(BLOCK);
            reply.figures(&StatFsOut {
                blocks: figures.f_blocks,
                free: figures.f_bfree,
                available: figures.f_bavail,
                files: figures.f_files,
                files_free: figures.f_ffree,
                block_size,
                name_max: 255,
                fragment_size: u32::try_from(figures.f_frsize).unwrap_or(block_size),
                ..StatFsOut::default()
            });
        }
        Err(failed) => refuse(reply, &failed),
    }
}

/// Answers a request for bytes of at most `size`; 0 asks how many there are.
pub(super) fn sized(reply: Reply, bytes: &[u8], size: u32) {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    match size {
        0 => reply.size(len),
        size if len <= size => reply.bytes(bytes),
        _ => reply.error(Errno::RANGE),
    }
}

/// Answers that it can't be done. Only here errors are told to the log.
///
/// That a call is not known (`ENOSYS`) the kernel remembers for the whole mount, and asks no more. So only the door says so: where
/// a call of the upper's file system is not, it is this once.
pub(super) fn refuse(reply: Reply, error: &UnionError) {
    complaint::tell(error);
    let errno = error.errno();
    let is_ours = matches!(error, UnionError::Answer(_));
    reply.error(if errno == Errno::NOSYS && !is_ours { Errno::OPNOTSUPP } else { errno });
}

/// The kernel's 32-bit form of a device number (`new_encode_dev`): 12 bits of major, 20 of minor.
fn device((major, minor): (u32, u32)) -> u32 {
    (minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xf_ff00) << 12
}

/// Major and minor of the kernel's 32-bit form.
pub(super) fn major_minor(device: u32) -> (u32, u32) {
    ((device >> 8) & 0xfff, (device & 0xff) | (device >> 12) & 0xf_ff00)
}

/// The times of a change, as the union takes them: last read, last change.
pub(super) fn set_times(change: &SetAttrIn) -> (SetTime, SetTime) {
    let time = |given: u32, now: u32, at: (i64, u32)| match change.valid {
        valid if valid & now != 0 => SetTime::Now,
        valid if valid & given != 0 => SetTime::At(at.0, at.1),
        _ => SetTime::Keep,
    };
    (
        time(set::ATIME, set::ATIME_NOW, (change.atime, change.atime_nanos)),
        time(set::MTIME, set::MTIME_NOW, (change.mtime, change.mtime_nanos)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_go_both_ways() {
        for (major, minor) in [(0, 0), (1, 3), (8, 17), (259, 70_000), (4095, 0xf_ffff)] {
            assert_eq!(major_minor(device((major, minor))), (major, minor));
        }
    }
}
