//! The image that something is to be made of; one that is not here is told with the way to get it.

use anyhow::{Result, anyhow};
use layerfs_driver::store::image::Hit;
use layerfs_driver::store::reference::Reference;
use layerfs_driver::store::source::registry_advice;
use layerfs_driver::store::{Store, StoreError};

/// Finds the image that is to be run or mounted.
pub fn find_to_use(store: &Store, words: &str) -> Result<Hit> {
    let found = store.find(words);
    match (&found, registry_name(words)) {
        (Err(absent @ StoreError::NoSuchImage(_)), Some(name)) => {
            Err(anyhow!("{absent}; {}", registry_advice(&name)))
        }
        _ => Ok(found?),
    }
}

/// The words as a name that a registry may know: not what is written like an id.
fn registry_name(words: &str) -> Option<Reference> {
    let is_id = words.starts_with("sha256:") || words.bytes().all(|byte| byte.is_ascii_hexdigit());
    Reference::parse(words).ok().filter(|_| !is_id)
}
