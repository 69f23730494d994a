//! Owns telling the log of errors that no caller is at fault for, a mark that is damaged or a disk that fails: each once, so
//! that who asks again and again does not fill it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::sys::Errno;
use crate::union::UnionError;

/// So many texts are remembered; then all of them may be told again.
const TOLD_MAX: usize = 500;

static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Tells the log of a request that failed. One that fails by right is told to no one.
pub(super) fn tell(error: &UnionError) {
    if matches!(error, UnionError::Answer(_)) {
        return;
    }
    let text = error.to_string();
    if (error.errno() == Errno::IO || error.is_of_marks()) && is_new(&text) {
        tracing::warn!("{text}");
    } else {
        tracing::debug!("{text}");
    }
}

fn is_new(text: &str) -> bool {
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.len() >= TOLD_MAX {
        told.clear();
    }
    told.insert(text.to_owned())
}
