//! An image on its way out: what keeps it from gc, its documents, the archives of its layers.

use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::frame::{self, FrameError, LayerArchive};
use crate::store::image::Image;
use crate::store::import::{Import, Progress, Room};
use crate::store::reference::Reference;
use crate::store::root::Store;

/// An image, and the names that it is written under.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The image.
    pub image: Image,
    /// Names with tags.
    pub names: Vec<Reference>,
}

/// Keeps images as they are until it is dropped.
pub(super) struct Kept<'s> {
    store: &'s Store,
    /// Is told of each layer that is written.
    pub(super) progress: &'s dyn Progress,
    #[allow(dead_code, reason = "gc takes its list for roots while it lives")]
    import: Import<'s>,
}

impl<'s> Kept<'s> {
    pub(super) fn new(
        store: &'s Store,
        images: &[Exported],
        progress: &'s dyn Progress,
    ) -> Result<Self, StoreError> {
        let import = Import::begin(store)?;
        for layer in images.iter().flat_map(|exported| &exported.image.layers) {
            if !import.rely_on_index(Room::Layers, &layer.diff_id)? {
                let what = format!("layer {}", layer.diff_id.short());
                return Err(StoreError::LayerMissing(what));
            }
            // Said before anything is written.
            if !store.has_frame(&layer.diff_id)? {
                return Err(StoreError::FrameMissing(layer.diff_id.short().to_string()));
            }
        }
        Ok(Kept { store, progress, import })
    }

    pub(super) fn config(&self, image: &Image) -> Result<Vec<u8>, StoreError> {
        self.store.config_bytes(&image.id)
    }

    pub(super) fn archive(&self, diff_id: &Digest) -> Result<LayerArchive, StoreError> {
        frame::open(self.store, diff_id).map_err(|source| match source {
            FrameError::Call(call) if call.is_absent() => {
                StoreError::FrameMissing(diff_id.short().to_string())
            }
            source => StoreError::Frame { layer: diff_id.short().to_string(), source },
        })
    }
}
