//! Why the writable layer could not do what it was asked.

use crate::sys::{Errno, SysError};
use crate::tree::{
    AclFault, MetacopyFault, Name, NameError, OpaqueFault, OriginFault, RecordFault, RedirectFault,
};

/// Every way the upper fails.
#[derive(Debug, thiserror::Error)]
pub enum UpperError {
    /// A system call was refused.
    #[error("{deed}: {source}")]
    Call {
        /// What was being done.
        deed: &'static str,
        /// The refused call.
        source: SysError,
    },
    /// A mark on an object can't be understood.
    #[error("`{name}`: {fault}")]
    Mark {
        /// The object's name.
        name: String,
        /// What is wrong with it.
        fault: MarkFault,
    },
    /// Another mount uses the upper or the work directory.
    #[error("the {0} directory is in use by another mount")]
    Busy(&'static str),
    /// The kernel's overlayfs changes the directories beside us.
    #[error(
        "the kernel's overlayfs has it, or its work directory, mounted at `{0}`: unmount that first"
    )]
    InKernel(String),
    /// Upper and work directory are on different file systems.
    #[error("upper and work directory are not on one file system")]
    TwoFilesystems,
    /// The last mount synced nothing, and changes may have been lost since.
    #[error(
        "it was mounted volatile, and a crash since then may have lost changes: if there was none, remove \
         `work/incompat/volatile` in the work directory; if there was, discard both directories"
    )]
    Volatile,
    /// Who wrote it left a mark that we don't know.
    #[error(
        "`{0}` in `work/incompat` of the work directory is not known: mount it with what wrote that"
    )]
    Incompatible(String),
    /// Its changes are those of another image: the trees would be mixed.
    #[error(
        "it holds changes of an image whose layers have the chain id {made}, and this image's have {given}: mount it \
         over that image, or take another upper"
    )]
    OtherImage {
        /// The chain id of the image that it was first mounted over.
        made: String,
        /// That of the image that it is to be mounted over.
        given: String,
    },
    /// Which names show one file is known in the work directory only, and that was not named.
    #[error(
        "it has copies of files with several names, which its work directory knows: name that, too"
    )]
    IndexUnknown,
    /// A redirect does not fit into an attribute.
    #[error("the path of a renamed directory is too long to be stored")]
    LongRedirect,
    /// A redirect would be written where none may be.
    #[error("a directory of the lower can't be renamed where redirects are off")]
    RedirectsOff,
    /// A mark is needed where there can be none.
    #[error("the upper's file system keeps no attributes, and this change needs a mark")]
    NoMarks,
    /// No form of whiteouts can be had.
    #[error("whiteouts can't be {0} here: {1}")]
    NoWhiteouts(&'static str, &'static str),
    /// An attribute that belongs to fuse-overlayfs.
    #[error("attribute `{0}` is a mark of fuse-overlayfs, which nobody sets")]
    Reserved(String),
    /// The disk of the upper takes no changes.
    #[error(
        "it lies on a file system that is mounted read-only: to see it, leave upperdir= and \
         workdir= out and name it as the first of lowerdir="
    )]
    ReadOnlyDisk,
    /// The work directory is another's.
    #[error("nothing may be made in the work directory: {0}; give one that this user may write to")]
    NotWritable(SysError),
    /// A redirect leads into the lower, and may not be followed.
    #[error(
        "`{0}` has a redirect, or its data in a lower layer, and this mount does not follow such marks of its upper"
    )]
    RedirectRefused(String),
    /// One object of many could not be done.
    #[error("`{path}`")]
    At {
        /// Which, from the upper directory.
        path: String,
        /// Why.
        source: Box<UpperError>,
    },
}

