//! Indexes and manifests: descriptors, and which of the two a document is.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::bounded;
use super::media::Media;
use super::platform::Platform;
use super::text::shown;
use crate::store::digest::{Digest, DigestError};

/// Layers of one image.
pub(super) const LAYERS_MAX: usize = 4096;
/// Entries of one index.
const INDEX_ENTRIES_MAX: usize = 65_536;

/// What a document says about a blob: its type, digest and size.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Descriptor {
    /// The media type, as written.
    #[serde(deserialize_with = "bounded::string")]
    pub media_type: String,
    #[serde(deserialize_with = "bounded::string")]
    digest: String,
    size: Option<i64>,
    /// Annotations: tags, names, the mark of attestations.
    #[serde(deserialize_with = "bounded::strings")]
    pub annotations: BTreeMap<String, String>,
    platform: Option<PlatformWords>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PlatformWords {
    #[serde(deserialize_with = "bounded::string")]
    os: String,
    #[serde(deserialize_with = "bounded::string")]
    architecture: String,
    variant: Option<String>,
}

/// Why a descriptor names no blob.
#[derive(Debug, thiserror::Error)]
pub enum DescriptorError {
    /// The digest is malformed or not sha256.
    #[error("malformed descriptor")]
    Digest(#[from] DigestError),
    /// The size is missing or below zero.
    #[error("descriptor of {digest} has size {size}, which no blob has")]
    Size {
        /// The digest it names.
        digest: Digest,
        /// The size as written.
        size: String,
    },
}

impl Descriptor {
    /// The blob's digest.
    pub fn digest(&self) -> Result<Digest, DescriptorError> {
        Ok(Digest::parse(&shown(&self.digest))?)
    }

    /// The digest as written, for messages.
    pub fn shown_digest(&self) -> String {
        shown(&self.digest)
    }

    /// The blob's size in bytes.
    pub fn size_bytes(&self) -> Result<u64, DescriptorError> {
        let digest = self.digest()?;
        match self.size {
            None => Err(DescriptorError::Size { digest, size: "unknown".into() }),
            Some(size) => u64::try_from(size)
                .map_err(|_| DescriptorError::Size { digest, size: size.to_string() }),
        }
    }

    /// What the media type names.
    pub fn media(&self) -> Media {
        Media::of(&self.media_type)
    }

    /// The platform, where the descriptor says one.
    pub fn platform(&self) -> Option<Platform> {
        let words = self.platform.as_ref().filter(|words| !words.architecture.is_empty())?;
        Some(Platform::new(&words.os, &words.architecture, words.variant.as_deref()))
    }

    /// Whether the blob only speaks about an image: an attestation (BuildKit's mark, or a platform that is unknown).
    pub fn is_attestation(&self) -> bool {
        self.annotations.contains_key("vnd.docker.reference.type")
            || self.platform().is_some_and(|platform| platform.is_unknown())
    }
}

/// A manifest: the config and the layers of one image, or what an artifact puts in their places.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The config.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
}

/// What a document is.
#[derive(Clone, Debug)]
pub enum Body {
    /// An index: a list of manifests and further indexes.
    Index(Vec<Descriptor>),
    /// A manifest.
    Manifest(Manifest),
}

/// Why a document is neither an index nor a manifest.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Not JSON of that form.
    #[error("malformed document")]
    Json(#[from] serde_json::Error),
    /// Docker's schema 1.
    #[error(
        "Docker's manifest schema 1 is not supported; convert it with `skopeo copy --format oci`"
    )]
    Schema1,
    /// The document could be read as an index and as a manifest: a known way to show two readers two images.
    #[error("the document is at once an index and a manifest")]
    Ambiguous,
    /// The document is of another type than the descriptor that named it says.
    #[error("the document is not of the type that its descriptor or its own media type says")]
    MediaType,
    /// Neither `manifests` nor `config` is there.
    #[error("the document is neither an index nor a manifest")]
    Neither,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Document {
    schema_version: Option<u64>,
    #[serde(deserialize_with = "bounded::string")]
    media_type: String,
    #[serde(deserialize_with = "bounded::some_list::<_, _, INDEX_ENTRIES_MAX>")]
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    #[serde(deserialize_with = "bounded::some_list::<_, _, LAYERS_MAX>")]
    layers: Option<Vec<Descriptor>>,
    fs_layers: Option<serde::de::IgnoredAny>,
}

/// Reads an index or a manifest. `named` is what the descriptor that led here says it is.
pub fn parse_document(bytes: &[u8], named: Media) -> Result<Body, DocumentError> {
    let document: Document = serde_json::from_slice(bytes)?;
    let own = Media::of(&document.media_type);
    if document.schema_version == Some(1)
        || document.fs_layers.is_some()
        || own == Media::Schema1
        || named == Media::Schema1
    {
        return Err(DocumentError::Schema1);
    }
    let fits =
        |body: Media| [own, named].iter().all(|said| *said == body || *said == Media::Unsaid);
    match (document.manifests, document.config, document.layers) {
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) => Err(DocumentError::Ambiguous),
        (Some(manifests), None, None) if fits(Media::Index) => Ok(Body::Index(manifests)),
        (None, Some(config), layers) if fits(Media::Manifest) => {
            Ok(Body::Manifest(Manifest { config, layers: layers.unwrap_or_default() }))
        }
        (None, None, _) => Err(DocumentError::Neither),
        _ => Err(DocumentError::MediaType),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Body, DocumentError> {
        parse_document(text.as_bytes(), Media::Unsaid)
    }

    #[test]
    fn a_document_is_an_index_or_a_manifest_and_never_both() {
        assert!(matches!(parse(r#"{"manifests":null}"#), Ok(Body::Index(list)) if list.is_empty()));
        assert!(matches!(parse(r#"{"config":{},"layers":null}"#), Ok(Body::Manifest(_))));
        assert!(matches!(parse(r#"{"manifests":[],"layers":[]}"#), Err(DocumentError::Ambiguous)));
        assert!(matches!(parse(r#"{"manifests":[],"config":{}}"#), Err(DocumentError::Ambiguous)));
        assert!(matches!(parse("{}"), Err(DocumentError::Neither)));
        assert!(matches!(
            parse_document(br#"{"manifests":[]}"#, Media::Manifest),
            Err(DocumentError::MediaType)
        ));
        let lying = r#"{"mediaType":"application/vnd.oci.image.manifest.v1+json","manifests":[]}"#;
        assert!(matches!(parse(lying), Err(DocumentError::MediaType)));
    }

    #[test]
    fn schema_1_is_refused_however_it_shows() {
        for text in [r#"{"schemaVersion":1}"#, r#"{"fsLayers":[]}"#] {
            assert!(matches!(parse(text), Err(DocumentError::Schema1)), "{text}");
        }
    }

    #[test]
    fn negative_and_missing_sizes_name_no_blob() {
        let digest = Digest::of(b"");
        for size in ["-1", "null"] {
            let text = format!(r#"{{"digest":"{digest}","size":{size}}}"#);
            let descriptor: Descriptor = serde_json::from_str(&text).unwrap();
            assert!(matches!(descriptor.size_bytes(), Err(DescriptorError::Size { .. })), "{size}");
        }
    }
}
