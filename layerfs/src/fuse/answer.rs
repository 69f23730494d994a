//! Translation of the union's words into FUSE's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    FileAttr, FileHandle, FileType, FopenFlags, Generation, INodeNo, ReplyAttr, ReplyCreate,
    ReplyEmpty, ReplyEntry, ReplyStatfs, ReplyXattr,
};

use super::complaint;
use super::door::Door;
use super::manner::DirLinks;
use crate::sys::change::{SetTime, StatVfs};
use crate::tree::{Attr, Kind, Timestamp};
use crate::union::{HandleId, Looked, NodeId, UnionError};

impl Door {
    /// Attributes as FUSE has them, and as this mount shows them.
    pub(super) fn attr(&self, id: NodeId, attr: &Attr) -> FileAttr {
        let is_counted = attr.kind != Kind::Directory || self.manner.dir_links == DirLinks::Counted;
        FileAttr {
            ino: INodeNo(id.ino().0),
            size: attr.size,
            blocks: attr.blocks,
            atime: time(attr.atime),
            mtime: time(attr.mtime),
            ctime: time(attr.ctime),
            crtime: UNIX_EPOCH,
            kind: kind(attr.kind),
            perm: u16::try_from(attr.permissions & 0o7777).unwrap_or(0),
            nlink: if is_counted { attr.nlink } else { 1 },
            uid: self.manner.ids.users.shown(attr.uid),
            gid: self.manner.ids.groups.shown(attr.gid),
            rdev: device(attr.rdev),
            blksize: 4096,
            flags: 0,
        }
    }

    /// A node that was found, as FUSE has it.
    pub(super) fn entry(&self, looked: &Looked) -> (FileAttr, Generation) {
        (self.attr(looked.id, &looked.attr), Generation(looked.generation))
    }

    /// Answers a request for an entry.
    pub(super) fn entered(&self, reply: ReplyEntry, looked: Result<Looked, UnionError>) {
        match looked {
            Ok(looked) => {
                let (attr, generation) = self.entry(&looked);
                reply.entry(&self.belief(looked.id), &attr, generation);
            }
            Err(failed) => reply.error(error(&failed)),
        }
    }

    /// Answers a request for a new file that is open.
    pub(super) fn created(&self, reply: ReplyCreate, made: Result<(Looked, HandleId), UnionError>) {
        match made {
            Ok((looked, handle)) => {
                let (attr, generation) = self.entry(&looked);
                let (belief, handle) = (self.belief(looked.id), FileHandle(handle.0));
                reply.created(&belief, &attr, generation, handle, FopenFlags::FOPEN_KEEP_CACHE);
            }
            Err(failed) => reply.error(error(&failed)),
        }
    }

    /// Answers a request for attributes.
    pub(super) fn told(&self, reply: ReplyAttr, id: NodeId, known: Result<Attr, UnionError>) {
        match known {
            Ok(known) => reply.attr(&self.belief(id), &self.attr(id, &known)),
            Err(failed) => reply.error(error(&failed)),
        }
    }
}

pub(super) fn emptied(reply: ReplyEmpty, done: Result<(), UnionError>) {
    match done {
        Ok(()) => {
            reply.ok(); // tidy: allow(hushed_result) it sends the reply, there is no result
        }
        Err(failed) => reply.error(error(&failed)),
    }
}

/// Answers a request for the figures of a file system.
pub(super) fn filesystem(reply: ReplyStatfs, known: Result<StatVfs, UnionError>) {
    match known {
        Ok(figures) => {
            let block = u32::try_from(figures.f_bsize).unwrap_or(4096);
            let fragment = u32::try_from(figures.f_frsize).unwrap_or(block);
            let (blocks, free, avail) = (figures.f_blocks, figures.f_bfree, figures.f_bavail);
            let (files, free_files) = (figures.f_files, figures.f_ffree);
            reply.statfs(blocks, free, avail, files, free_files, block, 255, fragment);
        }
        Err(failed) => reply.error(error(&failed)),
    }
}

/// Answers a request for bytes of at most `size`; 0 asks how many there are.
pub(super) fn sized(reply: ReplyXattr, bytes: &[u8], size: u32) {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    match size {
        0 => reply.size(len),
        size if len <= size => reply.data(bytes),
        _ => reply.error(fuser::Errno::ERANGE),
    }
}

/// An error as FUSE has it. Only here it is told to the log.
pub(super) fn error(error: &UnionError) -> fuser::Errno {
    complaint::tell(error);
    fuser::Errno::from_i32(error.errno().raw_os_error())
}

pub(super) fn kind(kind: Kind) -> FileType {
    match kind {
        Kind::Directory => FileType::Directory,
        Kind::File => FileType::RegularFile,
        Kind::Symlink => FileType::Symlink,
        Kind::CharDevice => FileType::CharDevice,
        Kind::BlockDevice => FileType::BlockDevice,
        Kind::Fifo => FileType::NamedPipe,
        Kind::Socket => FileType::Socket,
    }
}

/// The kernel's 32-bit form of a device number (`new_encode_dev`): 12 bits of major, 20 of minor.
fn device((major, minor): (u32, u32)) -> u32 {
    (minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xf_ff00) << 12
}

/// Major and minor of the kernel's 32-bit form.
pub(super) fn major_minor(device: u32) -> (u32, u32) {
    ((device >> 8) & 0xfff, (device & 0xff) | (device >> 12) & 0xf_ff00)
}

fn time(time: Timestamp) -> SystemTime {
    let whole = Duration::from_secs(time.secs.unsigned_abs());
    let start =
        if time.secs < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    let nanos = Duration::from_nanos(time.nanos.into());
    start.and_then(|start| start.checked_add(nanos)).unwrap_or(UNIX_EPOCH)
}

/// A time to be set, as the union takes it.
pub(super) fn set_time(time: Option<fuser::TimeOrNow>) -> SetTime {
    match time {
        None => SetTime::Keep,
        Some(fuser::TimeOrNow::Now) => SetTime::Now,
        Some(fuser::TimeOrNow::SpecificTime(time)) => match time.duration_since(UNIX_EPOCH) {
            Ok(since) => SetTime::At(
                i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
                since.subsec_nanos(),
            ),
            Err(before) => before_epoch(before.duration()),
        },
    }
}

/// Nanoseconds always count forward: a quarter of a second before 1970 is second -1 and 750,000,000 of them.
fn before_epoch(before: Duration) -> SetTime {
    let secs = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
    match before.subsec_nanos() {
        0 => SetTime::At(-secs, 0),
        nanos => SetTime::At(-secs - 1, 1_000_000_000 - nanos),
    }
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

    #[test]
    fn times_go_both_ways_also_before_1970() {
        for (secs, nanos) in
            [(0, 0), (1, 5), (-1, 750_000_000), (-5_000_000_000, 0), (4_000_000_000, 999_999_999)]
        {
            let there = time(Timestamp { secs, nanos });
            assert_eq!(
                set_time(Some(fuser::TimeOrNow::SpecificTime(there))),
                SetTime::At(secs, nanos)
            );
        }
    }
}
