//! Owns the attributes of a node, as `stat(2)` knows them.

use super::Timestamp;
use crate::sys::file::{self, FileType, Stat};

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl Kind {
    /// The type in `st_mode`; `None` where its type bits are none that Linux knows.
    pub fn from_mode(mode: u32) -> Option<Kind> {
        Kind::from_dt(u8::try_from(mode >> 12 & 0o17).unwrap_or(0))
    }

    /// The type that a `DT_*` number of a listing names; `None` for `DT_UNKNOWN` and numbers without meaning.
    pub fn from_dt(number: u8) -> Option<Kind> {
        Some(match number {
            1 => Kind::Fifo,
            2 => Kind::CharDevice,
            4 => Kind::Directory,
            6 => Kind::BlockDevice,
            8 => Kind::File,
            10 => Kind::Symlink,
            12 => Kind::Socket,
            _ => return None,
        })
    }

    /// The `DT_*` number of listings: the type bits of `st_mode` without the permissions.
    pub fn dt(self) -> u8 {
        match self {
            Kind::Fifo => 1,
            Kind::CharDevice => 2,
            Kind::Directory => 4,
            Kind::BlockDevice => 6,
            Kind::File => 8,
            Kind::Symlink => 10,
            Kind::Socket => 12,
        }
    }
}

/// The attributes of a node. The inode number is not among them: each side numbers in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    /// Type.
    pub kind: Kind,
    /// Permission, set-id and sticky bits (`0o7777`).
    pub permissions: u32,
    /// Number of names.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Owner's group.
    pub gid: u32,
    /// Major and minor number of what a device stands for; zeros else.
    pub rdev: (u32, u32),
    /// Bytes.
    pub size: u64,
    /// Blocks of 512 bytes.
    pub blocks: u64,
    /// Last read.
    pub atime: Timestamp,
    /// Last change of the contents.
    pub mtime: Timestamp,
    /// Last change of the inode.
    pub ctime: Timestamp,
}

impl Attr {
    /// The attributes that `stat` says. A type that Linux does not know is taken for a socket: nothing can be done
    /// with one but look at it.
    pub fn of_stat(stat: &Stat) -> Attr {
        let kind = match file::type_of(stat) {
            FileType::Directory => Kind::Directory,
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Symlink,
            FileType::CharacterDevice => Kind::CharDevice,
            FileType::BlockDevice => Kind::BlockDevice,
            FileType::Fifo => Kind::Fifo,
            FileType::Socket | FileType::Unknown => Kind::Socket,
        };
        let is_device = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
        Attr {
            kind,
            permissions: stat.st_mode & 0o7777,
            nlink: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
            uid: stat.st_uid,
            gid: stat.st_gid,
            rdev: if is_device { file::device_numbers(stat) } else { (0, 0) },
            size: u64::try_from(stat.st_size).unwrap_or(0),
            blocks: u64::try_from(stat.st_blocks).unwrap_or(0),
            atime: time(stat.st_atime, stat.st_atime_nsec),
            mtime: time(stat.st_mtime, stat.st_mtime_nsec),
            ctime: time(stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// Type and permissions, as `st_mode`.
    pub fn mode(&self) -> u32 {
        u32::from(self.kind.dt()) << 12 | self.permissions
    }

    /// Whether it is the kernel's whiteout: a character device 0:0.
    pub fn is_whiteout_device(&self) -> bool {
        self.kind == Kind::CharDevice && self.rdev == (0, 0)
    }
}

fn time(secs: i64, nanos: u64) -> Timestamp {
    Timestamp { secs, nanos: u32::try_from(nanos).unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::file::Symlinks;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn types_and_their_numbers_go_both_ways() {
        let all = [1, 2, 4, 6, 8, 10, 12];
        for number in 0..=u8::MAX {
            let kind = Kind::from_dt(number);
            assert_eq!(kind.map(Kind::dt), all.contains(&number).then_some(number));
        }
        assert_eq!(Kind::from_mode(0o100_644), Some(Kind::File));
        assert_eq!(Kind::from_mode(0o044_755), Some(Kind::Directory), "set-id bits are no type");
        assert_eq!(Kind::from_mode(0o644), None);
    }

    #[test]
    fn attributes_are_what_stat_says() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("file");
        std::fs::write(&path, b"12345").unwrap();
        let told = std::fs::metadata(&path).unwrap();
        let dir = crate::sys::dir::open_path(scratch.path()).unwrap();
        let attr = Attr::of_stat(&file::stat_at(&dir, "file", Symlinks::Stop).unwrap());
        assert_eq!((attr.mode(), attr.size, attr.blocks), (told.mode(), 5, told.blocks()));
        assert_eq!((attr.uid, attr.gid, attr.nlink), (told.uid(), told.gid(), 1));
        assert_eq!(
            (attr.mtime.secs, i64::from(attr.mtime.nanos)),
            (told.mtime(), told.mtime_nsec())
        );
        assert!(!attr.is_whiteout_device());
    }
}
