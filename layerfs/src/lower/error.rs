//! Why a lower tree can't be read.

use crate::store::digest::Digest;
use crate::store::index::IndexError;
use crate::sys::{Errno, SysError};
use crate::tree::{MetacopyFault, NameError, OpaqueFault, RecordFault, RedirectFault};

/// Every way a lower tree fails. Absence of a name is no error.
#[derive(Debug, thiserror::Error)]
pub enum LowerError {
    /// The index of an image can't be read.
    #[error("index of the image: {0}")]
    Index(#[from] IndexError),
    /// The contents of a file are not in the store, or can't be opened.
    #[error("object {digest}: {source}")]
    Object {
        /// The contents.
        digest: Digest,
        /// The refused call.
        source: SysError,
    },
    /// The contents of a file have another size than the image says.
    #[error("object {digest} has {found} bytes, not {expected}: `layerfs fsck` tells more")]
    ObjectSize {
        /// The contents.
        digest: Digest,
        /// Bytes that the image says.
        expected: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// A call on a lower directory was refused.
    #[error("lower `{path}`: {source}")]
    Call {
        /// Where.
        path: String,
        /// The refused call.
        source: SysError,
    },
    /// A lower object is not the one that was looked up.
    #[error("lower `{0}` changed while it was in use")]
    Changed(String),
    /// A redirect that no union wrote.
    #[error("lower `{path}`: {source}")]
    Redirect {
        /// Where.
        path: String,
        /// What is wrong with it.
        source: RedirectFault,
    },
    /// An opaque mark that no union wrote.
    #[error("lower `{path}`: {source}")]
    Opaque {
        /// Where.
        path: String,
        /// What is wrong with it.
        source: OpaqueFault,
    },
    /// A mark that a name is hidden, and none is named.
    #[error("lower `{path}`: hides mark is no name: {source}")]
    Hides {
        /// Where.
        path: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// A metacopy mark that no union wrote.
    #[error("lower `{path}`: {source}")]
    Metacopy {
        /// Where.
        path: String,
        /// What is wrong with it.
        source: MetacopyFault,
    },
    /// A recorded owner that nobody wrote.
    #[error("lower `{path}`: {source}")]
    Record {
        /// Where.
        path: String,
        /// What is wrong with it.
        source: RecordFault,
    },
    /// A redirect, or a file whose data lies elsewhere, where the mount may not follow such.
    #[error(
        "lower `{0}` has a redirect or its data elsewhere, and this mount does not follow them"
    )]
    RedirectRefused(String),
    /// A file of which only the upper that wrote it knows which blocks it has.
    #[error("lower `{0}` is a partial file: `layerfs upper normalize` completes it")]
    PartialFile(String),
    /// A file whose data should lie in a layer below, and does not.
    #[error("lower `{0}`: no layer below has its data")]
    DataMissing(String),
    /// An inode number of the upper that leaves no room to tell it from those of the image.
    #[error("inode number {ino} leaves no room to tell the upper from the image")]
    InoTooLarge {
        /// The number.
        ino: u64,
    },
    /// A stack of no directories.
    #[error("no lower directory is given")]
    NoLayers,
    /// A directory operation on something else.
    #[error("not a directory")]
    NotADirectory,
    /// Something else was opened as a file.
    #[error("not a regular file")]
    NotAFile,
    /// Something else was read as a symbolic link.
    #[error("not a symbolic link")]
    NotALink,
    /// A node was given to a tree that it does not come from.
    #[error("node belongs to another tree")]
    ForeignNode,
}

impl LowerError {
    /// The refused call below this error; one of `EIO` where it is no call's.
    pub fn into_call(self) -> SysError {
        match self {
            LowerError::Object { source, .. } | LowerError::Call { source, .. } => source,
            other => SysError::of_deed("read a lower object", other.to_string()),
        }
    }

    /// Whether it is marks that stand in the way, and not a call.
    pub fn is_of_marks(&self) -> bool {
        matches!(
            self,
            LowerError::Redirect { .. }
                | LowerError::Opaque { .. }
                | LowerError::Hides { .. }
                | LowerError::Metacopy { .. }
                | LowerError::Record { .. }
                | LowerError::RedirectRefused(_)
                | LowerError::PartialFile(_)
                | LowerError::DataMissing(_)
        )
    }

    /// The answer to a file-system request that met this error.
    pub fn errno(&self) -> Errno {
        match self {
            LowerError::Index(error) => error.errno(),
            // Contents that are gone do not make the name absent.
            LowerError::Object { source, .. } if source.is_absent() => Errno::IO,
            LowerError::Object { source, .. } | LowerError::Call { source, .. } => source.errno(),
            LowerError::ObjectSize { .. }
            | LowerError::Redirect { .. }
            | LowerError::Opaque { .. }
            | LowerError::Hides { .. }
            | LowerError::Metacopy { .. }
            | LowerError::Record { .. }
            | LowerError::PartialFile(_)
            | LowerError::DataMissing(_)
            | LowerError::ForeignNode => Errno::IO,
            LowerError::Changed(_) => Errno::STALE,
            LowerError::RedirectRefused(_) => Errno::PERM,
            LowerError::InoTooLarge { .. } => Errno::OVERFLOW,
            LowerError::NoLayers | LowerError::NotAFile | LowerError::NotALink => Errno::INVAL,
            LowerError::NotADirectory => Errno::NOTDIR,
        }
    }
}
