//! Why an index can't be read or written.

use super::format::{FILES_MAX, TEXT_MAX_BYTES};
use crate::sys::{Errno, SysError};

/// Every way an index fails.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The file could not be opened, mapped or written.
    #[error("index file: {0}")]
    Call(#[from] SysError),
    /// The file does not begin as an index does.
    #[error("not a layerfs index")]
    Magic,
    /// The file was written by a layerfs with a later format.
    #[error("index version {found}, this layerfs reads up to {known}: use a newer layerfs")]
    Version {
        /// The version that the file says.
        found: u32,
        /// The latest that this build reads.
        known: u32,
    },
    /// Bytes that do not have the checksum that was stored with them, or lie outside the file.
    #[error("index is damaged: {0}")]
    Damaged(&'static str),
    /// The tree is larger than the format holds.
    #[error("tree is too large for an index: {0}")]
    TooLarge(&'static str),
    /// More files or names than are taken.
    #[error("the tree has more than {FILES_MAX} files or names")]
    TooManyFiles,
    /// More text than is taken.
    #[error("the tree has more than {} MiB of names, link targets and attributes", TEXT_MAX_BYTES >> 20)]
    TooMuchText,
}

impl IndexError {
    /// The answer to a file-system request that met this error.
    pub fn errno(&self) -> Errno {
        match self {
            IndexError::Call(error) => error.errno(),
            IndexError::Magic | IndexError::Version { .. } | IndexError::Damaged(_) => Errno::IO,
            IndexError::TooLarge(_) | IndexError::TooManyFiles | IndexError::TooMuchText => {
                Errno::FBIG
            }
        }
    }
}
