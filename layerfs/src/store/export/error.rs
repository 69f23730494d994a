//! Why images could not be written.

use std::io;

use crate::sys::SysError;

/// Every way the target refuses.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A call on the target was refused.
    #[error("write `{target}`: {source}")]
    Call {
        /// The target.
        target: String,
        /// The refused call.
        source: SysError,
    },
    /// Its bytes could not be written.
    #[error("write `{target}`: {source}")]
    Write {
        /// The target.
        target: String,
        /// Why.
        source: io::Error,
    },
    /// The words name no target.
    #[error("`{words}`: {reason}")]
    Words {
        /// The words of the user.
        words: String,
        /// What is wrong with them.
        reason: String,
    },
    /// The directory holds other things.
    #[error("`{0}` is not empty and no OCI layout: choose another directory")]
    NoLayout(String),
    /// The layout's index can't be read.
    #[error("`{target}`: index.json: {reason}")]
    Index {
        /// The layout.
        target: String,
        /// What is wrong with it.
        reason: String,
    },
}
