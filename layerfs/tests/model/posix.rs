//! Owns how an operation is done on a real directory tree: one system call each, beneath a held descriptor.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Gid, Mode as Bits, OFlags, RenameFlags, ResolveFlags,
    Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::ops::{
    Access, Creation, Mode, Op, Place, RenameFlag, SLOTS, Space, Special, Stamp, XattrHow,
};
use super::subject::{Facts, Kind, Outcome, sha256};
use super::tame::{modelled, real};
use super::tree_path::TreePath;

/// A directory tree of the machine and the descriptors that a history holds in it.
pub struct PosixTree {
    root: OwnedFd,
    held: [Option<File>; SLOTS],
}

impl PosixTree {
    /// Opens the directory `root`. The process creates with umask 0 from here on.
    pub fn open(root: &Path) -> PosixTree {
        rustix::process::umask(Bits::empty());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, root, flags, Bits::empty()).unwrap();
        PosixTree { root, held: [const { None }; SLOTS] }
    }

    pub fn close_all(&mut self) {
        self.held = [const { None }; SLOTS];
    }

    pub fn apply(&mut self, op: &Op) -> Result<Outcome, Errno> {
        match op {
            Op::Create { path, how, mode } => self.create(path, *how, *mode),
            Op::Mkdir { .. } | Op::Symlink { .. } | Op::Mknod { .. } => self.make(op),
            Op::Link { .. } | Op::Rename { .. } => self.two_names(op),
            Op::Unlink { path } => self.remove(path, AtFlags::empty()),
            Op::Rmdir { path } => self.remove(path, AtFlags::REMOVEDIR),
            Op::Write { path, place, data } => {
                let append = if *place == Place::End { OFlags::APPEND } else { OFlags::empty() };
                let file = self.open_file(path, OFlags::WRONLY | append)?;
                let offset = if let Place::Offset(offset) = place { *offset } else { 0 };
                write_all(&file, &data.bytes(), offset)
            }
            Op::Truncate { path, len } => {
                self.open_file(path, OFlags::WRONLY)?.set_len(*len).map_err(errno)
            }
            Op::Fallocate { path, deed, offset, len } => {
                let flags = match deed {
                    Space::Extend => FallocateFlags::empty(),
                    Space::Punch => FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
                };
                let file = self.open_file(path, OFlags::WRONLY)?;
                rustix::fs::fallocate(file, flags, *offset, *len)
            }
            Op::Chmod { .. } | Op::Chown { .. } | Op::Utimens { .. } => self.set_attribute(op),
            Op::SetXattr { .. } | Op::RemoveXattr { .. } => self.change_xattr(op),
            Op::Open { slot, path, access } => self.hold(*slot, path, *access),
            Op::HeldWrite { slot, offset, data } => {
                write_all(self.held(*slot)?, &data.bytes(), *offset)
            }
            Op::HeldRead { slot, offset, len } => return self.held_read(*slot, *offset, *len),
            Op::HeldTruncate { slot, len } => self.held(*slot)?.set_len(*len).map_err(errno),
            Op::HeldStat { slot } => {
                let metadata = self.held(*slot)?.metadata().map_err(errno)?;
                return Ok(Outcome::Stat(facts(&metadata)));
            }
            Op::Close { slot } => {
                self.held[*slot] = None;
                Ok(())
            }
            Op::Remount => panic!("a remount is asked of the subject"),
        }
        .map(|()| Outcome::Done)
    }

    /// Opens beneath the root without passing a symbolic link.
    fn open_at(&self, path: &TreePath, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let flags = flags | OFlags::CLOEXEC;
        let bits = Bits::from_raw_mode(mode.0);
        rustix::fs::openat2(&self.root, path.below_a_descriptor(), flags, bits, resolve)
    }

    fn node(&self, path: &TreePath) -> Result<File, Errno> {
        self.open_at(path, OFlags::PATH | OFlags::NOFOLLOW, Mode(0)).map(File::from)
    }

    fn parent<'p>(&self, path: &'p TreePath) -> Result<(OwnedFd, &'p [u8]), Errno> {
        let (parent, name) = path.split().expect("no history makes or removes the root");
        Ok((self.open_at(&parent, OFlags::PATH | OFlags::DIRECTORY, Mode(0))?, name))
    }

    /// Opens a regular file; what else stands there is told by errno, as the kernel tells it where it would not block.
    fn open_file(&self, path: &TreePath, flags: OFlags) -> Result<File, Errno> {
        let kind = self.node(path)?.metadata().map_err(errno)?.file_type();
        if kind.is_fifo() || kind.is_socket() || kind.is_char_device() {
            return Err(Errno::NXIO);
        }
        if kind.is_dir() && !flags.intersects(OFlags::WRONLY | OFlags::RDWR) {
            return Err(Errno::ISDIR);
        }
        self.open_at(path, flags, Mode(0)).map(File::from)
    }

    fn create(&self, path: &TreePath, how: Creation, mode: Mode) -> Result<(), Errno> {
        let how = match how {
            Creation::Exclusive => OFlags::EXCL,
            Creation::OrOpen => OFlags::empty(),
            Creation::OrEmpty => OFlags::TRUNC,
        };
        if how != OFlags::EXCL && self.node(path).is_ok() {
            return self.open_file(path, OFlags::WRONLY | OFlags::CREATE | how).map(|_| ());
        }
        self.open_at(path, OFlags::WRONLY | OFlags::CREATE | how, mode).map(|_| ())
    }

    fn make(&self, op: &Op) -> Result<(), Errno> {
        match op {
            Op::Mkdir { path, mode } => {
                let (parent, name) = self.parent(path)?;
                rustix::fs::mkdirat(parent, name, Bits::from_raw_mode(mode.0))
            }
            Op::Symlink { path, target } => {
                let (parent, name) = self.parent(path)?;
                rustix::fs::symlinkat(target.as_bytes(), parent, name)
            }
            Op::Mknod { path, special, mode } => {
                let (parent, name) = self.parent(path)?;
                let (kind, device) = match special {
                    Special::Fifo => (FileType::Fifo, 0),
                    Special::Socket => (FileType::Socket, 0),
                    Special::NullDevice => (FileType::CharacterDevice, rustix::fs::makedev(1, 3)),
                    Special::WhiteoutDevice => (FileType::CharacterDevice, 0),
                };
                rustix::fs::mknodat(parent, name, kind, Bits::from_raw_mode(mode.0), device)
            }
            _ => panic!("{op:?} makes nothing"),
        }
    }

    fn two_names(&self, op: &Op) -> Result<(), Errno> {
        match op {
            Op::Link { from, to } => {
                let (old, old_name) = self.parent(from)?;
                let (new, new_name) = self.parent(to)?;
                rustix::fs::linkat(old, old_name, new, new_name, AtFlags::empty())
            }
            Op::Rename { from, to, flag } => {
                let (old, old_name) = self.parent(from)?;
                let (new, new_name) = self.parent(to)?;
                let flags = match flag {
                    RenameFlag::Plain => RenameFlags::empty(),
                    RenameFlag::NoReplace => RenameFlags::NOREPLACE,
                    RenameFlag::Exchange => RenameFlags::EXCHANGE,
                    RenameFlag::Whiteout => RenameFlags::WHITEOUT,
                };
                rustix::fs::renameat_with(old, old_name, new, new_name, flags)
            }
            _ => panic!("{op:?} has one name"),
        }
    }

    fn remove(&self, path: &TreePath, flags: AtFlags) -> Result<(), Errno> {
        let (parent, name) = self.parent(path)?;
        rustix::fs::unlinkat(parent, name, flags)
    }

    fn set_attribute(&self, op: &Op) -> Result<(), Errno> {
        match op {
            Op::Chmod { path, mode } => {
                rustix::fs::chmod(by_number(&self.node(path)?), Bits::from_raw_mode(mode.0))
            }
            Op::Chown { path, uid, gid } => {
                let (uid, gid) = (uid.map(real), gid.map(real));
                let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
                rustix::fs::chownat(self.node(path)?, "", uid, gid, AtFlags::EMPTY_PATH)
            }
            Op::Utimens { path, stamp } => {
                let times = match stamp {
                    Stamp::Past(secs, nanos) => timestamps(*secs, (*nanos).into()),
                    Stamp::Now => timestamps(0, rustix::fs::UTIME_NOW),
                };
                rustix::fs::utimensat(self.node(path)?, "", &times, AtFlags::EMPTY_PATH)
            }
            _ => panic!("{op:?} sets no attribute"),
        }
    }

    fn change_xattr(&self, op: &Op) -> Result<(), Errno> {
        match op {
            Op::SetXattr { path, name, value, how } => {
                let flags = match how {
                    XattrHow::Any => XattrFlags::empty(),
                    XattrHow::MustBeNew => XattrFlags::CREATE,
                    XattrHow::MustExist => XattrFlags::REPLACE,
                };
                let node = self.node(path)?;
                rustix::fs::setxattr(by_number(&node), name.as_str(), &value.bytes(), flags)
            }
            Op::RemoveXattr { path, name } => {
                rustix::fs::removexattr(by_number(&self.node(path)?), name.as_str())
            }
            _ => panic!("{op:?} changes no extended attribute"),
        }
    }

    fn hold(&mut self, slot: usize, path: &TreePath, access: Access) -> Result<(), Errno> {
        self.held[slot] = None;
        let flags = match access {
            Access::Reading => OFlags::RDONLY,
            Access::Writing => OFlags::WRONLY,
            Access::Both => OFlags::RDWR,
            Access::Appending => OFlags::WRONLY | OFlags::APPEND,
        };
        self.held[slot] = Some(self.open_file(path, flags)?);
        Ok(())
    }

    fn held(&self, slot: usize) -> Result<&File, Errno> {
        self.held[slot].as_ref().ok_or(Errno::BADF)
    }

    fn held_read(&self, slot: usize, offset: u64, len: u32) -> Result<Outcome, Errno> {
        let mut bytes = vec![0; usize::try_from(len).expect("a u32 fits")];
        let mut read = 0;
        loop {
            let at = offset + u64::try_from(read).expect("a usize has at most 64 bits");
            match self.held(slot)?.read_at(&mut bytes[read..], at).map_err(errno)? {
                0 => break,
                more => read += more,
            }
        }
        Ok(Outcome::Read { len: read, sha256: sha256(&bytes[..read]) })
    }
}

