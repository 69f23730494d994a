//! From a user's words to one image: a name, an id, the beginning of an id, `name@sha256:…`.

use super::record::Image;
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::reference::Reference;
use crate::store::root::Store;

/// The shortest beginning of an id that is taken as one.
const PREFIX_MIN: usize = 4;

/// What a user's words were found to mean.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The image.
    pub image: Image,
    /// The name by which it was meant; `None` where it was an id.
    pub name: Option<Reference>,
}

impl Store {
    /// The image that `words` mean.
    ///
    /// A name wins over the beginning of an id. A short name is itself, `localhost/NAME`, or
    /// `docker.io/library/NAME`; two of them in the store are an error that names both.
    pub fn find(&self, words: &str) -> Result<Hit, StoreError> {
        let names = self.all_names()?;
        let reference = Reference::parse(words);
        if let Ok(reference) = &reference
            && let Some((name, id)) = self.by_name(words, reference, &names)?
        {
            return self.hit(words, id, Some(name), &names);
        }
        let hex = words.strip_prefix("sha256:").unwrap_or(words);
        let is_prefix = hex.len() >= PREFIX_MIN && hex.len() <= 64 && hex.bytes().all(is_hex);
        if is_prefix && let Some(id) = self.by_prefix(words, hex)? {
            return self.hit(words, id, None, &names);
        }
        match reference {
            Err(error) if !is_prefix => Err(error.into()),
            _ => Err(StoreError::NoSuchImage(words.into())),
        }
    }

    fn by_name(
        &self,
        words: &str,
        reference: &Reference,
        names: &[(Reference, Digest)],
    ) -> Result<Option<(Reference, Digest)>, StoreError> {
        let candidates = reference.normalized_candidates();
        let has_name =
            |name: &Reference| candidates.iter().any(|candidate| candidate.names_same(name));
        let mut hits: Vec<_> = names.iter().filter(|(name, _)| has_name(name)).cloned().collect();
        if let Some(digest) = reference.digest() {
            // `name@sha256:…` means the manifest, under a name of any tag.
            let mut matching = Vec::new();
            for (name, id) in
                names.iter().filter(|(name, _)| candidates.iter().any(|c| c.same_repository(name)))
            {
                let record = self.image_record(id)?;
                if record
                    .is_some_and(|record| record.manifests.contains(&digest) || record.id == digest)
                {
                    matching.push((name.clone(), *id));
                }
            }
            matching.dedup_by_key(|(_, id)| *id);
            hits = matching;
        }
        match hits.as_slice() {
            [] => Ok(None),
            [hit] => Ok(Some(hit.clone())),
            several if several.iter().all(|(_, id)| *id == several[0].1) => {
                Ok(Some(several[0].clone()))
            }
            several => Err(StoreError::Ambiguous {
                name: words.into(),
                hits: several.iter().map(|(name, _)| format!("`{}`", name.canonical())).collect(),
            }),
        }
    }

    fn by_prefix(&self, words: &str, hex: &str) -> Result<Option<Digest>, StoreError> {
        let mut ids = self.image_ids()?;
        ids.retain(|id| id.hex().starts_with(hex));
        match ids.as_slice() {
            [] => Ok(None),
            [id] => Ok(Some(*id)),
            several => Err(StoreError::Ambiguous {
                name: words.into(),
                hits: several.iter().map(|id| format!("image {}", id.short())).collect(),
            }),
        }
    }

    fn hit(
        &self,
        words: &str,
        id: Digest,
        name: Option<Reference>,
        names: &[(Reference, Digest)],
    ) -> Result<Hit, StoreError> {
        let image = self.image_now(&id, names)?;
        let image = image.ok_or_else(|| StoreError::NoSuchImage(words.into()))?;
        Ok(Hit { image, name })
    }
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}
