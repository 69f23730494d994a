//! gc: removing what no image, no container and no living import needs.
//!
//! It works under the store's solitude: imports wait to list and to publish, and go on inflating meanwhile. What can't
//! be read is never taken as "not needed": a damaged record or index ends the collection with an error. What is no part of
//! the store is passed over.

use std::collections::HashSet;
use std::os::fd::OwnedFd;

use super::chain::chain_id;
use super::digest::Digest;
use super::error::{During, StoreError};
use super::import::{Listed, Room, list_of_imports, sweep_dead};
use super::root::Store;
use super::strangers::{self, Files};
use super::usage::allocated_below;
use crate::sys::file::{self, Symlinks};
use crate::sys::{Errno, deep, dir};

/// What a collection removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Manifests and configurations.
    pub blobs: u64,
    /// File objects.
    pub objects: u64,
    /// Layer indexes.
    pub layers: u64,
    /// Merged trees.
    pub trees: u64,
    /// Directories of imports that had died.
    pub imports: u64,
    /// Bytes on disk of all of these, and of what `fsck --repair` had set aside.
    pub bytes: u64,
}

/// Everything that must stay.
type Roots = HashSet<Listed>;

impl Store {
    /// Removes what nothing needs. Safe beside every other use of the store.
    pub fn collect(&self) -> Result<Collected, StoreError> {
        let _solitude = self.solitude()?;
        let swept = sweep_dead(self)?;
        let mut collected = Collected { imports: swept.imports, ..Collected::default() };
        self.sweep_asides()?;
        self.sweep_names()?;
        let roots = self.roots()?;
        let mut bytes = swept.bytes;
        let mut sweep = |room, dir: &OwnedFd, files: Files| -> Result<u64, StoreError> {
            let swept = sweep_files(dir, files, |digest| roots.contains(&Listed { room, digest }))?;
            bytes += swept.1;
            Ok(swept.0)
        };
        let files = strangers::files;
        collected.blobs = sweep(Room::Blobs, &self.blobs, files(&self.blobs)?)?;
        // Trees and layers go before the objects that they name.
        collected.trees = sweep(Room::Trees, &self.trees, files(&self.trees)?)?;
        collected.layers = sweep(Room::Layers, &self.layers, files(&self.layers)?)?;
        // A frame stays and goes with its layer.
        sweep(Room::Layers, &self.frames, files(&self.frames)?)?;
        for pair in strangers::object_dirs(self)?.own {
            let deed = || "open a directory of objects".to_owned();
            let room = dir::open(&self.objects, pair.as_str(), Symlinks::Stop).during(deed)?;
            let objects = strangers::objects(&room, &pair)?;
            collected.objects += sweep(Room::Objects, &room, objects)?;
        }
        for entry in dir::list(&self.damaged).during(|| "list what is set aside".into())? {
            bytes += remove_set_aside(&self.damaged, &entry.name)?;
        }
        collected.bytes = bytes;
        Ok(collected)
    }

    fn roots(&self) -> Result<Roots, StoreError> {
        let mut roots: Roots = list_of_imports(self)?.into_iter().collect();
        for image in self.used_images()? {
            roots.extend(image.listed());
        }
        for id in self.image_ids()? {
            let Some(image) = self.image_record(&id)? else { continue };
            roots.insert(Listed { room: Room::Blobs, digest: id });
            roots.extend(self.manifests_of(&id)?);
            let diff_ids = image.layers.iter().map(|layer| &layer.diff_id);
            roots.extend(
                chain_id(diff_ids.clone()).map(|digest| Listed { room: Room::Trees, digest }),
            );
            roots.extend(diff_ids.map(|digest| Listed { room: Room::Layers, digest: *digest }));
        }
        self.add_objects(&mut roots)?;
        Ok(roots)
    }

    /// The manifests of an image; none where the store does not list it any more.
    pub(super) fn manifests_of(&self, id: &Digest) -> Result<Vec<Listed>, StoreError> {
        let record = self.image_record(id)?;
        let manifests = record.map(|image| image.manifests).unwrap_or_default().into_iter();
        Ok(manifests.map(|digest| Listed { room: Room::Blobs, digest }).collect())
    }

    /// Adds the objects of every layer in `roots`.
    pub(super) fn add_objects(&self, roots: &mut Roots) -> Result<(), StoreError> {
        let layers: Vec<Digest> =
            roots.iter().filter(|root| root.room == Room::Layers).map(|root| root.digest).collect();
        for diff_id in layers {
            match self.layer_index(&diff_id) {
                // Set aside by fsck, or listed by an import that has not published it yet.
                Err(StoreError::LayerMissing(_)) => {}
                index => {
                    let index = index?;
                    let objects =
                        index.objects().during(|| format!("layer {}", diff_id.short()))?;
                    roots.extend(objects.map(|(digest, _)| Listed { room: Room::Objects, digest }));
                    index.intact().during(|| format!("layer {}", diff_id.short()))?;
                }
            }
        }
        Ok(())
    }

    /// Removes records that were being written when their writer died. No writer lives under solitude.
    fn sweep_asides(&self) -> Result<(), StoreError> {
        for room in [&self.images, &self.names, self.root()] {
            for aside in strangers::files(room)?.asides {
                remove_file(room, &aside)?;
            }
        }
        if let Some(room) = self.open_uppers()? {
            for aside in strangers::files(&room)?.asides {
                remove_file(&room, &aside)?;
            }
        }
        Ok(())
    }
}

/// Removes the files of a directory that are not needed, and those that were being written. Answers how many, and their
/// bytes.
fn sweep_files(
    dir: &OwnedFd,
    files: Files,
    is_needed: impl Fn(Digest) -> bool,
) -> Result<(u64, u64), StoreError> {
    let (mut removed, mut bytes) = (0, 0);
    let old = files.digests.into_iter().filter(|digest| !is_needed(*digest));
    let old = old.map(|digest| digest.hex().into_bytes().into());
    for name in old.chain(files.asides) {
        bytes += remove_file(dir, &name)?;
        removed += 1;
    }
    Ok((removed, bytes))
}

/// A file, or a directory with all below it: what was a container with its writable layer, or a stranger.
fn remove_set_aside(damaged: &OwnedFd, name: &[u8]) -> Result<u64, StoreError> {
    let deed = || "remove what was set aside".to_owned();
    match dir::open(damaged, name, Symlinks::Stop) {
        Err(error) if matches!(error.errno(), Errno::NOTDIR | Errno::LOOP) => {
            remove_file(damaged, name)
        }
        opened => {
            let bytes = allocated_below(&opened.during(deed)?).during(deed)?;
            deep::remove(damaged, name).during(deed)?;
            Ok(bytes)
        }
    }
}

fn remove_file(dir: &OwnedFd, name: &[u8]) -> Result<u64, StoreError> {
    let deed = || "remove what nothing needs".to_owned();
    let stat = file::stat_at(dir, name, Symlinks::Stop).during(deed)?;
    dir::unlink(dir, name).during(deed)?;
    Ok(u64::try_from(stat.st_blocks).unwrap_or(0) * 512)
}
