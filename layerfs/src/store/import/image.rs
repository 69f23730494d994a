//! Importing an image: its layers in parallel, then the whole at once.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::commit::Whole;
use super::progress::{LayerOutcome, Progress, Watched};
use super::transaction::{Import, Room};
use crate::store::digest::Digest;
use crate::store::error::StoreError;
use crate::store::layer::{LayerClaim, Shared, StagedLayer, stage_layer};
use crate::store::reference::Reference;
use crate::store::root::Store;
use crate::store::source::{Source, SourceImage, SourceLayer};

/// Layers read at the same time, at most.
const WORKERS_MAX: usize = 4;

impl Store {
    /// Brings an image into the store, under `names`. Answers its id.
    ///
    /// Nothing of it is visible before all of it is proved by digest and synced; where it fails, the store is as it
    /// was.
    pub fn import_image(
        &self,
        source: &Source,
        image: &SourceImage,
        names: &[Reference],
        progress: &dyn Progress,
    ) -> Result<Digest, StoreError> {
        let import = Import::begin(self)?;
        let staged = Job::new(&import, source, &image.layers, progress).run()?;
        let whole = Whole {
            config: &image.config.bytes,
            manifest: image.manifest.as_ref().map(|manifest| manifest.bytes.as_slice()),
            layers: image.layers.iter().map(|layer| layer.diff_id).collect(),
            names,
        };
        import.commit(staged, &whole)
    }
}

/// The layers of one image, shared out among threads.
struct Job<'a> {
    import: &'a Import<'a>,
    source: &'a Source,
    /// Each diff id once: an image may have the same layer twice. The largest blobs first: a large one that is begun last is
    /// read alone.
    layers: Vec<&'a SourceLayer>,
    progress: &'a dyn Progress,
    next: AtomicUsize,
    shared: Shared,
    /// The layers done, and the first error.
    results: Mutex<(Vec<StagedLayer>, Option<StoreError>)>,
}

impl<'a> Job<'a> {
    fn new(
        import: &'a Import<'a>,
        source: &'a Source,
        all: &'a [SourceLayer],
        progress: &'a dyn Progress,
    ) -> Self {
        let mut seen = HashSet::new();
        let mut layers: Vec<_> = all.iter().filter(|layer| seen.insert(layer.diff_id)).collect();
        layers.sort_by_key(|layer| Reverse(layer.blob.map(|(_, len_bytes)| len_bytes)));
        let results = Mutex::new((Vec::new(), None));
        Job {
            import,
            source,
            layers,
            progress,
            next: AtomicUsize::new(0),
            shared: Shared::default(),
            results,
        }
    }

    fn run(self) -> Result<Vec<StagedLayer>, StoreError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..cores.min(WORKERS_MAX).min(self.layers.len()) {
                scope.spawn(|| self.work());
            }
        });
        let (staged, error) =
            self.results.into_inner().unwrap_or_else(|poison| poison.into_inner());
        error.map_or(Ok(staged), Err)
    }

    fn work(&self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(layer) = self.layers.get(number) else { return };
            let done = self.layer(number, layer);
            let mut results = self.results.lock().unwrap_or_else(|poison| poison.into_inner());
            match done {
                Ok(staged) => results.0.extend(staged),
                Err(error) => {
                    self.shared.stop.store(true, Ordering::Relaxed);
                    // A layer that was stopped because of another's error has nothing to say.
                    results.1.get_or_insert(error);
                }
            }
        }
    }

    fn layer(&self, number: usize, layer: &SourceLayer) -> Result<Option<StagedLayer>, StoreError> {
        // One that an earlier layerfs brought is read again for its frame.
        let has_frame = self.import.store.has_frame(&layer.diff_id)?;
        if self.import.rely_on_index(Room::Layers, &layer.diff_id)? && has_frame {
            self.progress.end(&layer.diff_id, LayerOutcome::AlreadyHere);
            return Ok(None);
        }
        self.progress.begin(&layer.diff_id, layer.blob.map(|(_, len)| len));
        let staged = self.read(number, layer)?;
        self.progress.end(&layer.diff_id, LayerOutcome::Imported);
        Ok(Some(staged))
    }

    fn read(&self, number: usize, layer: &SourceLayer) -> Result<StagedLayer, StoreError> {
        let blob = self.source.open_blob(layer)?;
        let claim = LayerClaim {
            what: format!("{}: layer {}", self.source.shown(), layer.diff_id.short()),
            blob: layer.blob,
            diff_id: Some(layer.diff_id),
        };
        let watched = Watched {
            inner: blob,
            layer: layer.diff_id,
            progress: self.progress,
            stop: &self.shared.stop,
        };
        let staging = self.import.make_staging(number)?;
        stage_layer(&claim, watched, staging, self.import, &self.shared)
    }
}
