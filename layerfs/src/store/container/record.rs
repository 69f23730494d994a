//! What a container is: its record, written once. Its file name says whether the container is kept.

use std::os::fd::OwnedFd;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::id::ContainerId;
use crate::store::digest::Digest;
use crate::store::error::{During, StoreError};
use crate::store::image::Image;
use crate::store::record;
use crate::sys::file::{self, Symlinks};
use crate::sys::{SysError, dir};

/// The form that this build writes, and the latest it knows.
const VERSION: u32 = 1;

/// What a mount notes: where it stands.
pub(super) const MOUNTPOINT: &str = "Mountpoint";

/// What becomes of a container when its process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It stays, with its writable layer, until it is removed by name.
    Kept,
    /// It goes, with everything in it.
    Throwaway,
}

/// What the container's files come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Base {
    /// An image of the store.
    Image {
        /// Its id.
        id: Digest,
        /// Diff ids of its layers, lowest first.
        layers: Vec<Digest>,
        /// The words by which the user meant it.
        called: String,
    },
    /// A directory that is no part of the store, as it is shown: bytes that are no text are replaced.
    Rootfs(String),
}

/// What a record says. Times are milliseconds since 1970.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::store) struct ContainerRecord {
    pub version: u32,
    pub id: ContainerId,
    /// None for a mount.
    pub name: Option<String>,
    pub base: Base,
    pub command: Vec<String>,
    pub hostname: String,
    pub created_ms: u64,
    /// What `inspect` shows beside the rest, under docker's keys.
    pub details: Map<String, Value>,
    /// What the command needs to start it again, in words of its own; null where it can't be.
    #[serde(default)]
    pub said: Value,
    /// Names of the volumes that it shows.
    #[serde(default)]
    pub volumes: Vec<String>,
}

impl Base {
    /// An image of the store, which the user called so.
    pub fn image(image: &Image, called: &str) -> Self {
        let layers = image.layers.iter().map(|layer| layer.diff_id).collect();
        Base::Image { id: image.id, layers, called: called.to_owned() }
    }

    /// A directory outside of the store.
    pub fn rootfs(path: &Path) -> Self {
        Base::Rootfs(path.to_string_lossy().into_owned())
    }
}

impl ContainerRecord {
    pub(super) const fn version() -> u32 {
        VERSION
    }
}

impl Keep {
    /// The record's name.
    pub(super) fn file(self) -> &'static str {
        match self {
            Keep::Kept => "container.json",
            Keep::Throwaway => "throwaway.json",
        }
    }
}

/// Makes a container visible: the last step of making it. A kept one is durable with that.
pub(super) fn write(dir: &OwnedFd, keep: Keep, words: &ContainerRecord) -> Result<(), StoreError> {
    let deed = || format!("write the record of container {}", words.id.short());
    let text = serde_json::to_vec(words)
        .map_err(|error| StoreError::Damaged { what: deed(), reason: error.to_string() })?;
    match keep {
        Keep::Kept => record::replace(dir, keep.file(), &text),
        Keep::Throwaway => record::replace_volatile(dir, keep.file(), &text),
    }
    .during(deed)
}

/// Makes a container that was kept until now one that goes with its process. The caller holds its lock.
pub(super) fn keep_no_longer(dir: &OwnedFd) -> Result<(), SysError> {
    dir::rename(dir, Keep::Kept.file(), dir, Keep::Throwaway.file())
}

/// The other way round, of one that has not run.
pub(super) fn keep_again(dir: &OwnedFd) -> Result<(), SysError> {
    dir::rename(dir, Keep::Throwaway.file(), dir, Keep::Kept.file())?;
    file::sync(dir)
}

/// Makes a container invisible: the first step of removing it. Absent is no error.
pub(super) fn remove(dir: &OwnedFd) -> Result<(), StoreError> {
    let deed = || "remove the record of a container".to_owned();
    match dir::unlink(dir, Keep::Throwaway.file()) {
        Err(error) if !error.is_absent() => return Err(error).during(deed),
        _ => {}
    }
    match dir::unlink(dir, Keep::Kept.file()) {
        Err(error) if error.is_absent() => Ok(()),
        // Without this a power cut could leave the record, and not what it speaks of.
        removed => removed.and_then(|()| file::sync(dir)).during(deed),
    }
}

/// Whether a container is there to be kept: made whole, and not being removed.
pub(super) fn is_kept(dir: &OwnedFd) -> Result<bool, SysError> {
    match file::stat_at(dir, Keep::Kept.file(), Symlinks::Stop) {
        Err(error) if error.is_absent() => Ok(false),
        stat => stat.map(|_| true),
    }
}

/// What stands in a container's directory; `None` where there is no record, yet or any more.
pub(in crate::store) fn read(
    dir: &OwnedFd,
    id: &ContainerId,
) -> Result<Option<(Keep, ContainerRecord)>, StoreError> {
    for keep in [Keep::Kept, Keep::Throwaway] {
        let text = match record::read(dir, keep.file()) {
            Err(error) if error.is_absent() => continue,
            read => read.during(|| format!("read the record of container {}", id.short()))?,
        };
        let words = decode(&text, id).map_err(|reason| StoreError::Damaged {
            what: format!("record of container {}", id.short()),
            reason,
        })?;
        return Ok(Some((keep, words)));
    }
    Ok(None)
}

fn decode(text: &[u8], id: &ContainerId) -> Result<ContainerRecord, String> {
    let words: ContainerRecord = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if words.version > VERSION {
        return Err(format!("its version is {}, a newer layerfs wrote it", words.version));
    }
    if words.id != *id {
        return Err(format!("it is the record of {}", words.id.short()));
    }
    Ok(words)
}
