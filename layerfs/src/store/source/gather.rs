//! The images of a source put together: each once, with all its names.

use std::collections::{HashMap, HashSet};

use crate::store::digest::Digest;
use crate::store::reference::Reference;

use super::error::SourceFault;
use super::image::SourceImage;

/// Bytes of the manifests and configs of all images of a source: they are in memory until the last is imported.
pub(super) const DOCUMENTS_LEN_MAX: usize = 256 << 20;

/// An image that can't be taken.
pub(super) struct Refused {
    /// Its names.
    pub(super) names: Vec<Reference>,
    /// The digest that stands for it where it has none.
    pub(super) digest: String,
    /// Why.
    pub(super) fault: SourceFault,
}

/// One image of a source, or why it can't be taken.
pub(super) type Found = Result<SourceImage, Refused>;

/// Images, each under a digest by which it is known again.
#[derive(Default)]
pub(super) struct Gathered {
    found: Vec<Found>,
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
        let at = self.found.len();
        let names = std::mem::take(&mut image.names);
        let manifest_len = image.manifest.as_ref().map_or(0, |raw| raw.bytes.len());
        self.documents_len += manifest_len + image.config.bytes.len();
        if self.documents_len > DOCUMENTS_LEN_MAX {
            return Err(SourceFault::CountDocuments);
        }
        self.by_key.entry(key).or_insert(at);
        self.found.push(Ok(image));
        self.add_names(at, names);
        Ok(())
    }

    fn add_names(&mut self, at: usize, names: Vec<Reference>) {
        for name in names {
            if let Ok(image) = &mut self.found[at]
                && self.names.insert((at, name.clone()))
            {
                image.names.push(name);
            }
        }
    }

    /// Notes an image that can't be taken.
    pub(super) fn refuse(&mut self, refused: Refused) {
        self.found.push(Err(refused));
    }

    /// The images; an error where there is none.
    pub(super) fn finish(self) -> Result<Vec<Found>, SourceFault> {
        if self.found.is_empty() { Err(SourceFault::FindImage) } else { Ok(self.found) }
    }
}

/// All of the images, or why one of them can't be taken.
pub(super) fn whole(found: Vec<Found>) -> Result<Vec<SourceImage>, SourceFault> {
    found.into_iter().map(|one| one.map_err(|refused| refused.fault)).collect()
}

/// The images of an archive that is both an OCI layout and a docker archive: those of the layout, with the names of
/// both. What only `manifest.json` knows is added, unless the layout has an image of that name for the platform.
///
/// What one form refuses and the other has under the same names is not refused: Docker 25.0 wrote layouts that do not
/// resolve. What both refuse is told once.
pub(super) fn merge(oci: Vec<Found>, docker: Vec<Found>) -> Result<Vec<Found>, SourceFault> {
    let mut merged = Gathered::default();
    let (mut taken, mut offered) = (Known::default(), Known::default());
    docker.iter().for_each(|found| offered.add(names_of(found)));
    for found in oci {
        match found {
            Ok(image) => {
                taken.add(&image.names);
                merged.push(image.config.digest, image)?;
            }
            Err(refused) if offered.has(&refused.names) => {
                tracing::debug!(
                    "index.json does not resolve, trying manifest.json: {}",
                    refused.fault
                );
            }
            Err(refused) => merged.refuse(refused),
        }
    }
    for found in docker {
        match found {
            Ok(image) if merged.by_key.contains_key(&image.config.digest) => {
                taken.add(&image.names);
                merged.add(image.config.digest, image)?;
            }
            Ok(image) if !image.names.is_empty() && taken.has(&image.names) => {}
            Ok(image) => {
                taken.add(&image.names);
                merged.push(image.config.digest, image)?;
            }
            Err(refused) if taken.has(&refused.names) => {
                tracing::debug!(
                    "manifest.json does not resolve, index.json does: {}",
                    refused.fault
                );
            }
            Err(refused) => merged.refuse(refused),
        }
    }
    merged.finish()
}

fn names_of(found: &Found) -> &[Reference] {
    match found {
        Ok(image) => &image.names,
        Err(refused) => &refused.names,
    }
}

/// Names that one of two forms has. Docker writes one name short in one form and in full in the other.
#[derive(Default)]
struct Known {
    familiar: HashSet<String>,
    unnamed: bool,
}

impl Known {
    fn add(&mut self, names: &[Reference]) {
        self.familiar.extend(names.iter().map(Reference::to_string));
        self.unnamed |= names.is_empty();
    }

    /// Whether an image of these names is there; of none, whether one without names is.
    fn has(&self, names: &[Reference]) -> bool {
        let is_known = |name: &Reference| self.familiar.contains(&name.to_string());
        if names.is_empty() { self.unnamed } else { names.iter().all(is_known) }
    }
}
