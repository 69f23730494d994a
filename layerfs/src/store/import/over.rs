//! Importing one layer over those of an image: what a writable layer changed becomes an image.

use std::io::{self, Write};

use super::commit::Whole;
use super::progress::{LayerOutcome, Progress, Watched};
use super::transaction::{Import, Room};
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::layer::{LayerClaim, Shared, produced, stage_layer};
use crate::store::reference::Reference;
use crate::store::root::Store;

/// An image that is to be: what it has of another, and what else.
pub struct NewImage<'a> {
    /// Diff ids of the layers that it begins with, lowest first.
    pub below: &'a [Digest],
    /// Makes its configuration, which names the new layer.
    pub config: &'a dyn Fn(&Digest) -> Result<Vec<u8>, StoreError>,
    /// Its name.
    pub name: Option<&'a Reference>,
    /// What messages call its layer.
    pub called: &'a str,
}

impl Store {
    /// Makes an image of the layers of another and of one more, whose archive `write` writes on a thread of its own.
    /// Answers its id. Where it fails, the store is as it was.
    pub fn import_over(
        &self,
        image: &NewImage<'_>,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
        progress: &dyn Progress,
    ) -> Result<Digest, StoreError> {
        let shared = Shared::default();
        let import = Import::begin(self)?;
        for diff_id in image.below {
            if !import.rely_on_index(Room::Layers, diff_id)? {
                return Err(StoreError::LayerMissing(format!("layer {}", diff_id.short())));
            }
        }
        let stream = |source| StoreError::Stream { what: image.called.to_owned(), source };
        let archive = produced(|out| write(out)).map_err(stream)?;
        // The diff id is not known before the end: the layer is shown under the digest of its name.
        let shown = Digest::of(image.called.as_bytes());
        progress.begin(&shown, None);
        let watched = Watched { inner: archive, layer: shown, progress, stop: &shared.stop };
        let claim = LayerClaim { what: image.called.to_owned(), blob: None, diff_id: None };
        let staged = stage_layer(&claim, watched, import.make_staging(0)?, &import, &shared)?;
        progress.end(&shown, LayerOutcome::Imported);
        let config = (image.config)(&staged.diff_id)?;
        let names: Vec<Reference> = image.name.into_iter().cloned().collect();
        let layers = image.below.iter().copied().chain([staged.diff_id]).collect();
        let whole = Whole { config: &config, manifest: None, layers, names: &names };
        import.commit(vec![staged], &whole)
    }
}