/// Writes at an offset; a descriptor opened with `O_APPEND` writes at the end (BUGS in pwrite(2)).
fn write_all(file: &File, bytes: &[u8], offset: u64) -> Result<(), Errno> {
    if bytes.is_empty() {
        // `write_all_at` would make no call at all, and the errno of a write of nothing is part of the answer.
        return rustix::io::pwrite(file, bytes, offset).map(|_| ());
    }
    file.write_all_at(bytes, offset).map_err(errno)
}

/// The way through /proc reaches the inode of an `O_PATH` descriptor, a symbolic link's own too.
fn by_number(node: &File) -> String {
    format!("/proc/self/fd/{}", node.as_raw_fd())
}

fn errno(error: io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or_else(|| panic!("no errno in {error}"))
}

/// The same atime and mtime.
pub fn timestamps(secs: i64, nanos: i64) -> Timestamps {
    let time = Timespec { tv_sec: secs, tv_nsec: nanos };
    Timestamps { last_access: time, last_modification: time }
}

/// Sets the times of a path that is not followed.
pub fn set_times(path: &Path, times: &Timestamps) -> Result<(), Errno> {
    rustix::fs::utimensat(CWD, path, times, AtFlags::SYMLINK_NOFOLLOW)
}

/// What a stat says that needs no name.
pub fn facts(metadata: &std::fs::Metadata) -> Facts {
    let kind = kind(metadata);
    let size = if matches!(kind, Kind::File | Kind::Symlink) { metadata.size() } else { 0 };
    Facts {
        kind,
        mode: metadata.mode() & 0o7777,
        uid: modelled(metadata.uid()),
        gid: modelled(metadata.gid()),
        links: metadata.nlink(),
        hidden: 0,
        size,
    }
}

fn kind(metadata: &std::fs::Metadata) -> Kind {
    let device = metadata.rdev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    match FileType::from_raw_mode(metadata.mode()) {
        FileType::Directory => Kind::Directory,
        FileType::RegularFile => Kind::File,
        FileType::Symlink => Kind::Symlink,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        FileType::CharacterDevice => Kind::Char { major, minor },
        FileType::BlockDevice => Kind::Block { major, minor },
        FileType::Unknown => panic!("mode {:o} names no type", metadata.mode()),
    }
}
