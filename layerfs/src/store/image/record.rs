//! One image of the store: its record on disk, its configuration.

use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

use crate::store::digest::Digest;
use crate::store::error::{During, StoreError};
use crate::store::oci::ImageConfig;
use crate::store::reference::Reference;
use crate::store::root::Store;
use crate::store::{chain, record, strangers};
use crate::sys::lock::{self, Share};
use crate::sys::{dir, file};

/// What is on disk of an image, under its id: `images/ids/<hex>`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::store) struct ImageRecord {
    /// Version of this form.
    pub version: u32,
    /// Digest of the configuration: the image's id.
    pub id: Digest,
    /// Digests of the manifests that named this configuration, oldest first.
    pub manifests: Vec<Digest>,
    /// The layers, lowest first.
    pub layers: Vec<ImageLayer>,
    /// Seconds since 1970 when it came into the store.
    pub imported_secs: u64,
}

/// The form of [`ImageRecord`] that this build writes.
pub(in crate::store) const RECORD_VERSION: u32 = 1;

/// How often an image is read that goes and comes back meanwhile.
const TRIES_MAX: u32 = 3;

/// One image: immutable content under an id, and the names it has now.
#[derive(Clone, Debug)]
pub struct Image {
    /// Digest of the configuration.
    pub id: Digest,
    /// Its names, sorted; none for an image whose names went to others.
    pub names: Vec<Reference>,
    /// Digests of its manifests, for `name@sha256:…`; none for one that came from a Docker archive.
    pub manifests: Vec<Digest>,
    /// Its layers, lowest first.
    pub layers: Vec<ImageLayer>,
    /// The configuration, decoded.
    pub config: ImageConfig,
    /// Seconds since 1970 when it came into the store.
    pub imported_secs: u64,
}

/// One layer of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageLayer {
    /// Digest of the uncompressed archive.
    pub diff_id: Digest,
    /// Bytes of file contents in it, as `docker history` counts them.
    pub size: u64,
}

impl Image {
    /// The id of the merged tree of all its layers; `None` for an image without layers.
    pub fn chain_id(&self) -> Option<Digest> {
        chain::chain_id(self.layers.iter().map(|layer| &layer.diff_id))
    }

    /// Bytes of file contents in all layers.
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }
}

impl Store {
    /// All images, newest import first; an error where one of them is damaged.
    pub fn images(&self) -> Result<Vec<Image>, StoreError> {
        let names = self.all_names()?.sound;
        let ids = self.image_ids()?.into_iter();
        let images: Result<Vec<_>, _> = ids.map(|id| self.image_now(&id, &names)).collect();
        let mut images: Vec<Image> = images?.into_iter().flatten().collect();
        images.sort_by(|a, b| {
            (b.imported_secs, &a.names, a.id).cmp(&(a.imported_secs, &b.names, b.id))
        });
        Ok(images)
    }

    /// The configuration of an image, byte for byte.
    pub fn config_bytes(&self, id: &Digest) -> Result<Vec<u8>, StoreError> {
        self.blob(id)
    }

    /// A manifest or configuration, proved by its digest.
    pub fn blob(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let what = || format!("blob {}", digest.short());
        let bytes = record::read(&self.blobs, &digest.hex()).during(what)?;
        if Digest::of(&bytes) != *digest {
            return Err(StoreError::Damaged {
                what: what(),
                reason: "its digest is another".into(),
            });
        }
        Ok(bytes)
    }

    /// Keeps others from changing records and names of images until the answer is dropped, so that they go together.
    pub(in crate::store) fn lock_records(&self) -> Result<OwnedFd, StoreError> {
        let deed = || "lock the image records".to_owned();
        let records = dir::open(&self.images, ".", file::Symlinks::Stop).during(deed)?;
        lock::wait(&records, Share::Exclusive).during(deed)?;
        Ok(records)
    }

    pub(in crate::store) fn image_ids(&self) -> Result<Vec<Digest>, StoreError> {
        Ok(strangers::files(&self.images)?.digests)
    }

    /// The record of an image; `None` where the store has none of that id.
    pub(in crate::store) fn image_record(
        &self,
        id: &Digest,
    ) -> Result<Option<ImageRecord>, StoreError> {
        let what = || format!("record of image {}", id.short());
        let text = match record::read(&self.images, &id.hex()) {
            Err(error) if error.is_absent() => return Ok(None),
            read => read.during(what)?,
        };
        let broken = |reason: String| StoreError::Damaged { what: what(), reason };
        // A newer form may have other fields: its version is asked first.
        let version = record::version_of(&text).map_err(|error| broken(error.to_string()))?;
        record::check_version(what, version, RECORD_VERSION)?;
        let record: ImageRecord =
            serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
        if record.id != *id {
            return Err(broken(format!("it is the record of {}", record.id.short())));
        }
        Ok(Some(record))
    }

    pub(in crate::store) fn write_image_record(
        &self,
        image: &ImageRecord,
    ) -> Result<(), StoreError> {
        let what = || format!("write the record of image {}", image.id.short());
        let text = serde_json::to_vec(image)
            .map_err(|error| StoreError::Damaged { what: what(), reason: error.to_string() })?;
        record::replace(&self.images, &image.id.hex(), &text).during(what)
    }

    /// The image of that id, with those of `names` that lead to it; `None` where the store has none.
    pub(super) fn image_now(
        &self,
        id: &Digest,
        names: &[(Reference, Digest)],
    ) -> Result<Option<Image>, StoreError> {
        let own =
            || names.iter().filter(|(_, of)| of == id).map(|(name, _)| name.clone()).collect();
        let mut tries = 0;
        loop {
            let Some(record) = self.image_record(id)? else { return Ok(None) };
            tries += 1;
            match self.image_of(record, own()) {
                // No lock is held: the image may have been removed and collected since its record was read, and even
                // be back again. What is damaged stays so.
                Err(_) if tries < TRIES_MAX => {}
                image => return image.map(Some),
            }
        }
    }

    fn image_of(
        &self,
        record: ImageRecord,
        mut names: Vec<Reference>,
    ) -> Result<Image, StoreError> {
        names.sort();
        let bytes = self.blob(&record.id)?;
        let config = ImageConfig::parse(&bytes).map_err(|error| StoreError::Damaged {
            what: format!("configuration of image {}", record.id.short()),
            reason: error.to_string(),
        })?;
        Ok(Image {
            id: record.id,
            names,
            manifests: record.manifests,
            layers: record.layers,
            config,
            imported_secs: record.imported_secs,
        })
    }

    /// Whether anything stands under a digest in one of the store's directories.
    pub(in crate::store) fn has(
        &self,
        room: &std::os::fd::OwnedFd,
        name: &str,
    ) -> Result<bool, StoreError> {
        match file::stat_at(room, name, file::Symlinks::Stop) {
            Ok(_) => Ok(true),
            Err(error) if error.is_absent() => Ok(false),
            Err(source) => Err(StoreError::Call { deed: "look into the store".into(), source }),
        }
    }
}
