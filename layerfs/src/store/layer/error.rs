//! Why a layer's archive is not a layer.

use std::fmt;

use crate::store::archive::{ArchiveError, EntryPath, HOLES_MAX};
use crate::store::index::{FILES_MAX, IndexError, TEXT_MAX_BYTES};
use crate::sys::SysError;

/// Every way the unpacking of a layer fails.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The archive can't be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// An entry that can't stand where it says.
    #[error("entry `{path}`: {fault}")]
    Entry {
        /// The entry's path.
        path: EntryPath,
        /// What is wrong.
        fault: EntryFault,
    },
    /// The contents could not be staged.
    #[error("stage contents: {0}")]
    Stage(#[from] SysError),
    /// The index could not be written.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The import was told to stop.
    #[error("stopped")]
    Stopped,
}

/// What is wrong with one entry.
#[derive(Debug, PartialEq, Eq)]
pub enum EntryFault {
    /// An ancestor of it, this one, is not a directory in this layer.
    BelowNonDirectory(EntryPath),
    /// An ancestor of it is a whiteout's name.
    BelowWhiteout,
    /// A whiteout of nothing, of `.` or of `..`.
    WhiteoutName,
    /// A hard link to what the layer does not have before it.
    LinkToNothing(EntryPath),
    /// A hard link to a directory.
    LinkToDirectory(EntryPath),
    /// The root is given a type that is not a directory.
    RootNotDirectory,
    /// More files or names than are taken.
    TooMany,
    /// More bytes of names, link targets and attributes than are taken.
    TooMuchText,
    /// More bytes of holes than the layers of one import may claim.
    TooManyHoles,
}

impl fmt::Display for EntryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EntryFault::BelowNonDirectory(ancestor) => {
                write!(f, "it lies below `{ancestor}`, which is no directory in this layer")
            }
            EntryFault::BelowWhiteout => f.write_str("it lies below a whiteout"),
            EntryFault::WhiteoutName => f.write_str("it is a whiteout without a name"),
            EntryFault::LinkToNothing(target) => {
                write!(f, "hard link to `{target}`, which is not before it in this layer")
            }
            EntryFault::LinkToDirectory(target) => {
                write!(f, "hard link to the directory `{target}`")
            }
            EntryFault::RootNotDirectory => f.write_str("the root is not a directory"),
            EntryFault::TooMany => {
                write!(f, "with it the layer has more than {FILES_MAX} files or names")
            }
            EntryFault::TooManyHoles => write!(
                f,
                "with it the layers of the image claim more than {} GiB of holes together",
                HOLES_MAX >> 30
            ),
            EntryFault::TooMuchText => write!(
                f,
                "with it the layer has more than {} MiB of names, link targets and attributes",
                TEXT_MAX_BYTES >> 20
            ),
        }
    }
}
