//! Docker archives: `manifest.json`, the configs and layers that it names.

use serde::Deserialize;

use crate::store::digest::Digest;
use crate::store::oci::shown;
use crate::store::reference::Reference;

use super::assemble::{StoredLayer, layers, platform_of, read_config};
use super::error::SourceFault;
use super::image::{RawBlob, SourceImage};
use super::label::{Choice, Label, choose, only};
use super::layout::add_names;
use super::open::{Pick, Wanted};
use super::place::Place;

const MANIFEST: &str = "manifest.json";

/// A docker archive in some place.
pub(super) struct DockerArchive<'a> {
    pub(super) place: &'a Place,
    pub(super) wanted: &'a Wanted,
}

/// One image of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

impl DockerArchive<'_> {
    /// The images that are asked for.
    pub(super) fn images(&self, pick: Pick<'_>) -> Result<Vec<SourceImage>, SourceFault> {
        let choices = self.choices()?;
        match pick {
            Pick::One(Some(asked)) => Ok(vec![self.image(&choose(choices, asked)?)?]),
            Pick::One(None) => Ok(vec![self.image(&only(choices)?)?]),
            Pick::All => {
                let images: Result<Vec<_>, _> =
                    choices.iter().map(|choice| self.image(choice)).collect();
                Some(images?).filter(|images| !images.is_empty()).ok_or(SourceFault::FindImage)
            }
        }
    }

    /// The entries of `manifest.json`; two of one config are one image with the names of both.
    fn choices(&self) -> Result<Vec<Choice<Saved>>, SourceFault> {
        let mut choices: Vec<Choice<Saved>> = Vec::new();
        for saved in self.saved()? {
            let names = saved.repo_tags.iter().flatten();
            let labels: Vec<_> = names.map(|name| Label::of_name(name)).collect();
            match choices.iter_mut().find(|choice| choice.item.config == saved.config) {
                Some(same) => same.labels.extend(labels),
                None => {
                    let digest = named_digest(&saved.config)
                        .map_or_else(|| shown(&saved.config), |digest| digest.to_string());
                    choices.push(Choice { labels, digest, item: saved });
                }
            }
        }
        Ok(choices)
    }

    fn saved(&self) -> Result<Vec<Saved>, SourceFault> {
        let cure = match self.place {
            Place::Archive { members, .. } if members.holds("oci-layout") => {
                "; it looks like an OCI archive: name it oci-archive:FILE"
            }
            _ => "",
        };
        let missing =
            || SourceFault::MissMember { form: "a docker archive", member: MANIFEST, cure };
        let bytes = self.place.read_named(MANIFEST)?.ok_or_else(missing)?;
        let what = || MANIFEST.to_owned();
        serde_json::from_slice(&bytes)
            .map_err(|source| SourceFault::ReadJson { what: what(), source })
    }

    fn image(&self, choice: &Choice<Saved>) -> Result<SourceImage, SourceFault> {
        let saved = &choice.item;
        let config = self.config(&saved.config)?;
        let parsed = read_config(&config)?;
        if let Wanted::Asked(wanted) = self.wanted {
            let platform = platform_of(&parsed);
            if platform.as_ref().and_then(|platform| wanted.distance(platform)).is_none() {
                let there = platform.map_or("an unnamed platform".into(), |said| said.to_string());
                return Err(SourceFault::FindPlatform { wanted: wanted.clone(), there });
            }
        }
        let stored: Result<Vec<_>, _> =
            saved.layers.iter().flatten().map(|name| self.stored(name)).collect();
        let layers = layers(self.place, &parsed, stored?)?;
        Ok(SourceImage { names: choice.names(), manifest: None, config, layers })
    }

    /// The config, checked against the digest in its name where the name holds one.
    fn config(&self, name: &str) -> Result<RawBlob, SourceFault> {
        let located =
            self.place.locate(name)?.ok_or_else(|| SourceFault::MissNamed(shown(name)))?;
        let blob = RawBlob::of(self.place.read(&shown(name), &located)?);
        match named_digest(name) {
            Some(want) if want != blob.digest => {
                Err(SourceFault::CheckDigest { what: "config", want, have: blob.digest })
            }
            _ => Ok(blob),
        }
    }

    fn stored(&self, name: &str) -> Result<StoredLayer, SourceFault> {
        let located =
            self.place.locate(name)?.ok_or_else(|| SourceFault::MissNamed(shown(name)))?;
        let digest = name.strip_prefix("blobs/sha256/").and_then(Digest::from_hex);
        let blob = digest.map(|digest| (digest, located.size_bytes));
        Ok(StoredLayer { blob, said: None, located, shown: format!("`{}`", shown(name)) })
    }
}

/// The digest that a config's name says: `blobs/sha256/HEX`, `HEX.json`, `sha256:HEX`.
fn named_digest(name: &str) -> Option<Digest> {
    let last = name.rsplit('/').next()?;
    let hex = last.strip_prefix("sha256:").unwrap_or(last);
    Digest::from_hex(hex.strip_suffix(".json").unwrap_or(hex))
}

/// The images of an archive that is both an OCI layout and a docker archive: those of the layout, with the names of
/// both. What only `manifest.json` knows is added, unless the layout has an image of that name for the platform.
pub(super) fn merge(oci: Vec<SourceImage>, docker: Vec<SourceImage>) -> Vec<SourceImage> {
    let mut merged = oci;
    for image in docker {
        let same = |other: &&mut SourceImage| other.config.digest == image.config.digest;
        let is_named = |name: &Reference| merged.iter().any(|other| other.names.contains(name));
        let is_known = !image.names.is_empty() && image.names.iter().all(is_named);
        match merged.iter_mut().find(same) {
            Some(same) => add_names(same, image),
            None if is_known => {}
            None => merged.push(image),
        }
    }
    merged
}

/// Picks among whole images, as among entries.
pub(super) fn pick_among(
    images: Vec<SourceImage>,
    pick: Pick<'_>,
) -> Result<Vec<SourceImage>, SourceFault> {
    let Pick::One(asked) = pick else { return Ok(images) };
    let choices = images.into_iter().map(|image| Choice {
        labels: image.names.iter().map(|name| Label::of_name(&name.as_given())).collect(),
        digest: image.config.digest.to_string(),
        item: image,
    });
    let choice = match asked {
        Some(asked) => choose(choices.collect(), asked)?,
        None => only(choices.collect())?,
    };
    let names = choice.names();
    Ok(vec![SourceImage { names, ..choice.item }])
}
