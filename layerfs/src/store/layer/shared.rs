//! What the layers of one import have together: the flag that ends them, the turn to be large, the bound on holes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::error::{EntryFault, LayerError};
use super::turn::Turns;
use crate::store::archive::HOLES_MAX;

/// One import's, for all of its layers.
#[derive(Default)]
pub(in crate::store) struct Shared {
    /// Ends them all, once it is set.
    pub stop: AtomicBool,
    pub(super) turns: Turns,
    hole_bytes: AtomicU64,
}

impl Shared {
    /// An error once the import was told to stop.
    pub(super) fn check(&self) -> Result<(), LayerError> {
        if self.stop.load(Ordering::Relaxed) { Err(LayerError::Stopped) } else { Ok(()) }
    }

    /// Counts holes that a file claims. They cost an archive nothing, and each is hashed.
    pub(super) fn count_holes(&self, len_bytes: u64) -> Result<(), EntryFault> {
        // An archive's own holes are bounded, and archives are few: the sum is in range.
        let before = self.hole_bytes.fetch_add(len_bytes, Ordering::Relaxed);
        if before + len_bytes > HOLES_MAX { Err(EntryFault::TooManyHoles) } else { Ok(()) }
    }
}
