//! What containers need of the store: the roots that gc takes from them.

use super::find::is_living;
use super::record::{self, Base};
use crate::store::chain_id;
use crate::store::digest::Digest;
use crate::store::error::{During, StoreError};
use crate::store::import::{Listed, Room};
use crate::store::root::Store;

/// An image that a container or a mount has, whether the store still lists it or not.
pub(in crate::store) struct UsedImage {
    pub id: Digest,
    /// Diff ids, lowest first.
    pub layers: Vec<Digest>,
}

impl UsedImage {
    /// The image's blobs, layers and tree; what they name in turn is not among them.
    pub fn listed(&self) -> impl Iterator<Item = Listed> + '_ {
        let tree = chain_id(self.layers.iter());
        let layers =
            self.layers.iter().map(|digest| Listed { room: Room::Layers, digest: *digest });
        let blob = Listed { room: Room::Blobs, digest: self.id };
        layers.chain(tree.map(|digest| Listed { room: Room::Trees, digest })).chain([blob])
    }
}

impl Store {
    /// The images of kept containers, and of throwaway ones and mounts that live.
    pub(in crate::store) fn used_images(&self) -> Result<Vec<UsedImage>, StoreError> {
        let deed = || "read what containers use".to_owned();
        let mut used = Vec::new();
        for (id, dir) in self.container_dirs()? {
            // Of a dead throwaway even a damaged record is nothing: no record of it was synced.
            if !record::is_kept(&dir).during(deed)? && !is_living(&dir).during(deed)? {
                continue;
            }
            // Without a record it is being removed: being made takes presence, which whoever collects keeps out.
            if let Some((_, words)) = record::read(&dir, &id)?
                && let Base::Image { id, layers, .. } = words.base
            {
                used.push(UsedImage { id, layers });
            }
        }
        Ok(used)
    }
}
