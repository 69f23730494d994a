//! Why an operation of the union was not done.

use crate::lower::LowerError;
use crate::sys::Errno;
use crate::upper::UpperError;

/// Every way an operation fails.
#[derive(Debug, thiserror::Error)]
pub enum UnionError {
    /// The answer that POSIX has for what was asked.
    #[error("{0}")]
    Answer(Errno),
    /// The read-only side failed.
    #[error(transparent)]
    Lower(#[from] LowerError),
    /// The writable side failed.
    #[error(transparent)]
    Upper(#[from] UpperError),
    /// One object of many could not be done.
    #[error("`{path}`")]
    At {
        /// Which, from the root.
        path: String,
        /// Why.
        source: Box<UnionError>,
    },
}

impl UnionError {
    /// The answer to the request.
    pub fn errno(&self) -> Errno {
        match self {
            UnionError::Answer(errno) => *errno,
            UnionError::Lower(error) => error.errno(),
            UnionError::Upper(error) => error.errno(),
            UnionError::At { source, .. } => source.errno(),
        }
    }

    /// Whether an object's marks stand in the way: it is there, and can't be looked up.
    pub fn is_of_marks(&self) -> bool {
        match self {
            UnionError::Answer(_) => false,
            UnionError::Lower(error) => error.is_of_marks(),
            UnionError::Upper(error) => error.is_of_marks(),
            UnionError::At { source, .. } => source.is_of_marks(),
        }
    }
}

/// The answer that POSIX has.
pub(super) fn answer<T>(errno: Errno) -> Result<T, UnionError> {
    Err(UnionError::Answer(errno))
}
