//! How a mount answers what a user of it may choose: ids, attributes, counts, syncs.

use std::time::Duration;

use super::belief::LASTING;
use crate::tree::IdMap;

/// Whether extended attributes are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Xattrs {
    /// They are shown and taken.
    Known,
    /// There are none (`EOPNOTSUPP`).
    Unknown,
}

/// What `st_nlink` of a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirLinks {
    /// 2 and its subdirectories, where they are counted.
    Counted,
    /// Always 1.
    One,
}

/// What becomes of `fsync(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// It is done.
    Done,
    /// It is answered, and nothing is done.
    PassedOver,
}

/// When a changed name is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// When its directory is synced, or the disk's file system has its turn.
    Later,
    /// When the call returns.
    AtOnce,
}

/// Who reads and writes open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    /// The kernel itself, where it can; else this process.
    Auto,
    /// This process, and the kernel keeps what it was given.
    Cached,
}

/// How long it takes to wake who asks and who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wakes {
    /// While requests come fast, no longer than from the lightest sleep of a processor, where the kernel lets this process ask for that.
    Fast,
    /// As long as it takes on this machine.
    Usual,
}

/// Whether `/proc` tells of callers what a request does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callers {
    /// Requests number them as this process does.
    Known,
    /// The mount was made in another pid namespace, which numbers them.
    Unknown,
}

/// Who user 0 of a mount is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zero {
    /// User 0 of the serving process.
    Same,
    /// Root of a user namespace that the mount belongs to, and not of the machine.
    OfNamespace,
}

/// How a mount answers.
#[derive(Clone, Debug)]
pub struct Manner {
    /// How long the kernel may believe what it was told of the lower; [`LASTING`] where nobody changes that.
    pub lower_belief: Duration,
    /// Which ids are shown for those that are stored.
    pub ids: IdMap,
    /// Whether extended attributes are known.
    pub xattrs: Xattrs,
    /// What `st_nlink` of a directory is.
    pub dir_links: DirLinks,
    /// What becomes of `fsync(2)`.
    pub fsync: Fsync,
    /// When a changed name is on disk.
    pub names: Names,
    /// Who reads and writes open files.
    pub io: Io,
    /// How long it takes to wake who asks and who answers.
    pub wakes: Wakes,
    /// Whether `/proc` tells of callers what a request does not.
    pub callers: Callers,
    /// Who user 0 is.
    pub zero: Zero,
}

impl Default for Manner {
    fn default() -> Self {
        Manner {
            lower_belief: LASTING,
            ids: IdMap::default(),
            xattrs: Xattrs::Known,
            dir_links: DirLinks::Counted,
            fsync: Fsync::Done,
            names: Names::Later,
            io: Io::Auto,
            wakes: Wakes::Fast,
            callers: Callers::Known,
            zero: Zero::Same,
        }
    }
}
