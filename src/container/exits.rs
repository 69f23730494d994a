//! How containers ended that went with their end: told to whoever waits for one.
//!
//! Who waits opens a file with the container's id for name, below the directory of what is running, and keeps it open; who
//! ends the container writes its exit status there before its record goes, and takes the name away after that. So there are
//! as many files as containers that are waited for or just ending, and each has gone with its container.

use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::Result;
use layerfs_driver::store::container::ContainerId;
use layerfs_driver::store::{Store, StoreError};
use layerfs_driver::sys::{dir, file};

use crate::owner::{self, What};
use crate::roots::Roots;

/// Below the directory of what is running.
const DIR: &str = "exits";

/// Bytes of a note.
const LEN_MAX: usize = 16;

/// Where the exit status of one container will stand.
#[derive(Debug)]
pub struct Awaited(Option<OwnedFd>);

impl Awaited {
    /// Of a container that has a record after this was made: it is told of then, however soon it ends.
    pub fn of(roots: &Roots, id: &ContainerId) -> Awaited {
        Awaited(opened(roots, id).unwrap_or_else(|error| {
            tracing::debug!("wait for how container {} ends: {error:#}", id.short());
            None
        }))
    }

    /// How it ended; `None` where nobody noted it.
    pub fn status(&self) -> Option<u8> {
        let mut bytes = [0; LEN_MAX];
        let len = file::read_at(self.0.as_ref()?, &mut bytes, 0).unwrap_or(0);
        std::str::from_utf8(bytes.get(..len)?).ok()?.parse().ok()
    }
}

/// Notes it, before the container's record goes. Only who waits for it misses it.
pub fn note(roots: &Roots, id: &ContainerId, status: u8) {
    let noted = opened(roots, id).and_then(|note| {
        note.map_or(Ok(()), |note| Ok(file::write_all_at(note, status.to_string().as_bytes(), 0)?))
    });
    if let Err(error) = noted {
        tracing::debug!("note how container {} ended: {error:#}", id.short());
    }
}

/// Takes the name away, after the container's record has gone, and those of others whose record has: whoever would have
/// done that was killed.
pub fn forget(store: &Store, roots: &Roots, id: &ContainerId) {
    if let Some(run) = &roots.run
        && let Err(error) = try_forget(store, run, id)
    {
        tracing::debug!("the note how container {} ended stays: {error:#}", id.short());
    }
}

fn try_forget(store: &Store, run: &Path, id: &ContainerId) -> Result<()> {
    let path = run.join(DIR);
    let notes = match dir::open_path(path.as_path()) {
        Err(error) if error.is_absent() => return Ok(()),
        notes => notes?,
    };
    owner::check(&notes, What::RunDirectory, &path)?;
    for entry in dir::list(&notes)? {
        let name = String::from_utf8_lossy(&entry.name);
        let is_over = *name == *id.hex()
            || matches!(store.find_container(&name), Err(StoreError::NoSuchContainer(_)));
        if is_over
            && let Err(error) = dir::unlink(&notes, &*entry.name)
            && !error.is_absent()
        {
            return Err(error.into());
        }
    }
    Ok(())
}

fn opened(roots: &Roots, id: &ContainerId) -> Result<Option<OwnedFd>> {
    let Some(run) = &roots.run else { return Ok(None) };
    let notes = owner::open_below(&owner::open_run(run)?, DIR, run)?;
    Ok(Some(file::open_or_create(&notes, id.hex(), 0o600)?))
}
