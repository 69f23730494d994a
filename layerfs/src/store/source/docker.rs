//! Docker archives: `manifest.json`, the configs and layers that it names.

use std::collections::HashMap;

use serde::Deserialize;

use crate::store::digest::Digest;
use crate::store::oci::shown;

use super::assemble::{StoredLayer, layers, platform_of, read_config};
use super::error::SourceFault;
use super::gather::{Found, Gathered, Refused};
use super::image::{RawBlob, SourceImage};
use super::label::{Choice, Choices, Label, choose, only};
use super::open::Wanted;
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
    /// The image that is asked for, or the only one.
    pub(super) fn one(&self, asked: Option<&str>) -> Result<SourceImage, SourceFault> {
        let choices = self.choices()?;
        self.image(&match asked {
            Some(asked) => choose(choices, asked)?,
            None => only(choices)?,
        })
    }

    /// All images, each once with all its names.
    pub(super) fn all(&self) -> Result<Vec<Found>, SourceFault> {
        let mut images = Gathered::default();
        for choice in self.choices()? {
            match self.image(&choice) {
                Ok(image) => images.add(image.config.digest, image)?,
                Err(fault) => {
                    let names = choice.names();
                    images.refuse(Refused { names, digest: choice.digest, fault });
                }
            }
        }
        images.finish()
    }

    /// The entries of `manifest.json`; two of one config are one image with the names of both.
    fn choices(&self) -> Result<Vec<Choice<Saved>>, SourceFault> {
        let mut choices = Choices::new();
        let mut by_config: HashMap<String, usize> = HashMap::new();
        for saved in self.saved()? {
            let names = saved.repo_tags.iter().flatten();
            let labels: Vec<_> = names.map(|name| Label::of_name(name)).collect();
            match by_config.get(&saved.config) {
                Some(at) => choices.add_labels(*at, labels)?,
                None => {
                    let config = saved.config.clone();
                    let digest = named_digest(&config)
                        .map_or_else(|| shown(&config), |digest| digest.to_string());
                    let at = choices.push(Choice { labels, digest, item: saved })?;
                    by_config.insert(config, at);
                }
            }
        }
        Ok(choices.into_all())
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

/// Picks among images, as among entries.
pub(super) fn pick_among(
    found: Vec<Found>,
    asked: Option<&str>,
) -> Result<SourceImage, SourceFault> {
    let choices = found.into_iter().map(|found| {
        let (names, digest) = match &found {
            Ok(image) => (&image.names, image.config.digest.to_string()),
            Err(refused) => (&refused.names, refused.digest.clone()),
        };
        let labels = names.iter().map(|name| Label::of_name(&name.as_given())).collect();
        Choice { labels, digest, item: found }
    });
    let choice = match asked {
        Some(asked) => choose(choices.collect(), asked)?,
        None => only(choices.collect())?,
    };
    let names = choice.names();
    let image = choice.item.map_err(|refused| refused.fault)?;
    Ok(SourceImage { names, ..image })
}
