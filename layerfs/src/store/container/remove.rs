//! Removing containers.

use std::os::fd::OwnedFd;
use std::time::Duration;

use super::find::Container;
use super::record;
use crate::store::error::{During, StoreError};
use crate::store::root::Store;
use crate::sys::file::Symlinks;
use crate::sys::lock::{self, Share};
use crate::sys::{deep, dir};

impl Store {
    /// Removes a container and its writable layer. One that is gone already is no error, one that lives is.
    pub fn remove_container(&self, container: &Container) -> Result<(), StoreError> {
        match self.hold_container(container) {
            Err(StoreError::NoSuchContainer(_)) => Ok(()),
            Err(StoreError::ContainerRuns(name)) => Err(StoreError::ContainerLives(name)),
            held => self.remove_held_container(container, held?),
        }
    }

    /// Removes a container that the caller holds ([`Store::hold_container`]), and its writable layer.
    pub fn remove_held_container(
        &self,
        container: &Container,
        held: OwnedFd,
    ) -> Result<(), StoreError> {
        remove_whole(&self.open_containers()?, &held, container.id.hex().as_bytes())
    }

    /// Waits until the process that runs a container has let go of it, but no longer than `limit`; `false` where it has
    /// not.
    pub fn wait_for_container(
        &self,
        container: &Container,
        limit: Duration,
    ) -> Result<bool, StoreError> {
        let deed = || format!("wait for container {}", container.name);
        let containers = self.open_containers()?;
        match dir::open(&containers, container.id.hex(), Symlinks::Stop) {
            Err(error) if error.is_absent() => Ok(true),
            dir => lock::wait_at_most(&dir.during(deed)?, Share::Exclusive, limit).during(deed),
        }
    }
}

/// Removes a container's directory, its record first: under the lock of the containers, so that nobody who writes it anew
/// meets that. The caller holds the directory's lock.
pub(super) fn remove_whole(
    containers: &OwnedFd,
    own: &OwnedFd,
    name: &[u8],
) -> Result<(), StoreError> {
    let deed = || "lock the containers".to_owned();
    // A descriptor of its own: the caller may hold that lock by another, and gives it back itself.
    lock::wait(containers, Share::Exclusive).during(deed)?;
    let removed = record::remove(own);
    lock::release(containers).during(deed)?;
    removed?;
    deep::remove(containers, name).during(|| "remove what a container left".into())
}
