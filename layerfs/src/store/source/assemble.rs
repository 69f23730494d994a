//! One image put together: its documents checked, its layers found.

use crate::store::digest::Digest;
use crate::store::oci::{Descriptor, ImageConfig, LayerMedia, Manifest, Packing, Platform, shown};
use crate::store::reference::Reference;

use super::compression::Compression;
use super::error::SourceFault;
use super::image::{RawBlob, SourceImage, SourceLayer};
use super::place::{DOCUMENT_LEN_MAX, Located, Place, blob_name};

/// A layer that was found, before the config has said what it unpacks to.
pub(super) struct StoredLayer {
    /// Digest and size, where the source says.
    pub(super) blob: Option<(Digest, u64)>,
    /// The packing that the source says.
    pub(super) said: Option<Packing>,
    /// Where it lies.
    pub(super) located: Located,
    /// How messages call it.
    pub(super) shown: String,
}

/// The document that a descriptor names, with size and digest checked.
pub(super) fn read_document(
    place: &Place,
    what: &'static str,
    descriptor: &Descriptor,
) -> Result<RawBlob, SourceFault> {
    let (want, size) = digest_and_size(what, descriptor)?;
    if size > DOCUMENT_LEN_MAX {
        return Err(SourceFault::CheckLength { what: format!("{what} {want}"), size });
    }
    let located = locate_blob(place, what, (want, size))?;
    let blob = RawBlob::of(place.read(&blob_name(want), &located)?);
    if blob.digest == want {
        Ok(blob)
    } else {
        Err(SourceFault::CheckDigest { what, want, have: blob.digest })
    }
}

/// The image of an OCI manifest.
pub(super) fn image_of_manifest(
    place: &Place,
    names: Vec<Reference>,
    raw: RawBlob,
    manifest: &Manifest,
) -> Result<SourceImage, SourceFault> {
    let config = read_document(place, "config", &manifest.config)?;
    let stored: Result<Vec<_>, _> =
        manifest.layers.iter().map(|layer| stored_layer(place, layer)).collect();
    let layers = layers(place, &read_config(&config)?, stored?)?;
    Ok(SourceImage { names, manifest: Some(raw), config, layers })
}

/// Reads the config in a blob.
pub(super) fn read_config(config: &RawBlob) -> Result<ImageConfig, SourceFault> {
    let what = || format!("config {}", config.digest);
    ImageConfig::parse(&config.bytes)
        .map_err(|source| SourceFault::ReadJson { what: what(), source })
}

/// The platform that a config says; `None` where it says none.
pub(super) fn platform_of(config: &ImageConfig) -> Option<Platform> {
    let said = !config.os.is_empty() && !config.architecture.is_empty();
    said.then(|| Platform::new(&config.os, &config.architecture, config.variant.as_deref()))
}

/// Puts to each layer what the config and its first bytes say of it.
pub(super) fn layers(
    place: &Place,
    config: &ImageConfig,
    stored: Vec<StoredLayer>,
) -> Result<Vec<SourceLayer>, SourceFault> {
    let diff_ids = &config.rootfs.diff_ids;
    if stored.len() != diff_ids.len() {
        return Err(SourceFault::CountLayers { layers: stored.len(), diff_ids: diff_ids.len() });
    }
    let facts = diff_ids.iter().zip(config.layer_history());
    let put = |(layer, (diff_id, history)): (StoredLayer, (&Digest, Option<&_>))| {
        let compression = compression_of(place, &layer)?;
        Ok(SourceLayer {
            blob: layer.blob,
            diff_id: *diff_id,
            compression,
            history: history.cloned(),
            stored_bytes: layer.located.size_bytes,
            located: layer.located,
        })
    };
    stored.into_iter().zip(facts).map(put).collect()
}

fn compression_of(place: &Place, layer: &StoredLayer) -> Result<Compression, SourceFault> {
    let head = place.peek(&layer.shown, &layer.located)?;
    let compression = Compression::of(&head)
        .map_err(|packing| SourceFault::UnpackLayer { layer: layer.shown.clone(), packing })?;
    if layer.said.is_some_and(|said| !compression.agrees_with(said)) {
        tracing::debug!("layer {} is {compression:?}, its media type says otherwise", layer.shown);
    }
    Ok(compression)
}

fn stored_layer(place: &Place, layer: &Descriptor) -> Result<StoredLayer, SourceFault> {
    let said = match LayerMedia::of(&layer.media_type) {
        LayerMedia::Tar(packing) => packing,
        LayerMedia::Foreign => return Err(SourceFault::TakeForeignLayer(layer.shown_digest())),
        LayerMedia::Unreadable | LayerMedia::Other => {
            let media_type = shown(&layer.media_type);
            return Err(SourceFault::TakeLayerMedia { digest: layer.shown_digest(), media_type });
        }
    };
    let blob = digest_and_size("layer", layer)?;
    let located = locate_blob(place, "layer", blob)?;
    Ok(StoredLayer { blob: Some(blob), said: Some(said), located, shown: blob.0.to_string() })
}

fn locate_blob(
    place: &Place,
    what: &'static str,
    (digest, want): (Digest, u64),
) -> Result<Located, SourceFault> {
    let located = place.locate(&blob_name(digest))?;
    let located = located.ok_or(SourceFault::MissBlob { what, digest })?;
    match located.size_bytes {
        have if have == want => Ok(located),
        have => Err(SourceFault::CheckSize { what, digest, want, have }),
    }
}

/// The digest that a descriptor names.
pub(super) fn digest_of(
    what: &'static str,
    descriptor: &Descriptor,
) -> Result<Digest, SourceFault> {
    descriptor.digest().map_err(|fault| SourceFault::ReadDescriptor { what, fault })
}

fn digest_and_size(
    what: &'static str,
    descriptor: &Descriptor,
) -> Result<(Digest, u64), SourceFault> {
    let size = descriptor.size_bytes();
    let size = size.map_err(|fault| SourceFault::ReadDescriptor { what, fault })?;
    Ok((digest_of(what, descriptor)?, size))
}
