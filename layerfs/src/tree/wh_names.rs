//! Owns the names that begin with `.wh.`: whiteouts and opaque marks of archives, and of unions without devices and marks.

/// What the names of whiteouts begin with.
pub const WH_PREFIX: &[u8] = b".wh.";
/// What makes the directory that it stands in opaque.
pub const WH_OPAQUE: &[u8] = b".wh..wh..opq";

/// What begin the names of fuse-overlayfs's own marks. Where it can't have `.wh.` names alone, its directories are opaque
/// by one of them.
const FUSE_OVERLAYFS: &[u8] = b"user.fuseoverlayfs.";
/// Its mark of an opaque directory; the value is `y`.
pub const FUSE_OVERLAYFS_OPAQUE: &[u8] = b"user.fuseoverlayfs.opaque";

/// What names that begin with `.wh.` mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhNames {
    /// Whiteouts (`.wh.NAME`) and opaque marks (`.wh..wh..opq`), as archives of layers and older unions write them. The
    /// marks of fuse-overlayfs are marks, too.
    Whiteouts,
    /// Nothing: they are names.
    Plain,
}

impl WhNames {
    /// Whether a name says something of others, and is itself never shown.
    pub fn reserves(self, name: &[u8]) -> bool {
        self == WhNames::Whiteouts && name.starts_with(WH_PREFIX)
    }

    /// Whether an attribute is a mark of fuse-overlayfs, which no user sees or sets.
    pub fn reserves_attribute(self, name: &[u8]) -> bool {
        self == WhNames::Whiteouts && name.starts_with(FUSE_OVERLAYFS)
    }
}

/// The name of the whiteout of a name.
pub fn wh_name(name: &[u8]) -> Vec<u8> {
    [WH_PREFIX, name].concat()
}
