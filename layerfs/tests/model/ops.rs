//! Owns the operations of a history, printed as the code that makes them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::pattern::Pattern;
use super::tree_path::TreePath;

/// One operation, done as uid 0 with umask 0. Its path is never followed: a symbolic link on the way is ELOOP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// `open(O_WRONLY | O_CREAT …)`, closed at once.
    Create {
        path: TreePath,
        how: Creation,
        mode: Mode,
    },
    Mkdir {
        path: TreePath,
        mode: Mode,
    },
    Symlink {
        path: TreePath,
        target: TreePath,
    },
    Mknod {
        path: TreePath,
        special: Special,
        mode: Mode,
    },
    Link {
        from: TreePath,
        to: TreePath,
    },
    Unlink {
        path: TreePath,
    },
    Rmdir {
        path: TreePath,
    },
    Rename {
        from: TreePath,
        to: TreePath,
        flag: RenameFlag,
    },
    Write {
        path: TreePath,
        place: Place,
        data: Pattern,
    },
    /// `open(O_WRONLY)` and `ftruncate`, so that mtime changes even where the size does not.
    Truncate {
        path: TreePath,
        len: u64,
    },
    Fallocate {
        path: TreePath,
        deed: Space,
        offset: u64,
        len: u64,
    },
    Chmod {
        path: TreePath,
        mode: Mode,
    },
    Chown {
        path: TreePath,
        uid: Option<u32>,
        gid: Option<u32>,
    },
    Utimens {
        path: TreePath,
        stamp: Stamp,
    },
    SetXattr {
        path: TreePath,
        name: XattrName,
        value: Pattern,
        how: XattrHow,
    },
    RemoveXattr {
        path: TreePath,
        name: XattrName,
    },
    /// Opens a regular file and keeps the descriptor; what the slot held is closed first.
    Open {
        slot: usize,
        path: TreePath,
        access: Access,
    },
    HeldWrite {
        slot: usize,
        offset: u64,
        data: Pattern,
    },
    HeldRead {
        slot: usize,
        offset: u64,
        len: u32,
    },
    HeldTruncate {
        slot: usize,
        len: u64,
    },
    HeldStat {
        slot: usize,
    },
    Close {
        slot: usize,
    },
    /// Unmounts and mounts again; every held descriptor is closed before.
    Remount,
}

/// How many descriptors a history can hold.
pub const SLOTS: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Creation {
    /// `O_EXCL`.
    Exclusive,
    /// `O_CREAT` alone.
    OrOpen,
    /// `O_TRUNC`.
    OrEmpty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Special {
    Fifo,
    Socket,
    /// The character device 1:3.
    NullDevice,
    /// The character device 0:0, which is a whiteout on disk and so can't be made through a union.
    WhiteoutDevice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RenameFlag {
    Plain,
    NoReplace,
    Exchange,
    /// Refused by a union with EINVAL.
    Whiteout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    Offset(u64),
    /// `O_APPEND`.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Space {
    /// `fallocate` without flags.
    Extend,
    /// `FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE`.
    Punch,
}

/// The time that is set as atime and mtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stamp {
    /// Seconds since 1970 and nanoseconds, always long before the history began.
    Past(i64, u32),
    Now,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    Reading,
    Writing,
    Both,
    Appending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum XattrHow {
    Any,
    /// `XATTR_CREATE`.
    MustBeNew,
    /// `XATTR_REPLACE`.
    MustExist,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum XattrName {
    UserA,
    UserB,
    TrustedA,
    /// `trusted.overlay.opaque`: a mark on disk; set through a union it is an attribute like others.
    OverlayOpaque,
    /// `trusted.overlay.redirect`, likewise.
    OverlayRedirect,
}

impl XattrName {
    pub const ALL: [XattrName; 5] = [
        XattrName::UserA,
        XattrName::UserB,
        XattrName::TrustedA,
        XattrName::OverlayOpaque,
        XattrName::OverlayRedirect,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            XattrName::UserA => "user.a",
            XattrName::UserB => "user.b",
            XattrName::TrustedA => "trusted.a",
            XattrName::OverlayOpaque => "trusted.overlay.opaque",
            XattrName::OverlayRedirect => "trusted.overlay.redirect",
        }
    }

    /// `user.*` is for regular files and directories only (xattr(7)).
    pub fn is_user(self) -> bool {
        matches!(self, XattrName::UserA | XattrName::UserB)
    }
}

/// Permission, set-id and sticky bits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mode(pub u32);

/// The mode that a pasted test names: `m(0o755)`.
pub fn m(bits: u32) -> Mode {
    Mode(bits)
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m({:#o})", self.0)
    }
}
