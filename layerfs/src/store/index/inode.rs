//! What an index says of one inode, decoded.

use std::fmt;

use crate::store::archive::Timestamp;
use crate::store::digest::Digest;

/// The number of an inode in one index; the root is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ordinal(pub(super) u32);

impl Ordinal {
    /// The root directory.
    pub const ROOT: Ordinal = Ordinal(0);

    /// The ordinal as a plain number, for arithmetic on node numbers.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// An ordinal that came from outside; whether the index holds it is checked when it is used.
    pub const fn from_number(number: u32) -> Self {
        Ordinal(number)
    }
}

impl fmt::Display for Ordinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// One inode of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    /// Type and permissions, as `st_mode`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Owner's group.
    pub gid: u32,
    /// As `st_nlink`.
    pub nlink: u32,
    /// File: bytes; symlink: bytes of the target; else 0.
    pub size: u64,
    /// Last change of the contents; an index keeps no other time.
    pub mtime: Timestamp,
    /// The directory that holds the (first) name; the root is its own.
    pub parent: Ordinal,
    /// Type and contents.
    pub body: Body,
    /// Whether it has more than one name.
    pub is_group: bool,
}

/// Type and contents of an inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A directory.
    Directory {
        /// What lower layers have below it is hidden.
        opaque: bool,
        /// The layer only has entries below it, and says nothing of the directory itself.
        implied: bool,
    },
    /// A file whose contents the index holds.
    Inline,
    /// A file whose contents are an object of the store.
    Object {
        /// The object's digest.
        digest: Digest,
        /// The object has holes.
        sparse: bool,
    },
    /// A symbolic link.
    Symlink,
    /// A character or block device, as the mode says.
    Device {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A fifo or a socket, as the mode says.
    Special,
}

/// One entry of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child<'a> {
    /// The name.
    pub name: &'a [u8],
    /// What the name leads to.
    pub target: Target,
}

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// An inode of the same index, and its `DT_*` type.
    Inode(Ordinal, u8),
    /// Nothing: lower layers' entries of that name are hidden.
    Whiteout,
}
