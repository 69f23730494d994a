//! Owns what an archive says about one file: the entry that the reader hands out.

use super::path::EntryPath;

/// One entry, with every header that speaks of it already applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it goes, below the archive's root. Only a directory can be the root itself.
    pub path: EntryPath,
    /// What it is.
    pub kind: EntryKind,
    /// Permission, set-id and sticky bits (`0o7777`).
    pub mode: u32,
    /// Owner; never `u32::MAX`, which the kernel reads as "leave it".
    pub uid: u32,
    /// Group; never `u32::MAX`.
    pub gid: u32,
    /// Time of last change of the contents.
    pub mtime: Timestamp,
    /// Logical bytes of a file, holes included; 0 for everything else.
    pub size: u64,
    /// Extended attributes, sorted by name, each name once.
    pub xattrs: Vec<Xattr>,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file; its data comes as pieces.
    File,
    /// A symbolic link. Its target is data: 1 to 4095 bytes, none of them NUL, and not resolved here.
    Symlink {
        /// The text of the link.
        target: Box<[u8]>,
    },
    /// One more name for another entry, which is never the root.
    Hardlink {
        /// The other entry, below the archive's root.
        target: EntryPath,
    },
    /// A character device.
    CharDevice {
        /// Major number, 12 bits.
        major: u32,
        /// Minor number, 20 bits.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number, 12 bits.
        major: u32,
        /// Minor number, 20 bits.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// One extended attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// Full name with its namespace, such as `security.capability`; 1 to 255 bytes, none of them NUL.
    pub name: Box<[u8]>,
    /// Any bytes, at most 64 KiB of them.
    pub value: Box<[u8]>,
}

/// A moment: `secs` since 1970 (negative before) plus `nanos`, which always counts forward and is below 10^9.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds, rounded down.
    pub secs: i64,
    /// Nanoseconds after `secs`.
    pub nanos: u32,
}
