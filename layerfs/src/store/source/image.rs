//! What a source gives: images, their documents and where their layers lie.

use crate::store::digest::Digest;
use crate::store::oci::History;
use crate::store::reference::Reference;

use super::compression::Compression;
use super::place::Located;

/// One image of a source.
#[derive(Debug)]
pub struct SourceImage {
    /// Its names, with their tags; empty where the source says none.
    pub names: Vec<Reference>,
    /// The manifest; plain docker archives have none.
    pub manifest: Option<RawBlob>,
    /// The config. Its digest is the image's id.
    pub config: RawBlob,
    /// The layers, lowest first, one for each diff id of the config.
    pub layers: Vec<SourceLayer>,
}

/// A document exactly as it was written, and the digest of those bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawBlob {
    /// The digest of `bytes`.
    pub digest: Digest,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// One layer of an image in a source.
#[derive(Debug)]
pub struct SourceLayer {
    /// Digest and size of the stored blob; `None` where the archive does not say.
    pub blob: Option<(Digest, u64)>,
    /// The digest of the unpacked layer, which the config says.
    pub diff_id: Digest,
    /// How the stored blob is packed.
    pub compression: Compression,
    /// The step that made the layer, where the config's history tells.
    pub history: Option<History>,
    /// Bytes to be read: the size of what is stored.
    pub stored_bytes: u64,
    pub(super) located: Located,
}

impl RawBlob {
    /// The blob of these bytes.
    pub fn of(bytes: Vec<u8>) -> Self {
        RawBlob { digest: Digest::of(&bytes), bytes }
    }
}
