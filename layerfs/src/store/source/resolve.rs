//! From the entries of an index to the one image that serves the platform.
//!
//! Docker saves indexes that name more than the archive holds (other platforms, attestations): what is not there is
//! passed over, unless nothing is.

use std::collections::HashSet;

use crate::store::digest::Digest;
use crate::store::oci::{Body, Descriptor, LayerMedia, Manifest, Media, Platform, parse_document};
use crate::store::reference::Reference;

use super::assemble::{digest_of, image_of_manifest, platform_of, read_config, read_document};
use super::error::SourceFault;
use super::image::{RawBlob, SourceImage};
use super::open::Wanted;
use super::place::{Place, blob_name};

/// Indexes below `index.json`, each in the one before.
const NESTED_MAX: usize = 4;

/// What is done with the only image there is, when it says that it is for another platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sole {
    /// It is refused, unless the user asked for that platform.
    MustFit,
    /// It is taken, unless the user asked for another platform.
    IsTaken,
}

/// Resolves entries of an index in one source.
pub(super) struct Resolver<'a> {
    pub(super) place: &'a Place,
    pub(super) wanted: &'a Wanted,
    pub(super) sole: Sole,
}

/// A manifest that an index names, and the platform it says for it.
struct Leaf {
    descriptor: Descriptor,
    platform: Option<Platform>,
}

/// The manifests found while walking indexes.
#[derive(Default)]
struct Walk {
    seen: HashSet<Digest>,
    leaves: Vec<Leaf>,
    missing: Option<Digest>,
}

impl Resolver<'_> {
    /// The image among `roots` that serves the platform; `None` where they hold artifacts only.
    pub(super) fn image(
        &self,
        roots: &[Descriptor],
        names: Vec<Reference>,
    ) -> Result<Option<SourceImage>, SourceFault> {
        let leaves = self.image_leaves(roots)?;
        let Some(leaf) = self.best(leaves)? else { return Ok(None) };
        let (raw, manifest) = self.manifest(&leaf)?;
        image_of_manifest(self.place, names, raw, &manifest).map(Some)
    }

    /// Whether `roots` hold an image at all. What is wrong counts as one: taking it will say why.
    pub(super) fn holds_image(&self, roots: &[Descriptor]) -> Result<bool, SourceFault> {
        match self.image_leaves(roots) {
            Err(fault) if fault.is_of_reading() => Err(fault),
            Err(_) => Ok(true),
            Ok(leaves) => Ok(!leaves.is_empty()),
        }
    }

    /// The manifests of images among `roots` that are there.
    fn image_leaves(&self, roots: &[Descriptor]) -> Result<Vec<Leaf>, SourceFault> {
        let mut walk = Walk::default();
        for root in roots {
            self.walk(root, None, 0, &mut walk)?;
        }
        match walk.missing {
            Some(digest) if walk.leaves.is_empty() => {
                return Err(SourceFault::MissBlob { what: "manifest", digest });
            }
            _ => {}
        }
        let mut images = Vec::new();
        for leaf in walk.leaves {
            if is_image(&self.manifest(&leaf)?.1) {
                images.push(leaf);
            }
        }
        Ok(images)
    }

    fn walk(
        &self,
        descriptor: &Descriptor,
        platform: Option<Platform>,
        depth: usize,
        walk: &mut Walk,
    ) -> Result<(), SourceFault> {
        let media = descriptor.media();
        if descriptor.is_attestation() || matches!(media, Media::Other | Media::Config) {
            return Ok(());
        }
        let digest = digest_of("manifest", descriptor)?;
        if !walk.seen.insert(digest) {
            return Ok(());
        }
        if self.place.locate(&blob_name(digest))?.is_none() {
            walk.missing.get_or_insert(digest);
            return Ok(());
        }
        let platform = descriptor.platform().or(platform);
        if media == Media::Manifest {
            walk.leaves.push(Leaf { descriptor: descriptor.clone(), platform });
            return Ok(());
        }
        match self.body(descriptor)?.1 {
            Body::Manifest(_) => {
                walk.leaves.push(Leaf { descriptor: descriptor.clone(), platform });
                Ok(())
            }
            Body::Index(_) if depth == NESTED_MAX => Err(SourceFault::NestIndexes(NESTED_MAX)),
            Body::Index(children) => children
                .iter()
                .try_for_each(|child| self.walk(child, platform.clone(), depth + 1, walk)),
        }
    }

    /// The leaf that lies nearest to the wanted platform, the first of equals.
    fn best(&self, leaves: Vec<Leaf>) -> Result<Option<Leaf>, SourceFault> {
        let is_sole = leaves.len() == 1;
        let wanted = self.wanted.platform();
        let mut offered: Vec<String> = Vec::new();
        let mut best: Option<(u32, Leaf)> = None;
        for leaf in leaves {
            if is_sole && self.is_taken_unasked(&leaf) {
                return Ok(Some(leaf));
            }
            let platform = match &leaf.platform {
                Some(platform) => Some(platform.clone()),
                None => self.config_platform(&leaf)?,
            };
            offered
                .push(platform.as_ref().map_or("an unnamed platform".into(), Platform::to_string));
            let distance = platform.and_then(|platform| wanted.distance(&platform));
            if let Some(distance) =
                distance.filter(|new| best.as_ref().is_none_or(|(old, _)| new < old))
            {
                best = Some((distance, leaf));
            }
        }
        match best {
            Some((_, leaf)) => Ok(Some(leaf)),
            None if offered.is_empty() => Ok(None),
            None => Err(SourceFault::FindPlatform { wanted, there: offered.join(", ") }),
        }
    }

    fn is_taken_unasked(&self, leaf: &Leaf) -> bool {
        let says_nothing = leaf.platform.is_none();
        matches!(self.wanted, Wanted::Host) && (says_nothing || self.sole == Sole::IsTaken)
    }

    fn config_platform(&self, leaf: &Leaf) -> Result<Option<Platform>, SourceFault> {
        let (_, manifest) = self.manifest(leaf)?;
        let config = read_document(self.place, "config", &manifest.config)?;
        Ok(platform_of(&read_config(&config)?))
    }

    fn manifest(&self, leaf: &Leaf) -> Result<(RawBlob, Manifest), SourceFault> {
        match self.body(&leaf.descriptor)? {
            (raw, Body::Manifest(manifest)) => Ok((raw, manifest)),
            (raw, Body::Index(_)) => Err(SourceFault::ReadDocument {
                what: format!("manifest {}", raw.digest),
                fault: crate::store::oci::DocumentError::MediaType,
            }),
        }
    }

    fn body(&self, descriptor: &Descriptor) -> Result<(RawBlob, Body), SourceFault> {
        let raw = read_document(self.place, "manifest", descriptor)?;
        let body = parse_document(&raw.bytes, descriptor.media());
        let what = || format!("manifest {}", raw.digest);
        match body {
            Ok(body) => Ok((raw, body)),
            Err(fault) => Err(SourceFault::ReadDocument { what: what(), fault }),
        }
    }
}

/// Artifacts use the form of a manifest with another config, or with layers of which none is a file system's.
fn is_image(manifest: &Manifest) -> bool {
    let is_config = matches!(manifest.config.media(), Media::Config | Media::Unsaid);
    let is_other = |layer: &Descriptor| LayerMedia::of(&layer.media_type) == LayerMedia::Other;
    is_config && (manifest.layers.is_empty() || !manifest.layers.iter().all(is_other))
}
