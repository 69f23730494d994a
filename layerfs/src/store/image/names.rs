//! Names of images: which id each leads to, giving and taking them.

use serde::{Deserialize, Serialize};

use super::record::Image;
use crate::store::digest::Digest;
use crate::store::error::{During, StoreError};
use crate::store::reference::Reference;
use crate::store::root::Store;
use crate::store::unsound::tells_of_the_file;
use crate::store::{record, strangers};

/// What is on disk of a name: `images/names/<sha256 of the name>`, since a name may be longer than a file name.
#[derive(Serialize, Deserialize)]
struct NameRecord {
    version: u32,
    name: String,
    id: Digest,
}

/// The form of [`NameRecord`] that this build writes.
const NAME_RECORD_VERSION: u32 = 1;

/// The names of images, as far as their records can be read.
#[derive(Debug, Default)]
pub(in crate::store) struct Names {
    /// The names and the ids they lead to, by name.
    pub sound: Vec<(Reference, Digest)>,
    /// The records that say nothing to this build.
    pub unread: Vec<UnreadName>,
}

/// A record of a name that is damaged, or that a newer layerfs wrote.
#[derive(Debug)]
pub(in crate::store) struct UnreadName {
    /// Its file in `images/names`.
    pub file: String,
    /// What is wrong with it.
    pub why: StoreError,
}

/// What taking one name away came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Untagged {
    /// The image has other names left.
    NameGone,
    /// It was the image's last name.
    ImageBare,
}

impl Store {
    /// Gives `image` a name, taking it from the image that has it now.
    pub fn tag(&self, id: &Digest, name: &Reference) -> Result<(), StoreError> {
        let _presence = self.presence()?;
        let _records = self.lock_records()?;
        if self.image_record(id)?.is_none() {
            return Err(StoreError::NoSuchImage(id.short()));
        }
        self.write_name(id, name)
    }

    /// Takes one name away. The image stays. A name that has gone to another image meanwhile stays, too.
    pub fn untag(&self, image: &Image, name: &Reference) -> Result<Untagged, StoreError> {
        let _presence = self.presence()?;
        let _records = self.lock_records()?;
        let mut own = self.names_of(&image.id)?;
        if let Some(at) = own.iter().position(|known| known == name) {
            self.remove_name(&own.swap_remove(at))?;
        }
        Ok(if own.is_empty() { Untagged::ImageBare } else { Untagged::NameGone })
    }

    /// Takes an image out of the store, with all the names it has now. What only it used stays until gc.
    pub fn forget(&self, image: &Image) -> Result<(), StoreError> {
        let _presence = self.presence()?;
        let _records = self.lock_records()?;
        let names = self.names_of(&image.id)?;
        // The record goes first: names without an image are passed over and go with the next gc, an image without names would
        // come back bare.
        record::remove(&self.images, &image.id.hex())
            .during(|| format!("remove image {}", image.id.short()))?;
        names.iter().try_for_each(|name| self.remove_name(name))
    }

    /// All names of an image. A damaged record is nobody's any more; one that could not be read now, or not by this build,
    /// may be this image's, and would be left without it.
    fn names_of(&self, id: &Digest) -> Result<Vec<Reference>, StoreError> {
        let names = self.all_names()?;
        let is_damaged = |name: &UnreadName| matches!(name.why, StoreError::Damaged { .. });
        if let Some(unread) = names.unread.into_iter().find(|name| !is_damaged(name)) {
            return Err(unread.why);
        }
        let own = names.sound.into_iter().filter(|(_, of)| of == id);
        Ok(own.map(|(name, _)| name).collect())
    }

    /// Removes names whose image has gone: whoever removed it died before it came to them. The caller holds solitude.
    pub(in crate::store) fn sweep_names(&self) -> Result<(), StoreError> {
        for (name, id) in self.all_names()?.sound {
            if self.image_record(&id)?.is_none() {
                self.remove_name(&name)?;
            }
        }
        Ok(())
    }

    fn remove_name(&self, name: &Reference) -> Result<(), StoreError> {
        record::remove(&self.names, &file_name(&name.canonical()))
            .during(|| format!("untag `{name}`"))
    }

    /// Writes a name. The caller holds presence and the records, and has seen the image's record.
    pub(in crate::store) fn write_name(
        &self,
        id: &Digest,
        name: &Reference,
    ) -> Result<(), StoreError> {
        let text = name.canonical();
        let words = NameRecord { version: NAME_RECORD_VERSION, name: text.clone(), id: *id };
        let bytes = serde_json::to_vec(&words).map_err(|error| StoreError::Damaged {
            what: format!("name `{name}`"),
            reason: error.to_string(),
        })?;
        record::replace(&self.names, &file_name(&text), &bytes)
            .during(|| format!("name an image `{name}`"))
    }

    /// All names. One that can't be read must not keep the others from being found.
    pub(in crate::store) fn all_names(&self) -> Result<Names, StoreError> {
        let mut names = Names::default();
        for digest in strangers::files(&self.names)?.digests {
            let file = digest.hex();
            match self.read_name(&file) {
                Ok(name) => names.sound.extend(name),
                Err(why) if tells_of_the_file(&why) => names.unread.push(UnreadName { file, why }),
                Err(error) => return Err(error),
            }
        }
        names.sound.sort();
        names.unread.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(names)
    }

    /// What a name's record says; `None` where it has gone since it was listed.
    fn read_name(&self, file: &str) -> Result<Option<(Reference, Digest)>, StoreError> {
        let what = || format!("images/names/{file}");
        let broken = |reason: String| StoreError::Damaged { what: what(), reason };
        let text = match record::read(&self.names, file) {
            Err(error) if error.is_absent() => return Ok(None),
            read => read.during(what)?,
        };
        let version = record::version_of(&text).map_err(|error| broken(error.to_string()))?;
        record::check_version(what, version, NAME_RECORD_VERSION)?;
        let words: NameRecord =
            serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
        let name = Reference::parse(&words.name).map_err(|error| broken(error.to_string()))?;
        if file_name(&words.name) != file {
            return Err(broken(format!("it is the record of the name `{name}`")));
        }
        Ok(Some((name, words.id)))
    }
}

/// The file a name is kept in.
pub(in crate::store) fn file_name(name: &str) -> String {
    Digest::of(name.as_bytes()).hex()
}
