//! Whether a container is what it should be, for `fsck`.

use std::os::fd::OwnedFd;

use super::find::is_living;
use super::id::ContainerId;
use super::record::{self, Base};
use super::state::{self, State};
use crate::store::digest::Digest;
use crate::store::error::{During, StoreError};
use crate::store::unsound::{Unsound, settle};
use crate::sys::host;

/// The layers that a container needs, lowest first, where its record and its state read as they should; `None` where it
/// is nothing: not whole, or a throwaway whose process died.
pub(in crate::store) fn soundness(
    id: &ContainerId,
    dir: &OwnedFd,
) -> Result<Option<Vec<Digest>>, Unsound> {
    if !record::is_kept(dir)? && !is_living(dir)? {
        return Ok(None);
    }
    let look = || -> Result<Option<Vec<Digest>>, StoreError> {
        let Some((_, words)) = record::read(dir, id)? else { return Ok(None) };
        state::read(dir, &format!("container {}", id.short()))?;
        Ok(Some(match words.base {
            Base::Image { layers, .. } => layers,
            Base::Rootfs(_) => Vec::new(),
        }))
    };
    match look() {
        // It may have been removed meanwhile, its record first.
        Err(_) if record::read(dir, id).is_ok_and(|record| record.is_none()) => Ok(None),
        looked => Ok(looked?),
    }
}

/// Gives a container that is not living and whose record is whole a state: that it ended. `false` where the record is not.
pub(in crate::store) fn mend_state(id: &ContainerId, dir: &OwnedFd) -> Result<bool, StoreError> {
    let Ok(Some((keep, words))) = settle(record::read(dir, id).map_err(Unsound::from))? else {
        return Ok(false);
    };
    let state = state::of_dead(&State::Created, host::now_ms());
    let deed = || format!("write the state of container {}", words.id.short());
    state::write(dir, keep, &state, None).during(deed)?;
    Ok(true)
}
