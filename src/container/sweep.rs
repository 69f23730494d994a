//! Clearing away what commands left that were killed: part of every verb that makes, lists or removes.

use std::path::Path;

use anyhow::Result;
use layerfs_driver::store::container::{ContainerId, Dead, Keep, Settled, State};
use layerfs_driver::store::{Store, StoreError};
use layerfs_driver::sys::process::Process;
use layerfs_runtime::cgroup::Cgroup;

use super::supervise::{With, anonymous_of};
use super::{exits, network, volume};
use crate::output::message;
use crate::roots::Roots;

/// What a sweep came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Throwaway containers and mounts that are gone now.
    pub removed: u64,
    /// Bytes on disk that are free with that.
    pub bytes: u64,
    /// Those that could not be settled.
    pub failed: u64,
}

/// Settles every container whose process died. One that can't be has its line, and is tried again by the next sweep.
pub fn sweep(store: &Store, roots: &Roots) -> Result<Swept> {
    let mut swept = Swept::default();
    for dead in store.dead_containers()? {
        match one(dead, store, roots) {
            Ok(Settled::Removed { bytes }) => {
                swept.removed += 1;
                swept.bytes += bytes;
            }
            Ok(Settled::Repaired) => {}
            Err(error) => {
                message::error(&error);
                swept.failed += 1;
            }
        }
    }
    // After them: their processes are gone, and with them most of their networks.
    network::sweep(roots)?;
    Ok(swept)
}

fn one(dead: Dead, store: &Store, roots: &Roots) -> Result<Settled> {
    // First: once the store has settled it, nobody finds its id any more.
    let (state, below) = dead.state().unzip();
    if let Some(State::Running { pid, pid_start_ticks, .. }) = state
        && let Some(orphan) = Process::find(pid, pid_start_ticks)?
    {
        orphan.kill()?;
    }
    let id = dead.id().clone();
    clear_runtime(&id, below.flatten().as_deref())?;
    let volumes = match dead.keep() {
        Keep::Kept => Vec::new(),
        Keep::Throwaway => volumes_of(&id, store),
    };
    let going = volume::take_anonymous(store, &id, &volumes);
    let settled = dead.settle()?;
    if matches!(settled, Settled::Removed { .. }) {
        exits::forget(store, roots, &id);
    }
    // What is left of them is told, and keeps nothing from being settled.
    if let Err(error) = going.remove(store) {
        message::error(&error);
    }
    Ok(settled)
}

/// The volumes that go with it. A mount is no container and has none, nor has what was never whole.
fn volumes_of(id: &ContainerId, store: &Store) -> Vec<String> {
    match store.find_container(id.hex()) {
        Ok(container) => anonymous_of(&container, With::All),
        Err(StoreError::NoSuchContainer(_)) => Vec::new(),
        Err(error) => {
            let stay = format!(
                "container {}: which volumes are its can't be told, and those that nobody named stay for `layerfs volume prune`",
                id.short()
            );
            message::error(&anyhow::Error::from(error).context(stay));
            Vec::new()
        }
    }
}

/// What the runtime left under this id outside of the store goes here: control groups, and who is still in them.
fn clear_runtime(id: &ContainerId, below: Option<&Path>) -> Result<()> {
    Ok(Cgroup::sweep(id.hex(), below)?)
}
