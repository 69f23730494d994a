//! The documents of what is written: manifests, indexes, and docker's own lists.

use serde_json::{Map, Value, json};

use super::pack::Pack;
use crate::store::digest::Digest;
use crate::store::reference::Reference;

/// What names a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blob {
    pub media_type: &'static str,
    pub digest: Digest,
    pub size: u64,
}

pub(super) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONTAINERD_NAME: &str = "io.containerd.image.name";

impl Blob {
    fn json(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest.to_string(), "size": self.size })
    }

    /// Where it lies in a layout.
    pub(super) fn path(&self) -> String {
        format!("blobs/sha256/{}", self.digest.hex())
    }
}

/// An image of whose documents and layers all are written.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub config: Blob,
    pub manifest: Blob,
    pub layers: Vec<Blob>,
}

/// The manifest of an image.
pub(super) fn manifest(config: &Blob, layers: &[Blob]) -> Vec<u8> {
    let layers: Vec<Value> = layers.iter().map(Blob::json).collect();
    json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config.json(), "layers": layers })
        .to_string()
        .into_bytes()
}

/// An entry of an index, under OCI's word for it.
pub(super) fn entry(manifest: &Blob, called: Option<&str>) -> Value {
    let mut entry = manifest.json();
    if let Some(called) = called {
        entry["annotations"] = json!({ REF_NAME: called });
    }
    entry
}

/// An entry of an index, under a name as docker writes it.
pub(super) fn entry_of_docker(manifest: &Blob, name: Option<&Reference>) -> Value {
    let mut entry = manifest.json();
    if let Some(name) = name {
        entry["annotations"] = json!({
            CONTAINERD_NAME: full_name(name),
            REF_NAME: name.tag().unwrap_or_default(),
        });
    }
    entry
}

/// A whole index.
pub(super) fn index(entries: Vec<Value>) -> Value {
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries })
}

/// One entry of docker's `manifest.json`.
pub(super) fn saved(image: &Written, names: &[Reference]) -> Value {
    let tags: Vec<String> = names.iter().map(Reference::to_string).collect();
    let layers: Vec<String> = image.layers.iter().map(Blob::path).collect();
    let sources = image.layers.iter().map(|layer| (layer.digest.to_string(), layer.json()));
    let tags = if tags.is_empty() { Value::Null } else { tags.into() };
    json!({
        "Config": image.config.path(),
        "RepoTags": tags,
        "Layers": layers,
        "LayerSources": Map::from_iter(sources),
    })
}

/// Adds names to docker's `repositories`.
pub(super) fn add_repositories(all: &mut Map<String, Value>, image: &Written, names: &[Reference]) {
    for name in names {
        let (Some(tag), Some(top)) = (name.tag(), image.layers.last()) else { continue };
        let tags = all.entry(name.familiar_repository()).or_insert_with(|| json!({}));
        tags[tag] = top.digest.hex().into();
    }
}

/// The name with its registry, as containerd wants it.
fn full_name(name: &Reference) -> String {
    let candidates = name.normalized_candidates();
    // The last candidate of a short name is docker's own; any other name is its only candidate.
    let full = if name.domain().is_none() { candidates.last() } else { candidates.first() };
    full.unwrap_or(name).as_given()
}

/// The media type of layers packed so.
pub(super) fn layer_blob(pack: Pack, (digest, size): (Digest, u64)) -> Blob {
    Blob { media_type: pack.media_type(), digest, size }
}
