//! Why the store could not do what it was asked.

use std::path::PathBuf;

use super::digest::Digest;
use super::export::ExportError;
use super::frame::FrameError;
use super::index::IndexError;
use super::layer::LayerError;
use super::oci::DeriveError;
use super::reference::ReferenceError;
use super::source::SourceError;
use crate::sys::SysError;

/// Every way the store fails. Prints as one line that names the deed, the object and the reason.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store's directory can't be used.
    #[error("store `{}`: {source}", path.display())]
    Root {
        /// The store's root.
        path: PathBuf,
        /// The refused call.
        source: SysError,
    },
    /// The directory holds other things, and is no store.
    #[error("`{}` is not empty and not a layerfs store: choose another --root", .0.display())]
    NotAStore(PathBuf),
    /// There is no store.
    #[error("no store at `{}` yet: `layerfs pull`, `load` or `import` makes one; is --root right?", .0.display())]
    NoStore(PathBuf),
    /// The file system under the store does not lock directories.
    #[error("store `{}`: its file system does not lock directories, as NFS does not: choose a --root on a local disk", path.display())]
    NoLocks {
        /// The store's root.
        path: PathBuf,
        /// The refused call.
        source: SysError,
    },
    /// A later layerfs wrote the store.
    #[error("store `{}` has format {found}, this layerfs knows {known}: use a newer layerfs", path.display())]
    Newer {
        /// The store's root.
        path: PathBuf,
        /// The format that the store says.
        found: u32,
        /// The latest that this build knows.
        known: u32,
    },
    /// A later layerfs wrote a record.
    #[error(
        "{what} has version {found}, this layerfs knows {known}: a newer layerfs wrote it, use that"
    )]
    NewerRecord {
        /// Which record.
        what: String,
        /// The version that it says.
        found: u32,
        /// The latest that this build knows.
        known: u32,
    },
    /// A file of the store does not read as what it should be.
    #[error("{what} in the store is damaged: {reason}; `layerfs fsck` tells more")]
    Damaged {
        /// Which file.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A system call was refused.
    #[error("{deed}: {source}")]
    Call {
        /// What was being done.
        deed: String,
        /// The refused call.
        source: SysError,
    },
    /// An index could not be read or written.
    #[error("{what}: {source}")]
    Index {
        /// Which index.
        what: String,
        /// Why.
        source: IndexError,
    },
    /// The frame of a layer can't be used.
    #[error("frame of layer {layer}: {source}")]
    Frame {
        /// Short diff id.
        layer: String,
        /// Why.
        source: FrameError,
    },
    /// A layer came in before frames were kept.
    #[error(
        "layer {0} came in with an earlier layerfs, which did not keep what its archive is made of: pull or load the \
         image once more"
    )]
    FrameMissing(String),
    /// What was written of a layer is not what came in.
    #[error(
        "layer {layer}: its archive has the digest {found} now: `layerfs fsck` tells what is damaged"
    )]
    ArchiveChanged {
        /// Short diff id.
        layer: String,
        /// What the bytes have.
        found: Digest,
    },
    /// The place that an image is written to refuses it.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A layer that an image needs, or its merged tree, is not in the store.
    #[error("{0} is missing: import the image again")]
    LayerMissing(String),
    /// What an import found in the store and counted on was found damaged and set aside before it was published.
    #[error("{0} was set aside by a repair meanwhile: import again")]
    SetAside(String),
    /// The words of the user do not name a source, or the source is not as it should be.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A layer's archive is not as it should be.
    #[error("{what}: {source}")]
    Layer {
        /// Which layer of what.
        what: String,
        /// Where and why.
        source: LayerError,
    },
    /// What should be a root file system has no bytes at all.
    #[error("{0}: the archive is empty: whatever should have written it wrote nothing")]
    EmptyArchive(String),
    /// A blob is longer or shorter than its descriptor says.
    #[error("{what}: {found} bytes, not {expected}: the source is damaged, copy it again")]
    Length {
        /// The blob.
        what: String,
        /// Bytes that the descriptor says.
        expected: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// Bytes that do not have the digest that named them.
    #[error("{what}: digest is {found}, not {expected}: the source is damaged, copy it again")]
    Mismatch {
        /// The blob or layer.
        what: String,
        /// The digest that named it.
        expected: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
    /// A layer's bytes could not be read from the source.
    #[error("{what}: {source}")]
    Stream {
        /// The blob or layer.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// An import was told to stop.
    #[error("stopped")]
    Stopped,
    /// A text is not a reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// No image has that name or id.
    #[error("no image `{0}` in the store")]
    NoSuchImage(String),
    /// More than one image is meant.
    #[error("`{name}` is {}: say which", hits.join(" or "))]
    Ambiguous {
        /// The words of the user.
        name: String,
        /// What they could mean.
        hits: Vec<String>,
    },
    /// An image has several names, and only one of them, or all by force, may go.
    #[error("image {id} has {count} names: remove them one by one, or all with --force")]
    SeveralNames {
        /// Short id.
        id: String,
        /// How many.
        count: usize,
    },
    /// No container has that name or id.
    #[error("no container `{0}` in the store; `layerfs ps -a` lists all")]
    NoSuchContainer(String),
    /// A word is no name for a container.
    #[error(
        "`{0}` is no name for a container: take letters, digits, `_`, `.` and `-`, at least two and at most 255, \
         the first a letter or a digit"
    )]
    ContainerName(String),
    /// Another container has the name.
    #[error(
        "the name `{name}` is that of container {id}: choose another, or remove that one with `layerfs rm {name}`"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// Short id of the container that has it.
        id: String,
    },
    /// Its files come from a directory.
    #[error(
        "{0} has no image below it but a directory (--rootfs): what it changed can't be told from an image"
    )]
    NotOverImage(String),
    /// There is no writable layer.
    #[error("{0} is read-only: nothing can have been changed there")]
    NothingWritable(String),
    /// A configuration can't be made of another.
    #[error(transparent)]
    Derive(#[from] DeriveError),
    /// A container that runs can't be removed.
    #[error(
        "container `{0}` is running: wait until it ends, or end and remove it with `layerfs rm -f {0}`"
    )]
    ContainerLives(String),
    /// A word is no name for a volume.
    #[error(
        "`{0}` is no name for a volume: take letters, digits, `_`, `.` and `-`, at least two and at most 255, \
         a letter or digit first"
    )]
    VolumeName(String),
    /// No volume has that name.
    #[error("no volume `{0}` in the store; `layerfs volume ls` lists all")]
    NoSuchVolume(String),
    /// A volume that is to be removed is a container's.
    #[error(
        "volume `{name}` is used by container `{container}`: remove that one first, with `layerfs rm {container}`"
    )]
    VolumeUsed {
        /// The volume's name.
        name: String,
        /// The container's name.
        container: String,
    },
    /// A container that is to be started runs.
    #[error("container `{0}` is running already")]
    ContainerRuns(String),
    /// A container is not any more what it was when it was looked at.
    #[error("container `{0}` was changed, started or ended meanwhile; try again")]
    ContainerChanged(String),
}

impl StoreError {
    /// The refused call below this error, for callers that speak of calls only.
    pub(super) fn into_call(self) -> SysError {
        match self {
            StoreError::Root { source, .. }
            | StoreError::NoLocks { source, .. }
            | StoreError::Call { source, .. } => source,
            other => SysError::of_deed("store", other.to_string()),
        }
    }
}

/// Gives a refused call the deed it belongs to.
pub(super) trait During<T> {
    /// The same, with what was being done where it failed.
    fn during(self, deed: impl FnOnce() -> String) -> Result<T, StoreError>;
}

impl<T> During<T> for Result<T, SysError> {
    fn during(self, deed: impl FnOnce() -> String) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Call { deed: deed(), source })
    }
}

impl<T> During<T> for Result<T, IndexError> {
    fn during(self, deed: impl FnOnce() -> String) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Index { what: deed(), source })
    }
}
