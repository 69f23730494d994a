//! An OCI layout: its version, its `index.json`, and the images that it names.

use std::collections::{HashMap, HashSet};

use crate::store::digest::Digest;
use crate::store::oci::{Body, Descriptor, Media, parse_document, shown};

use super::assemble::digest_of;
use super::error::SourceFault;
use super::gather::{Found, Gathered, Refused};
use super::image::SourceImage;
use super::label::{Choice, Choices, Label, choose, only};
use super::open::Wanted;
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
    /// The image that is asked for, or the only one.
    pub(super) fn one(&self, asked: Option<&str>) -> Result<SourceImage, SourceFault> {
        self.check_version()?;
        let choices = self.choices()?;
        let choice = match asked {
            Some(asked) => choose(choices, asked)?,
            None if choices.len() == 1 => only(choices)?,
            None => {
                let resolver = self.resolver(Sole::MustFit);
                let mut images = Vec::new();
                for choice in choices {
                    if resolver.holds_image(&choice.item)? {
                        images.push(choice);
                    }
                }
                only(images)?
            }
        };
        let image = self.resolver(Sole::MustFit).image(&choice.item, choice.names())?;
        image.ok_or(SourceFault::FindImage)
    }

    /// All images, each once with all its names; artifacts are passed over.
    pub(super) fn all(&self) -> Result<Vec<Found>, SourceFault> {
        self.check_version()?;
        let resolver = self.resolver(Sole::IsTaken);
        let mut images = Gathered::default();
        for choice in self.choices()? {
            match resolver.image(&choice.item, choice.names()) {
                Ok(None) => {}
                Ok(Some(image)) => {
                    // Two manifests of one config are two images here: each is kept.
                    let key = image.manifest.as_ref().map_or(image.config.digest, |raw| raw.digest);
                    images.add(key, image)?;
                }
                Err(fault) => {
                    let names = choice.names();
                    images.refuse(Refused { names, digest: choice.digest, fault });
                }
            }
        }
        images.finish()
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
        let mut joined = Joined::new();
        let mut unlabelled = Vec::new();
        for entry in entries.into_iter().filter(|entry| !entry.is_attestation()) {
            match Label::of_annotations(&entry.annotations, self.base) {
                Some(label) => joined.add_labelled(entry, label)?,
                None => unlabelled.push(entry),
            }
        }
        joined.add_unlabelled(unlabelled)?;
        Ok(joined.choices.into_all())
    }
}

/// The choices of an index while they are joined.
struct Joined {
    choices: Choices<Roots>,
    /// Where the choice of a label stands.
    by_label: HashMap<String, usize>,
    /// Where the choice stands that began with a digest.
    by_digest: HashMap<String, usize>,
}

impl Joined {
    fn new() -> Self {
        let (by_label, by_digest) = (HashMap::new(), HashMap::new());
        Joined { choices: Choices::new(), by_label, by_digest }
    }

    fn add_labelled(&mut self, entry: Descriptor, label: Label) -> Result<(), SourceFault> {
        let digest = digest_of(INDEX, &entry)?.to_string();
        let key = label.key().to_owned();
        if let Some(at) = self.by_label.get(&key) {
            self.choices.item(*at).push(entry);
            return Ok(());
        }
        let at = match self.by_digest.get(&digest) {
            Some(at) => {
                self.choices.add_labels(*at, vec![label])?;
                *at
            }
            None => self.push(vec![label], digest, vec![entry])?,
        };
        self.by_label.insert(key, at);
        Ok(())
    }

    /// Entries without a label: one image for several platforms where each names another one, else one image each.
    fn add_unlabelled(&mut self, entries: Vec<Descriptor>) -> Result<(), SourceFault> {
        let mut platforms = HashSet::new();
        let mut is_another = |entry: &Descriptor| {
            entry.platform().is_some_and(|platform| platforms.insert(platform))
        };
        let mut roots: Vec<Roots> = Vec::new();
        if entries.iter().all(&mut is_another) {
            roots.extend(Some(entries).filter(|entries| !entries.is_empty()));
        } else {
            roots.extend(entries.into_iter().map(|entry| vec![entry]));
        }
        for item in roots {
            let digests: Result<Vec<Digest>, _> =
                item.iter().map(|entry| digest_of(INDEX, entry)).collect();
            let digest = digests?.first().map(Digest::to_string).unwrap_or_default();
            if !self.by_digest.contains_key(&digest) {
                self.push(Vec::new(), digest, item)?;
            }
        }
        Ok(())
    }

    fn push(
        &mut self,
        labels: Vec<Label>,
        digest: String,
        item: Roots,
    ) -> Result<usize, SourceFault> {
        let at = self.choices.push(Choice { labels, digest: digest.clone(), item })?;
        self.by_digest.insert(digest, at);
        Ok(at)
    }
}

#[derive(serde::Deserialize)]
struct Version {
    #[serde(rename = "imageLayoutVersion")]
    version: String,
}