/// What is wrong with a mark.
#[derive(Debug, thiserror::Error)]
pub enum MarkFault {
    /// The redirect mark.
    #[error(transparent)]
    Redirect(#[from] RedirectFault),
    /// The opaque mark.
    #[error(transparent)]
    Opaque(#[from] OpaqueFault),
    /// The mark of a directory that hides a name.
    #[error("hides mark is no name: {0}")]
    Hides(NameError),
    /// Another directory of the upper is merged with the same one of the lower.
    #[error(
        "its redirect mark leads to a directory of the lower that another one stands for: remove the copy that was made by hand"
    )]
    RedirectTaken,
    /// The origin mark.
    #[error(transparent)]
    Origin(#[from] OriginFault),
    /// The metacopy mark.
    #[error("metacopy mark of {} bytes is of no known form", .0.len)]
    Metacopy(MetacopyFault),
    /// A directory's default access control list.
    #[error(transparent)]
    Acl(#[from] AclFault),
    /// A recorded owner.
    #[error(transparent)]
    Record(#[from] RecordFault),
    /// The count of hidden and added names.
    #[error("link count mark is damaged")]
    Links,
    /// Only some of the file's blocks are here, and it is not the file that they were written to.
    #[error(
        "it is a copy of a file of which only some blocks were written, and its holes may not be where that has them: \
         take the upper that it was copied from, after `layerfs upper normalize`"
    )]
    Moved,
    /// The file's data should lie in a lower layer, and does not.
    #[error(
        "its data lies in a lower layer (metacopy), and no lower directory has it: mount it over the lower directories \
         that it was made over"
    )]
    DataMissing,
}

impl UpperError {
    /// The answer to a file-system request that met this error.
    pub fn errno(&self) -> Errno {
        match self {
            UpperError::Call { source, .. } => source.errno(),
            UpperError::Mark { .. } | UpperError::NoMarks => Errno::IO,
            UpperError::Busy(_) | UpperError::InKernel(_) => Errno::BUSY,
            UpperError::TwoFilesystems | UpperError::LongRedirect | UpperError::RedirectsOff => {
                Errno::XDEV
            }
            UpperError::ReadOnlyDisk => Errno::ROFS,
            UpperError::NotWritable(source) => source.errno(),
            UpperError::RedirectRefused(_)
            | UpperError::Reserved(_)
            | UpperError::NoWhiteouts(..) => Errno::PERM,
            UpperError::Volatile
            | UpperError::Incompatible(_)
            | UpperError::OtherImage { .. }
            | UpperError::IndexUnknown => Errno::INVAL,
            UpperError::At { source, .. } => source.errno(),
        }
    }

    /// What is said of a directory whose redirect leads where another directory's does.
    pub fn redirect_taken(name: &Name) -> UpperError {
        UpperError::Mark { name: name.to_string(), fault: MarkFault::RedirectTaken }
    }

    /// What is said of a file whose mark says that its data lies below, where it does not.
    pub fn data_missing(name: &Name) -> UpperError {
        UpperError::Mark { name: name.to_string(), fault: MarkFault::DataMissing }
    }

    /// The same, with the path of the object that it is of.
    pub(super) fn at(self, path: String) -> UpperError {
        match self {
            UpperError::Mark { fault, .. } => UpperError::Mark { name: path, fault },
            source => UpperError::At { path, source: Box::new(source) },
        }
    }

    /// Whether it is the object's marks that stand in the way, and not a call.
    pub fn is_of_marks(&self) -> bool {
        match self {
            UpperError::At { source, .. } => source.is_of_marks(),
            other => matches!(other, UpperError::Mark { .. } | UpperError::RedirectRefused(_)),
        }
    }

    /// Whether the object is absent.
    pub fn is_absent(&self) -> bool {
        self.errno() == Errno::NOENT
    }
}

/// Gives a refused call the deed it belongs to.
pub(super) trait During<T> {
    /// The same, with what was being done where it failed.
    fn during(self, deed: &'static str) -> Result<T, UpperError>;
}

impl<T> During<T> for Result<T, SysError> {
    fn during(self, deed: &'static str) -> Result<T, UpperError> {
        self.map_err(|source| UpperError::Call { deed, source })
    }
}
