//! An OCI layout: its version, its `index.json`, and the images that it names.

use crate::store::digest::Digest;
use crate::store::oci::{Body, Descriptor, Media, parse_document, shown};

use super::assemble::digest_of;
use super::error::SourceFault;
use super::image::SourceImage;
use super::label::{Choice, Label, choose, only};
use super::open::{Pick, Wanted};
use super::place::Place;
use super::resolve::{Resolver, Sole};

const LAYOUT: &str = "oci-layout";
const INDEX: &str = "index.json";

/// The entries of `index.json` that make one image: alternatives of one label, or for several platforms.
type Roots = Vec<Descriptor>;

/// An OCI layout in some place.
pub(super) struct Layout<'a> {
    pub(super) place: &'a Place,
    /// The name that bare tags are joined to.
    pub(super) base: Option<&'a str>,
    pub(super) wanted: &'a Wanted,
}

impl Layout<'_> {
    /// The images that are asked for.
    pub(super) fn images(&self, pick: Pick<'_>) -> Result<Vec<SourceImage>, SourceFault> {
        self.check_version()?;
        let choices = self.choices()?;
        match pick {
            Pick::All => self.all(choices),
            Pick::One(Some(asked)) => self.one(choose(choices, asked)?),
            Pick::One(None) if choices.len() == 1 => self.one(only(choices)?),
            Pick::One(None) => {
                let resolver = self.resolver(Sole::MustFit);
                let mut images = Vec::new();
                for choice in choices {
                    if resolver.holds_image(&choice.item)? {
                        images.push(choice);
                    }
                }
                self.one(only(images)?)
            }
        }
    }

    fn one(&self, choice: Choice<Roots>) -> Result<Vec<SourceImage>, SourceFault> {
        let image = self.resolver(Sole::MustFit).image(&choice.item, choice.names())?;
        Ok(vec![image.ok_or(SourceFault::FindImage)?])
    }

    /// All images, each once with all its names; artifacts are passed over.
    fn all(&self, choices: Vec<Choice<Roots>>) -> Result<Vec<SourceImage>, SourceFault> {
        let resolver = self.resolver(Sole::IsTaken);
        let mut images: Vec<SourceImage> = Vec::new();
        for choice in choices {
            let names = choice.names();
            let Some(image) = resolver.image(&choice.item, names)? else { continue };
            let digest = |image: &SourceImage| image.manifest.as_ref().map(|raw| raw.digest);
            match images.iter_mut().find(|other| digest(other) == digest(&image)) {
                Some(same) => add_names(same, image),
                None => images.push(image),
            }
        }
        if images.is_empty() { Err(SourceFault::FindImage) } else { Ok(images) }
    }

    fn resolver(&self, sole: Sole) -> Resolver<'_> {
        Resolver { place: self.place, wanted: self.wanted, sole }
    }

    fn check_version(&self) -> Result<(), SourceFault> {
        let bytes = self.must_read(LAYOUT)?;
        let what = || LAYOUT.to_owned();
        let layout: Version = serde_json::from_slice(&bytes)
            .map_err(|source| SourceFault::ReadJson { what: what(), source })?;
        match layout.version.split_once('.') {
            Some(("1", _)) => Ok(()),
            _ => Err(SourceFault::CheckVersion(shown(&layout.version))),
        }
    }

    fn must_read(&self, member: &'static str) -> Result<Vec<u8>, SourceFault> {
        let cure = match self.place {
            Place::Archive { members, .. } if members.holds("manifest.json") => {
                "; it looks like a docker archive: name it docker-archive:FILE"
            }
            _ => "",
        };
        let form = "an OCI layout";
        self.place.read_named(member)?.ok_or(SourceFault::MissMember { form, member, cure })
    }

    /// The entries of `index.json`, joined where they are one image: by label, by digest, and entries without a label
    /// that each name another platform.
    fn choices(&self) -> Result<Vec<Choice<Roots>>, SourceFault> {
        let what = || INDEX.to_owned();
        let body = parse_document(&self.must_read(INDEX)?, Media::Unsaid)
            .map_err(|fault| SourceFault::ReadDocument { what: what(), fault })?;
        let Body::Index(entries) = body else {
            let fault = crate::store::oci::DocumentError::MediaType;
            return Err(SourceFault::ReadDocument { what: what(), fault });
        };
        let mut choices: Vec<Choice<Roots>> = Vec::new();
        let mut unlabelled = Vec::new();
        for entry in entries.into_iter().filter(|entry| !entry.is_attestation()) {
            match Label::of_annotations(&entry.annotations, self.base) {
                Some(label) => self.join(&mut choices, entry, label)?,
                None => unlabelled.push(entry),
            }
        }
        add_unlabelled(&mut choices, unlabelled)?;
        Ok(choices)
    }

    fn join(
        &self,
        choices: &mut Vec<Choice<Roots>>,
        entry: Descriptor,
        label: Label,
    ) -> Result<(), SourceFault> {
        let digest = digest_of(INDEX, &entry)?.to_string();
        let has_label =
            |choice: &Choice<Roots>| choice.labels.iter().any(|old| old.key() == label.key());
        if let Some(same) = choices.iter_mut().find(|choice| has_label(choice)) {
            same.item.push(entry);
        } else if let Some(same) = choices.iter_mut().find(|choice| choice.digest == digest) {
            same.labels.push(label);
        } else {
            choices.push(Choice { labels: vec![label], digest, item: vec![entry] });
        }
        Ok(())
    }
}

/// Entries without a label: one image for several platforms where each names another one, else one image each.
fn add_unlabelled(
    choices: &mut Vec<Choice<Roots>>,
    entries: Vec<Descriptor>,
) -> Result<(), SourceFault> {
    let platforms: Vec<_> = entries.iter().map(Descriptor::platform).collect();
    let is_first = |(at, platform)| !platforms[..at].contains(platform);
    let is_one_image = platforms.iter().enumerate().all(is_first) && !platforms.contains(&None);
    let mut roots: Vec<Roots> = Vec::new();
    for entry in entries {
        match roots.last_mut() {
            Some(last) if is_one_image => last.push(entry),
            _ => roots.push(vec![entry]),
        }
    }
    for item in roots {
        let digests: Result<Vec<Digest>, _> =
            item.iter().map(|entry| digest_of(INDEX, entry)).collect();
        let digest = digests?.first().map(Digest::to_string).unwrap_or_default();
        if !choices.iter().any(|choice| choice.digest == digest) {
            choices.push(Choice { labels: Vec::new(), digest, item });
        }
    }
    Ok(())
}

/// Gives an image the names of another entry of the same image.
pub(super) fn add_names(image: &mut SourceImage, same: SourceImage) {
    for name in same.names {
        if !image.names.contains(&name) {
            image.names.push(name);
        }
    }
}

#[derive(serde::Deserialize)]
struct Version {
    #[serde(rename = "imageLayoutVersion")]
    version: String,
}
