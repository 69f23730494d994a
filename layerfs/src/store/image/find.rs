//! From a user's words to images: a name, an id, the beginning of an id, `name@sha256:…`.
//!
//! A name wins over the beginning of an id. A short name is itself, `localhost/NAME`, or `docker.io/library/NAME`. The
//! digest after `@` is that of a manifest or the image's id; a tag before it says nothing more, as docker has it.

use super::names::{Names, file_name};
use super::record::Image;
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::reference::Reference;
use crate::store::root::Store;

/// The shortest beginning of an id that is taken as one.
const PREFIX_MIN: usize = 4;

/// A name, and the image that it leads to.
type Named = (Reference, Digest);

/// What a user's words were found to mean.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The image.
    pub image: Image,
    /// The names by which it was meant, several where a short name or a digest fits several; none where it was an id.
    pub names: Vec<Reference>,
}

/// Images to be shown.
#[derive(Debug, Default)]
pub struct Listing {
    /// The images, each with those of its names that were asked for.
    pub images: Vec<Image>,
    /// Why others, or names of others, can't be shown.
    pub unread: Vec<StoreError>,
}

/// What a repository without tag and digest means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bare {
    /// Its `latest`.
    Latest,
    /// All of its tags.
    AllTags,
}

impl Hit {
    /// The one name that was meant, `None` for an id; an error where `words` do not say which.
    pub fn name(&self, words: &str) -> Result<Option<&Reference>, StoreError> {
        match self.names.as_slice() {
            [] => Ok(None),
            [name] => Ok(Some(name)),
            several => Err(ambiguous(words, several)),
        }
    }
}

impl Store {
    /// The image that `words` mean. Names of several images are an error that tells them all.
    pub fn find(&self, words: &str) -> Result<Hit, StoreError> {
        let mut names = self.all_names()?;
        let (found, id) = match self.meant(words, Bare::Latest, &mut names)? {
            Meant::Names(found) => {
                let (_, id) = found[0];
                let is_one = found.iter().all(|(_, other)| *other == id);
                let found: Vec<Reference> = found.into_iter().map(|(name, _)| name).collect();
                if !is_one {
                    return Err(ambiguous(words, &found));
                }
                (found, id)
            }
            Meant::Id(id) => (Vec::new(), id),
            Meant::Nothing => return Err(StoreError::NoSuchImage(words.into())),
        };
        let image = self.image_now(&id, &names.sound)?;
        let image = image.ok_or_else(|| StoreError::NoSuchImage(words.into()))?;
        Ok(Hit { image, names: found })
    }

    /// All images, newest import first, or those that `words` let pass, each with the names that do: a repository
    /// without a tag lets all of its tags pass, a short name all that it may stand for, an id all names of its image.
    pub fn listing(&self, words: Option<&str>) -> Result<Listing, StoreError> {
        let mut listing = Listing::default();
        let mut known = self.all_names()?;
        let meant = words.map(|words| self.meant(words, Bare::AllTags, &mut known)).transpose()?;
        listing.unread.extend(known.unread.into_iter().map(|name| name.why));
        let mut names = known.sound;
        let ids = match meant {
            None => self.image_ids()?,
            Some(Meant::Names(found)) => {
                let mut ids: Vec<Digest> = found.iter().map(|(_, id)| *id).collect();
                names = found;
                ids.sort();
                ids.dedup();
                ids
            }
            Some(Meant::Id(id)) => vec![id],
            Some(Meant::Nothing) => Vec::new(),
        };
        for id in ids {
            match self.image_now(&id, &names) {
                Ok(Some(image)) => listing.images.push(image),
                // An image removed since the listing is no error.
                Ok(None) => {}
                Err(error) => listing.unread.push(error),
            }
        }
        listing.images.sort_by(|a, b| {
            (b.imported_secs, &a.names, a.id).cmp(&(a.imported_secs, &b.names, b.id))
        });
        Ok(listing)
    }

    fn meant(&self, words: &str, bare: Bare, names: &mut Names) -> Result<Meant, StoreError> {
        let reference = Reference::parse(words);
        if let Ok(reference) = &reference {
            let found = self.by_name(reference, bare, names)?;
            if !found.is_empty() {
                return Ok(Meant::Names(found));
            }
        }
        let hex = words.strip_prefix("sha256:").unwrap_or(words);
        let is_prefix = hex.len() >= PREFIX_MIN && hex.len() <= 64 && hex.bytes().all(is_hex);
        match reference {
            _ if is_prefix => self.by_prefix(words, hex),
            Ok(_) => Ok(Meant::Nothing),
            Err(error) => Err(error.into()),
        }
    }

    /// The names of the store that a reference means.
    fn by_name(
        &self,
        reference: &Reference,
        bare: Bare,
        names: &mut Names,
    ) -> Result<Vec<Named>, StoreError> {
        let candidates = reference.normalized_candidates();
        // A name that is there and can't be read is another answer than one that is not there.
        let is_meant =
            |file: &str| candidates.iter().any(|name| file_name(&name.canonical()) == file);
        if let Some(at) = names.unread.iter().position(|name| is_meant(&name.file)) {
            return Err(names.unread.swap_remove(at).why);
        }
        let is_of_repository =
            |name: &Reference| candidates.iter().any(|candidate| candidate.same_repository(name));
        let mut found: Vec<Named> =
            names.sound.iter().filter(|(name, _)| is_of_repository(name)).cloned().collect();
        match (reference.digest(), reference.tag(), bare) {
            (Some(digest), _, _) => return self.with_digest(digest, found),
            (None, None, Bare::AllTags) => {}
            (None, Some(_), _) | (None, None, Bare::Latest) => {
                found.retain(|(name, _)| {
                    candidates.iter().any(|candidate| candidate.names_same(name))
                });
                // A name that is there is never another: it could not be said at all.
                if let Some(at) = found.iter().position(|(name, _)| candidates[0].names_same(name))
                {
                    return Ok(vec![found.swap_remove(at)]);
                }
            }
        }
        Ok(found)
    }

    /// Those of the names whose image has the digest, as its manifest's or as its own.
    fn with_digest(&self, digest: Digest, found: Vec<Named>) -> Result<Vec<Named>, StoreError> {
        let mut matching = Vec::new();
        for (name, id) in found {
            let record = self.image_record(&id)?;
            let has = record
                .is_some_and(|record| record.id == digest || record.manifests.contains(&digest));
            matching.extend(has.then_some((name, id)));
        }
        Ok(matching)
    }

    fn by_prefix(&self, words: &str, hex: &str) -> Result<Meant, StoreError> {
        let mut ids = self.image_ids()?;
        ids.retain(|id| id.hex().starts_with(hex));
        match ids.as_slice() {
            [] => Ok(Meant::Nothing),
            [id] => Ok(Meant::Id(*id)),
            several => Err(StoreError::Ambiguous {
                name: words.into(),
                hits: several.iter().map(|id| format!("image {}", id.short())).collect(),
            }),
        }
    }
}

/// What words mean in the store.
enum Meant {
    /// At least one name.
    Names(Vec<Named>),
    /// The beginning of one image's id.
    Id(Digest),
    /// Nothing that is there.
    Nothing,
}

fn ambiguous(words: &str, names: &[Reference]) -> StoreError {
    let hits = names.iter().map(|name| format!("`{}`", name.canonical())).collect();
    StoreError::Ambiguous { name: words.into(), hits }
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}
