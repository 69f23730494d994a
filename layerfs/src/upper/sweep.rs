//! Owns removing what a change left in the work directory.

use super::open::Upper;
use crate::sys::{SysError, deep};

impl Upper {
    /// Removes what stands in the work directory under that name, whatever it is.
    pub fn sweep(&self, aside: &str) {
        let remove = || deep::remove(&self.work, aside);
        told_if_left(self.taking((&self.work, aside.as_bytes()), remove));
    }

    /// The same of what is no object of the layer: a whiteout, or a record.
    pub(super) fn sweep_uncounted(&self, aside: &str) {
        told_if_left(deep::remove(&self.work, aside));
    }

    /// Answers what was done, and sweeps where that failed.
    pub(super) fn or_sweep<T>(
        &self,
        aside: &str,
        result: Result<T, SysError>,
    ) -> Result<T, SysError> {
        if result.is_err() {
            self.sweep(aside);
        }
        result
    }
}

fn told_if_left(removed: Result<(), SysError>) {
    if let Err(error) = removed {
        tracing::warn!(
            "what a change left in the work directory stays until the next mount: {error}"
        );
    }
}
