//! Room for what is read, which is used again: to make it and to clear it costs more than a small read.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::wire::TRANSFER_MAX;

/// So many are kept. What was never read into takes no memory.
const KEPT: usize = 8;

/// The kept ones.
#[derive(Clone, Default)]
pub(super) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// Does something with room for so many bytes, at most [`TRANSFER_MAX`]. What is in it is of before.
    pub fn with<T>(&self, size: u32, act: impl FnOnce(&mut [u8]) -> T) -> T {
        let kept = self.0.lock().pop();
        let whole = usize::try_from(TRANSFER_MAX).unwrap_or(0);
        let mut room = kept.unwrap_or_else(|| vec![0; whole]);
        let len = usize::try_from(size).unwrap_or(whole).min(whole);
        let done = act(&mut room[..len]);
        let mut kept = self.0.lock();
        if kept.len() < KEPT {
            kept.push(room);
        }
        done
    }
}
