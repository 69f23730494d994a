//! Why the changes of a writable layer could not be told.

use std::io;

use crate::lower::LowerError;
use crate::store::archive::{DEPTH_MAX, EntryPath};
use crate::upper::UpperError;

/// Every way the walk fails.
#[derive(Debug, thiserror::Error)]
pub enum ChangesError {
    /// The writable side can't be read.
    #[error("`/{path}`: {source}")]
    Upper {
        /// Where.
        path: EntryPath,
        /// Why.
        source: UpperError,
    },
    /// The read-only side can't be read.
    #[error("`/{path}`: {source}")]
    Lower {
        /// Where.
        path: EntryPath,
        /// Why.
        source: LowerError,
    },
    /// A redirect that a mount would not follow either.
    #[error(
        "`/{0}` has a redirect in `user.overlay.*`, which is not followed as root: call as the user who mounted it"
    )]
    RedirectRefused(EntryPath),
    /// A file of which the kernel's overlayfs copied no more than metadata up.
    #[error(
        "`/{0}` has its contents in the layers below: run `layerfs upper normalize` on the upper directory first"
    )]
    DataBelow(EntryPath),
    /// Such a file, of which the layers below have nothing.
    #[error(
        "`/{0}` has its contents in the layers below, which are not there: name all lower directories, in their order"
    )]
    DataMissing(EntryPath),
    /// More directories in each other than an archive's readers take.
    #[error("`/{path}` and what is below it are more than {DEPTH_MAX} directories deep")]
    TooDeep {
        /// The outermost of them.
        path: EntryPath,
    },
    /// A name that hides another in a layer.
    #[error("`/{0}` begins with `.wh.`, which hides another name in a layer: rename it")]
    ReservedName(EntryPath),
    /// A name that can't be hidden: `.wh.` before it makes it longer than a name may be.
    #[error("`/{0}` is gone, and its name is too long to be hidden in a layer: try again")]
    LongName(EntryPath),
    /// A file changed under the walk.
    #[error("`/{0}` changed while it was read: stop what writes to it and try again")]
    Changed(EntryPath),
    /// The archive can't be written.
    #[error("write the layer: {0}")]
    Write(#[from] io::Error),
}
