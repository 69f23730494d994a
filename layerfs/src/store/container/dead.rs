//! Containers whose process died: found, so that others can clear away what is theirs, then settled.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use super::find::{is_living, is_no_dir};
use super::id::ContainerId;
use super::record::{self, Keep};
use super::remove::remove_whole;
use super::state::{self, State};
use crate::store::error::{During, StoreError};
use crate::store::root::Store;
use crate::store::usage::allocated_below;
use crate::sys::file::Symlinks;
use crate::sys::lock::{self, Share};
use crate::sys::{dir, host};

/// A container whose process died, locked by whoever found it. Dropped without [`Dead::settle`], it is found again.
#[derive(Debug)]
pub struct Dead {
    containers: OwnedFd,
    dir: OwnedFd,
    id: ContainerId,
    keep: Keep,
}

/// What settling a dead container came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is gone, and so many bytes of the disk are free.
    Removed {
        /// Allocated bytes of all that was in its directory.
        bytes: u64,
    },
    /// It is kept, and its state says now that it died.
    Repaired,
}

impl Dead {
    /// Its id, under which others may have things of its.
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    /// What becomes of it when it is settled.
    pub fn keep(&self) -> Keep {
        self.keep
    }

    /// What it said last of itself, and below which control group its groups are; `None` where it can't be known: nothing depends on
    /// it any more.
    pub fn state(&self) -> Option<(State, Option<PathBuf>)> {
        let read = state::read(&self.dir, "a dead container");
        read.inspect_err(|error| tracing::debug!("{error}")).ok()
    }

    /// Removes a throwaway and one that was never whole; writes into the state of a kept one that it died.
    pub fn settle(self) -> Result<Settled, StoreError> {
        let deed = || "clear away what a dead container left".to_owned();
        match self.keep {
            Keep::Throwaway => {
                let bytes = allocated_below(&self.dir).during(deed)?;
                remove_whole(&self.containers, &self.dir, self.id.hex().as_bytes())?;
                Ok(Settled::Removed { bytes })
            }
            Keep::Kept => {
                let (said, groups) = state::read(&self.dir, "a dead container")?;
                for entry in dir::list(&self.dir).during(deed)? {
                    if crate::store::record::is_aside(&entry.name) {
                        dir::unlink(&self.dir, &*entry.name).during(deed)?;
                    }
                }
                let state = state::of_dead(&said, host::now_ms());
                state::write(&self.dir, Keep::Kept, &state, groups.as_deref()).during(deed)?;
                Ok(Settled::Repaired)
            }
        }
    }
}

impl Store {
    /// The containers whose process died and that nobody has settled since, and what was left of making or removing one.
    pub fn dead_containers(&self) -> Result<Vec<Dead>, StoreError> {
        let deed = || "look for dead containers".to_owned();
        // One that is being made is not locked yet; it holds this.
        let containers = self.lock_containers()?;
        let mut found = Vec::new();
        for entry in dir::list(&containers).during(deed)? {
            let id = std::str::from_utf8(&entry.name).ok().and_then(ContainerId::parse);
            let Some(id) = id else { continue };
            let dir = match dir::open(&containers, id.hex(), Symlinks::Stop) {
                Err(error) if is_no_dir(&error) => continue,
                dir => dir.during(deed)?,
            };
            let Some(keep) = keep_of_dead(&id, &dir)? else { continue };
            if lock::try_take(&dir, Share::Exclusive).during(deed)? {
                let containers = self.open_containers()?;
                found.push(Dead { containers, dir, id, keep });
            }
        }
        Ok(found)
    }
}

/// What becomes of it if it is dead; `None` where it lives, or was settled.
fn keep_of_dead(id: &ContainerId, dir: &OwnedFd) -> Result<Option<Keep>, StoreError> {
    let deed = || "look for dead containers".to_owned();
    if is_living(dir).during(deed)? {
        return Ok(None);
    }
    if !record::is_kept(dir).during(deed)? {
        return Ok(Some(Keep::Throwaway));
    }
    match state::read(dir, &format!("container {}", id.short())) {
        Ok((State::Exited(_) | State::Idle, _)) => Ok(None),
        Ok((State::Created | State::Running { .. }, _)) => Ok(Some(Keep::Kept)),
        // `fsck` tells it, and it must not keep others from being found.
        Err(StoreError::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
