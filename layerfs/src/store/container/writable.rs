//! From a container, or the mountpoint of a mount, to its writable layer and the image below it.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::find::{Container, is_living};
use super::id::ContainerId;
use super::record::{self, Base, ContainerRecord, Keep, MOUNTPOINT};
use crate::store::digest::Digest;
use crate::store::error::{During, StoreError};
use crate::store::root::Store;
use crate::sys::dir;
use crate::sys::file::Symlinks;

/// What a mount notes where the user keeps its changes, under docker's keys.
const UPPER: &str = "UpperDir";
const WORK: &str = "WorkDir";

/// Where a mount stands, and where its changes are kept.
#[derive(Clone, Copy, Debug)]
pub struct Stands<'a> {
    /// The mountpoint.
    pub at: &'a Path,
    /// The user's own directories for the changes: upper and work.
    pub own: Option<(&'a Path, &'a Path)>,
}

/// A writable layer over an image.
#[derive(Debug)]
pub struct Writable {
    /// The image's id.
    pub image: Digest,
    /// Diff ids of its layers, lowest first.
    pub layers: Vec<Digest>,
    /// The words of the first process; none of a mount.
    pub command: Vec<String>,
    /// The upper.
    pub upper: OwnedFd,
    /// Its work directory.
    pub work: OwnedFd,
}

/// Where a mount that died has its changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// In the user's own upper directory, where they stay.
    Own(PathBuf),
    /// In the store, until it is swept.
    Throwaway(PathBuf),
}

impl Stands<'_> {
    /// What the record of the mount says beside the rest.
    pub(super) fn noted(&self) -> Map<String, Value> {
        let text = |path: &Path| Value::from(path.to_string_lossy());
        let mut noted = Map::from_iter([(MOUNTPOINT.to_owned(), text(self.at))]);
        if let Some((upper, work)) = self.own {
            noted.extend([(UPPER.to_owned(), text(upper)), (WORK.to_owned(), text(work))]);
        }
        noted
    }
}

impl Store {
    /// The writable layer of a container.
    pub fn writable_of(&self, container: &Container) -> Result<Writable, StoreError> {
        let what = || format!("container `{}`", container.name);
        let (dir, words) = self.record_of(&container.id, what)?;
        writable(&dir, words, what)
    }

    /// The writable layer of the mount at that place, absolute and without links; `None` where no image of this store is
    /// mounted there.
    pub fn writable_at(&self, mountpoint: &Path) -> Result<Option<Writable>, StoreError> {
        let what = || format!("the mount at `{}`", mountpoint.display());
        // Of mounts at one place the last made is the one that is seen.
        let mut found: Option<(OwnedFd, ContainerRecord)> = None;
        for (id, dir) in self.container_dirs()? {
            if !is_living(&dir).during(|| format!("look after {}", what()))? {
                continue;
            }
            let Some((_, words)) = record::read(&dir, &id)? else { continue };
            let at = words.details.get(MOUNTPOINT).and_then(Value::as_str);
            let is_meant = words.name.is_none() && at == Some(&*mountpoint.to_string_lossy());
            let is_later =
                |(_, other): &(OwnedFd, ContainerRecord)| words.created_ms > other.created_ms;
            if is_meant && found.as_ref().is_none_or(is_later) {
                found = Some((dir, words));
            }
        }
        found.map(|(dir, words)| writable(&dir, words, what)).transpose()
    }

    /// Where the changes lie of the mount of an image that stood at that place and whose process died: until that is cleared
    /// away. `None` where no such is known.
    pub fn left_by_mount_at(&self, mountpoint: &Path) -> Result<Option<Left>, StoreError> {
        let mut found: Option<(u64, Left)> = None;
        for (id, dir) in self.container_dirs()? {
            let deed = || format!("look for the mount at `{}`", mountpoint.display());
            // Of a dead throwaway even a damaged record is nothing.
            let Ok(Some((Keep::Throwaway, words))) = record::read(&dir, &id) else { continue };
            let at = words.details.get(MOUNTPOINT).and_then(Value::as_str);
            let is_meant = words.name.is_none() && at == Some(&*mountpoint.to_string_lossy());
            if !is_meant || is_living(&dir).during(deed)? {
                continue;
            }
            let left = match words.details.get(UPPER).and_then(Value::as_str) {
                Some(upper) => Left::Own(upper.into()),
                None => {
                    Left::Throwaway(self.path().join("containers").join(id.hex()).join("upper"))
                }
            };
            if found.as_ref().is_none_or(|(created_ms, _)| words.created_ms > *created_ms) {
                found = Some((words.created_ms, left));
            }
        }
        Ok(found.map(|(_, left)| left))
    }

    fn record_of(
        &self,
        id: &ContainerId,
        what: impl Fn() -> String,
    ) -> Result<(OwnedFd, ContainerRecord), StoreError> {
        let containers = self.open_containers()?;
        let gone = || StoreError::NoSuchContainer(id.short().to_owned());
        let dir = match dir::open(&containers, id.hex(), Symlinks::Stop) {
            Err(error) if error.is_absent() => return Err(gone()),
            dir => dir.during(|| format!("look after {}", what()))?,
        };
        let (_, words) = record::read(&dir, id)?.ok_or_else(gone)?;
        Ok((dir, words))
    }
}

fn writable(
    dir: &OwnedFd,
    words: ContainerRecord,
    what: impl Fn() -> String,
) -> Result<Writable, StoreError> {
    let Base::Image { id, layers, .. } = words.base else {
        return Err(StoreError::NotOverImage(what()));
    };
    let noted = |key: &str| words.details.get(key).and_then(Value::as_str).map(PathBuf::from);
    let open = |key: &str, own: &str| match noted(key) {
        Some(path) => dir::open_path(path.as_path()),
        None => dir::open(dir, own, Symlinks::Stop),
    };
    let upper = match open(UPPER, "upper") {
        Err(error) if error.is_absent() => return Err(StoreError::NothingWritable(what())),
        upper => upper.during(|| format!("open the upper directory of {}", what()))?,
    };
    let work = open(WORK, "work").during(|| format!("open the work directory of {}", what()))?;
    Ok(Writable { image: id, layers, command: words.command, upper, work })
}
