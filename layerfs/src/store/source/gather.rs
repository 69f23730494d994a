//! The images of a source put together: each once, with all its names.

use std::collections::{HashMap, HashSet};

use crate::store::digest::Digest;
use crate::store::reference::Reference;

use super::error::SourceFault;
use super::image::SourceImage;

/// Bytes of the manifests and configs of all images of a source: they are in memory until the last is imported.
pub(super) const DOCUMENTS_LEN_MAX: usize = 256 << 20;

/// Images, each under a digest by which it is known again.
#[derive(Default)]
pub(super) struct Gathered {
    images: Vec<SourceImage>,
    by_key: HashMap<Digest, usize>,
    /// Which image has which name already.
    names: HashSet<(usize, Reference)>,
    documents_len: usize,
}

impl Gathered {
    /// Takes an image, or gives its names to the one that is known by `key`.
    pub(super) fn add(&mut self, key: Digest, image: SourceImage) -> Result<(), SourceFault> {
        match self.by_key.get(&key) {
            Some(at) => {
                self.add_names(*at, image.names);
                Ok(())
            }
            None => self.push(key, image),
        }
    }

    /// Takes an image, known by `key` unless another one is.
    fn push(&mut self, key: Digest, mut image: SourceImage) -> Result<(), SourceFault> {
        let at = self.images.len();
        let names = std::mem::take(&mut image.names);
        let manifest_len = image.manifest.as_ref().map_or(0, |raw| raw.bytes.len());
        self.documents_len += manifest_len + image.config.bytes.len();
        if self.documents_len > DOCUMENTS_LEN_MAX {
            return Err(SourceFault::CountDocuments);
        }
        self.by_key.entry(key).or_insert(at);
        self.images.push(image);
        self.add_names(at, names);
        Ok(())
    }

    fn add_names(&mut self, at: usize, names: Vec<Reference>) {
        for name in names {
            if self.names.insert((at, name.clone())) {
                self.images[at].names.push(name);
            }
        }
    }

    /// The images; an error where there is none.
    pub(super) fn finish(self) -> Result<Vec<SourceImage>, SourceFault> {
        if self.images.is_empty() { Err(SourceFault::FindImage) } else { Ok(self.images) }
    }
}

/// The images of an archive that is both an OCI layout and a docker archive: those of the layout, with the names of
/// both. What only `manifest.json` knows is added, unless the layout has an image of that name for the platform.
pub(super) fn merge(
    oci: Vec<SourceImage>,
    docker: Vec<SourceImage>,
) -> Result<Vec<SourceImage>, SourceFault> {
    let mut known: HashSet<Reference> = HashSet::new();
    let mut merged = Gathered::default();
    for image in oci {
        known.extend(image.names.iter().cloned());
        merged.push(image.config.digest, image)?;
    }
    for image in docker {
        let key = image.config.digest;
        let is_known =
            !image.names.is_empty() && image.names.iter().all(|name| known.contains(name));
        if merged.by_key.contains_key(&key) || !is_known {
            known.extend(image.names.iter().cloned());
            merged.add(key, image)?;
        }
    }
    merged.finish()
}
