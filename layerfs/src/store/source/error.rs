//! The errors of image sources: which source, and what is wrong with it.

use std::io;

use crate::store::archive::ArchiveError;
use crate::store::digest::Digest;
use crate::store::oci::{DescriptorError, DocumentError, Platform};
use crate::sys::SysError;

use super::gather::DOCUMENTS_LEN_MAX;
use super::label::{IMAGES_MAX, NAMES_MAX};
use super::member::MEMBERS_MAX;
use super::place::DOCUMENT_LEN_MAX;

/// A source that can not be read, or that does not hold what was asked for.
#[derive(Debug)]
pub struct SourceError {
    /// The source as the user named it, escaped.
    pub source_name: String,
    /// What is wrong. It stands in the text, so its own cause is this error's cause.
    pub fault: Box<SourceFault>,
}

impl std::fmt::Display for SourceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.source_name, self.fault)
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.fault.source()
    }
}

/// What is wrong with a source. Texts from the source stand escaped in it.
#[derive(Debug, thiserror::Error)]
pub enum SourceFault {
    /// The user's words start with a transport that is not one of ours.
    #[error("{0}")]
    ReadWords(String),
    /// The file or directory can not be opened.
    #[error("open")]
    OpenSource(#[source] SysError),
    /// An archive was named that is no file.
    #[error(
        "it is not a regular file; name a directory as oci:DIR, and pipe a stream into `layerfs load`"
    )]
    OpenIrregular,
    /// A member of the source can not be opened or read.
    #[error("read `{member}`")]
    ReadMember {
        /// The member's name in the source.
        member: String,
        /// The cause.
        source: io::Error,
    },
    /// The stream, or the packed archive, can not be read to its end.
    #[error("read the archive; it may be truncated or corrupt")]
    ReadStream(#[source] io::Error),
    /// The place for unpacked archives refuses them.
    #[error("write the unpacked archive to the store's temporary directory")]
    WriteSpool(#[source] SysError),
    /// The archive is packed in a way that is not read.
    #[error("it is packed with {0}, which is not supported; unpack it first")]
    UnpackArchive(&'static str),
    /// The tar stream is damaged.
    #[error("scan the archive")]
    ScanArchive(#[source] ArchiveError),
    /// More members than an image archive has.
    #[error("the archive has more than {MEMBERS_MAX} members or too long names")]
    CountMembers,
    /// A member that is needed is a sparse file.
    #[error("member `{0}` is a sparse file; write the archive again without --sparse")]
    ReadSparse(String),
    /// Links that lead to each other, or too many in a row.
    #[error("member `{0}` is a link that leads nowhere")]
    FollowLink(String),
    /// The source lacks a file that it must have.
    #[error("it is not {form}: `{member}` is missing{cure}")]
    MissMember {
        /// The form that was expected.
        form: &'static str,
        /// The missing file.
        member: &'static str,
        /// What to do, where that is known; starts with `; `.
        cure: &'static str,
    },
    /// `oci-layout` names another version.
    #[error("OCI layout version `{0}` is not supported, only 1.x")]
    CheckVersion(String),
    /// A file that the manifest of a docker archive names is not in it.
    #[error("member `{0}` is named by manifest.json and missing; the archive is incomplete")]
    MissNamed(String),
    /// A blob that a document names is not there.
    #[error("{what} {digest} is missing; the source is incomplete, copy it again")]
    MissBlob {
        /// What the blob is: a layer, a config.
        what: &'static str,
        /// Its digest.
        digest: Digest,
    },
    /// A blob has another size than the document says that names it.
    #[error("{what} {digest} has {have} bytes, not the {want} that its descriptor says")]
    CheckSize {
        /// What the blob is.
        what: &'static str,
        /// Its digest.
        digest: Digest,
        /// The size said.
        want: u64,
        /// The size found.
        have: u64,
    },
    /// A document does not have the digest that names it.
    #[error("{what} {want} is corrupt: its bytes have digest {have}")]
    CheckDigest {
        /// What the blob is.
        what: &'static str,
        /// The digest that names it.
        want: Digest,
        /// The digest of its bytes.
        have: Digest,
    },
    /// A manifest, index or config of a size that none has.
    #[error("{what} has {size} bytes, more than the {DOCUMENT_LEN_MAX} that one may have")]
    CheckLength {
        /// The document.
        what: String,
        /// Its size.
        size: u64,
    },
    /// A descriptor that names no blob.
    #[error("read the descriptor of a {what}")]
    ReadDescriptor {
        /// What it should name.
        what: &'static str,
        /// The fault.
        #[source]
        fault: DescriptorError,
    },
    /// An index or a manifest that is none.
    #[error("read {what}")]
    ReadDocument {
        /// The document.
        what: String,
        /// The fault.
        #[source]
        fault: DocumentError,
    },
    /// JSON that is not of the form it should have.
    #[error("{what} is malformed")]
    ReadJson {
        /// The document.
        what: String,
        /// The cause.
        source: serde_json::Error,
    },
    /// Indexes within indexes, deeper than anyone nests them.
    #[error("indexes are nested more than {0} deep")]
    NestIndexes(usize),
    /// Config and manifest speak of different numbers of layers.
    #[error("the image has {layers} layers and its config {diff_ids} diff ids")]
    CountLayers {
        /// Layers of the manifest.
        layers: usize,
        /// Diff ids of the config.
        diff_ids: usize,
    },
    /// A layer that is not given away with the image.
    #[error(
        "layer {0} is a foreign layer, which is not distributed with its image and not supported"
    )]
    TakeForeignLayer(String),
    /// A layer in a form that is not read.
    #[error("layer {digest} has media type `{media_type}`, which is not supported")]
    TakeLayerMedia {
        /// Its digest.
        digest: String,
        /// Its media type.
        media_type: String,
    },
    /// A layer packed in a way that is not read.
    #[error(
        "layer {layer} is packed with {packing}, which is not supported (plain, gzip, zstd are)"
    )]
    UnpackLayer {
        /// Digest or member of the layer.
        layer: String,
        /// The packing.
        packing: &'static str,
    },
    /// Nothing in the source is an image.
    #[error("it holds no image")]
    FindImage,
    /// More images than are taken from one source.
    #[error("it holds more than the {IMAGES_MAX} images that are taken from one source")]
    CountImages,
    /// More names than are taken from one source.
    #[error("its images have more than the {NAMES_MAX} names that are taken from one source")]
    CountNames,
    /// More in manifests and configs than fits into memory.
    #[error("manifests and configs of its images have more than {} MiB", DOCUMENTS_LEN_MAX >> 20)]
    CountDocuments,
    /// No image has the tag that was asked for.
    #[error("it holds no image `{asked}`; it holds {there}")]
    FindTag {
        /// What was asked for.
        asked: String,
        /// What is there.
        there: String,
    },
    /// Several images, and none or more than one of them was asked for.
    #[error("it holds several images, name one of them after a colon: {there}")]
    ChooseTag {
        /// What is there.
        there: String,
    },
    /// No image for the platform.
    #[error("it holds no image for {wanted}; it holds {there}; choose with --platform")]
    FindPlatform {
        /// The platform wanted.
        wanted: Platform,
        /// What is there.
        there: String,
    },
}

impl SourceFault {
    /// Whether the bytes could not be had, as against bytes that are wrong.
    pub(super) fn is_of_reading(&self) -> bool {
        matches!(
            self,
            SourceFault::OpenSource(_)
                | SourceFault::ReadMember { .. }
                | SourceFault::ReadStream(_)
                | SourceFault::WriteSpool(_)
        )
    }

    /// The error of a source that has this fault.
    pub(super) fn of(self, source_name: &str) -> SourceError {
        SourceError { source_name: source_name.to_owned(), fault: Box::new(self) }
    }
}
