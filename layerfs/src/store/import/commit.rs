//! Publishing what an import has staged: objects, layers, the merged tree, blobs, and last the image and its names.

use std::os::fd::OwnedFd;

use super::transaction::{Import, Room};
use crate::store::digest::Digest;
use crate::store::error::{During, StoreError};
use crate::store::fold::merge_layers;
use crate::store::image::{ImageLayer, ImageRecord, RECORD_VERSION};
use crate::store::index::Index;
use crate::store::index::Kind;
use crate::store::indexes;
use crate::store::layer::{FRAME, StagedLayer};
use crate::store::record;
use crate::store::reference::Reference;
use crate::store::root::object_path;
use crate::sys::file::{self, Symlinks};
use crate::sys::{Errno, SysError, dir, host};

/// An image whose layers are staged or in the store.
pub(super) struct Whole<'a> {
    /// The configuration's bytes; their digest is the image's id.
    pub config: &'a [u8],
    /// The manifest's bytes, where there is one.
    pub manifest: Option<&'a [u8]>,
    /// The layers, lowest first.
    pub layers: Vec<Digest>,
    /// The names it gets.
    pub names: &'a [Reference],
}

impl Import<'_> {
    /// Makes the image visible, whole and durable. Answers its id.
    pub(super) fn commit(
        &self,
        staged: Vec<StagedLayer>,
        whole: &Whole<'_>,
    ) -> Result<Digest, StoreError> {
        let layers = self.layers_of(&staged, &whole.layers)?;
        let tree = self.stage_tree(&layers, &whole.layers)?;
        let id = Digest::of(whole.config);
        let sizes = whole.layers.iter().zip(&layers);
        let sizes = sizes.map(|(diff_id, index)| ImageLayer {
            diff_id: *diff_id,
            size: index.totals().content_bytes,
        });
        let layers: Vec<ImageLayer> = sizes.collect();
        // On disk before it has its name: an object, a layer or a tree that stands there is taken for whole.
        file::sync_filesystem(&self.dir).during(|| "write an image to disk".to_owned())?;

        let _presence = self.store.presence()?;
        let deed = || "publish an image".to_owned();
        self.check_relied_on(&staged, &whole.layers)?;
        if tree.is_none() {
            self.check_tree(&whole.layers)?;
        }
        for layer in &staged {
            self.publish_layer(layer).during(deed)?;
        }
        if let Some(chain_id) = tree {
            self.list(Room::Trees, &chain_id).during(deed)?;
            install(&self.dir, "tree", &self.store.trees, &chain_id.hex()).during(deed)?;
        }
        for bytes in [Some(whole.config), whole.manifest].into_iter().flatten() {
            self.publish_blob(bytes)?;
        }
        // The image's record must not be on disk before what it names.
        file::sync_filesystem(self.store.root()).during(deed)?;
        let _records = self.store.lock_records()?;
        self.publish_record(id, whole, layers)?;
        for name in whole.names {
            self.store.write_name(&id, name)?;
        }
        Ok(id)
    }

    /// Looks again for what was found in the store: gc keeps it, but a repair may have set it aside since. The caller
    /// holds presence.
    fn check_relied_on(
        &self,
        staged: &[StagedLayer],
        diff_ids: &[Digest],
    ) -> Result<(), StoreError> {
        for digest in staged.iter().flat_map(|layer| &layer.relied_on) {
            if !self.store.has(&self.store.objects, &object_path(digest))? {
                return Err(StoreError::SetAside(format!("object {}", digest.short())));
            }
        }
        for diff_id in diff_ids {
            let is_staged = staged.iter().any(|layer| layer.diff_id == *diff_id);
            if !is_staged && !self.store.has(&self.store.layers, &diff_id.hex())? {
                return Err(StoreError::SetAside(format!("layer {}", diff_id.short())));
            }
        }
        Ok(())
    }

    /// The same for the merged tree that was found.
    fn check_tree(&self, diff_ids: &[Digest]) -> Result<(), StoreError> {
        match crate::store::chain_id(diff_ids.iter()) {
            Some(chain_id) if !self.store.has(&self.store.trees, &chain_id.hex())? => {
                Err(StoreError::SetAside(format!("merged tree {}", chain_id.short())))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The indexes of all layers, from the stage or from the store.
    fn layers_of(
        &self,
        staged: &[StagedLayer],
        diff_ids: &[Digest],
    ) -> Result<Vec<Index>, StoreError> {
        let open = |diff_id: &Digest| match staged.iter().find(|layer| layer.diff_id == *diff_id) {
            Some(layer) => {
                let dir = self.staging_of(layer);
                let index = dir.and_then(|dir| file::open_read(&dir, "index", Symlinks::Stop));
                let what = || format!("layer {}", diff_id.short());
                Index::open(index.during(what)?).during(what)
            }
            None => self.store.layer_index(diff_id),
        };
        diff_ids.iter().map(open).collect()
    }

    /// Folds the layers, unless the store has their tree. Answers the chain id of a tree that is staged.
    fn stage_tree(
        &self,
        layers: &[Index],
        diff_ids: &[Digest],
    ) -> Result<Option<Digest>, StoreError> {
        let Some(chain_id) = crate::store::chain_id(diff_ids.iter()) else { return Ok(None) };
        if self.rely_on_index(Room::Trees, &chain_id)?
            && indexes::open(&self.store.trees, &chain_id, Kind::Tree).is_ok()
        {
            return Ok(None);
        }
        let what = || format!("merged tree {}", chain_id.short());
        let tree = file::create_new(&self.dir, "tree", 0o400).during(what)?;
        merge_layers(layers, chain_id, tree).during(what)?;
        Ok(Some(chain_id))
    }

    fn publish_layer(&self, layer: &StagedLayer) -> Result<(), SysError> {
        self.list(Room::Layers, &layer.diff_id)?;
        let from = self.staging_of(layer)?;
        for object in &layer.objects {
            let hex = object.digest.hex();
            let to = match self.store.object_dir(&object.digest) {
                Err(error) if error.is_absent() => {
                    dir::make_if_absent(&self.store.objects, &hex[..2], 0o700)?;
                    self.store.object_dir(&object.digest)?.0
                }
                opened => opened?.0,
            };
            install(&from, &object.number.to_string(), &to, &hex)?;
        }
        // Before the index: a layer that is there has its frame.
        install(&from, FRAME, &self.store.frames, &layer.diff_id.hex())?;
        install(&from, "index", &self.store.layers, &layer.diff_id.hex())
    }

    fn publish_blob(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let digest = Digest::of(bytes);
        let what = || format!("write blob {}", digest.short());
        self.list(Room::Blobs, &digest).during(what)?;
        let known = record::read(&self.store.blobs, &digest.hex());
        if known.is_ok_and(|known| known == bytes) {
            return Ok(());
        }
        let fd = file::create_new(&self.dir, digest.hex().as_str(), 0o400).during(what)?;
        file::write_all(&fd, bytes).during(what)?;
        dir::rename(&self.dir, digest.hex().as_str(), &self.store.blobs, digest.hex().as_str())
            .during(what)
    }

    /// Writes the image's record, with the manifests that an earlier import of it brought. The caller holds the records.
    fn publish_record(
        &self,
        id: Digest,
        whole: &Whole<'_>,
        layers: Vec<ImageLayer>,
    ) -> Result<(), StoreError> {
        let known = self.store.image_record(&id)?;
        let (mut manifests, imported_secs) = match known {
            Some(record) => (record.manifests, record.imported_secs),
            None => (Vec::new(), host::now_secs()),
        };
        if let Some(manifest) = whole.manifest.map(Digest::of)
            && !manifests.contains(&manifest)
        {
            manifests.push(manifest);
        }
        let record = ImageRecord { version: RECORD_VERSION, id, manifests, layers, imported_secs };
        self.store.write_image_record(&record)
    }
}

/// Moves a staged file to the name of its digest. Where that name is taken by a file of the same size, what stands
/// there has the same bytes and stays: it may be open in a mount. One of another size is damaged and is replaced.
fn install(from: &OwnedFd, staged: &str, to: &OwnedFd, name: &str) -> Result<(), SysError> {
    match dir::rename_new(from, staged, to, name) {
        Err(error) if error.errno() == Errno::EXIST => {
            let sizes = [(from, staged), (to, name)]
                .map(|(dir, name)| file::stat_at(dir, name, Symlinks::Stop));
            let [ours, theirs] = sizes;
            if ours?.st_size == theirs?.st_size {
                dir::unlink(from, staged)
            } else {
                dir::rename(from, staged, to, name)
            }
        }
        // File systems without RENAME_NOREPLACE: the bytes are the same whichever stays.
        Err(error) if error.errno() == Errno::INVAL => dir::rename(from, staged, to, name),
        other => other,
    }
}
