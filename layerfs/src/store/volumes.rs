//! Volumes: directories that have names and outlive the containers that show them.
//!
//! 1. `volumes/NAME/volume.json` is written last when one is made and goes first when it is removed: whoever sees the record
//!    sees a whole volume. What it holds lies in `data/`.
//! 2. Making and removing takes the lock of `volumes/`. Removing takes the lock of `containers/` before that, and refuses
//!    what a container names: whoever makes a container makes its volumes after its record.
//! 3. A new one is filled once from what the first container's image has at its place. Whoever fills it holds the lock of its
//!    directory; one whose filling was begun and that nobody holds was left half-way, and is filled anew.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{During, StoreError};
use super::record;
use super::root::Store;
use crate::sys::file::{self, Symlinks};
use crate::sys::lock::{self, Share};
use crate::sys::{SysError, deep, dir, host};

/// The directory of the volumes, which stores of earlier versions do not have.
const ROOM: &str = "volumes";
const RECORD: &str = "volume.json";
const DATA: &str = "data";

/// The form that this build writes, and the latest it knows.
const VERSION: u32 = 1;

/// The longest name, in bytes.
const NAME_LEN_MAX: usize = 255;

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// Labels, by name.
    pub labels: BTreeMap<String, String>,
    /// The directory with what it holds.
    pub path: PathBuf,
}

/// How far a volume is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Filling {
    Not,
    Begun,
    Done,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct VolumeRecord {
    version: u32,
    name: String,
    created_ms: u64,
    labels: BTreeMap<String, String>,
    filling: Filling,
}

/// A volume that this process fills, or finds filled. Others that want to wait until it is dropped.
#[derive(Debug)]
pub struct Fill {
    own: OwnedFd,
    words: VolumeRecord,
}

impl Fill {
    /// Whether it is to be filled.
    pub fn is_wanted(&self) -> bool {
        self.words.filling == Filling::Begun
    }

    /// Says that all of it is there.
    pub fn done(mut self) -> Result<(), StoreError> {
        match self.words.filling {
            Filling::Done => Ok(()),
            Filling::Not | Filling::Begun => self.set(Filling::Done),
        }
    }

    fn set(&mut self, filling: Filling) -> Result<(), StoreError> {
        self.words.filling = filling;
        write(&self.own, &self.words)
    }
}

impl Store {
    /// The volume of that name, made where there is none.
    pub fn make_volume(
        &self,
        name: &str,
        labels: BTreeMap<String, String>,
    ) -> Result<Volume, StoreError> {
        check_name(name)?;
        let deed = || format!("make volume {name}");
        dir::make_if_absent(self.root(), ROOM, 0o700).during(deed)?;
        let room = self.lock_volumes()?;
        if let Some(words) = read(&room, name)? {
            return self.volume_of(words);
        }
        // What is left of one that was never whole.
        deep::remove(&room, name).during(deed)?;
        dir::make(&room, name, 0o700).during(deed)?;
        let own = dir::open(&room, name, Symlinks::Stop).during(deed)?;
        dir::make(&own, DATA, 0o755).during(deed)?;
        // The umask of the caller is not the volume's.
        let data = dir::open(&own, DATA, Symlinks::Stop).during(deed)?;
        file::chmod(&data, 0o755).during(deed)?;
        let words = VolumeRecord {
            version: VERSION,
            name: name.to_owned(),
            created_ms: host::now_ms(),
            labels,
            filling: Filling::Not,
        };
        write(&own, &words)?;
        file::sync(&room).during(deed)?;
        self.volume_of(words)
    }

    /// All volumes, by name.
    pub fn volumes(&self) -> Result<Vec<Volume>, StoreError> {
        let Some(room) = self.open_volumes()? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for entry in dir::list(&room).during(|| "list the volumes".into())? {
            let Ok(name) = std::str::from_utf8(&entry.name) else { continue };
            if check_name(name).is_ok()
                && let Some(words) = read(&room, name)?
            {
                found.push(self.volume_of(words)?);
            }
        }
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    /// The volume of that name.
    pub fn find_volume(&self, name: &str) -> Result<Volume, StoreError> {
        let absent = || StoreError::NoSuchVolume(name.to_owned());
        check_name(name)?;
        let Some(room) = self.open_volumes()? else { return Err(absent()) };
        self.volume_of(read(&room, name)?.ok_or_else(absent)?)
    }

    /// Where the volume of that name has what it holds, whether or not it is there.
    pub fn path_of_volume(&self, name: &str) -> Result<PathBuf, StoreError> {
        check_name(name)?;
        let root = dir::path_of(self.root()).during(|| format!("find volume {name}"))?;
        Ok(root.join(ROOM).join(name).join(DATA))
    }

    /// Holds a volume for whoever may have to fill it: an empty one that nobody has filled yet, where `wanted`.
    pub fn fill_volume(&self, name: &str, wanted: bool) -> Result<Fill, StoreError> {
        let deed = || format!("fill volume {name}");
        let absent = || StoreError::NoSuchVolume(name.to_owned());
        let room = self.open_volumes()?.ok_or_else(absent)?;
        let own = dir::open(&room, name, Symlinks::Stop).during(deed)?;
        lock::wait(&own, Share::Exclusive).during(deed)?;
        let words = read(&room, name)?.ok_or_else(absent)?;
        let mut fill = Fill { own, words };
        let data = dir::open(&fill.own, DATA, Symlinks::Stop).during(deed)?;
        match fill.words.filling {
            Filling::Done => {}
            Filling::Begun => {
                for entry in dir::list(&data).during(deed)? {
                    deep::remove(&data, &*entry.name).during(deed)?;
                }
            }
            Filling::Not if wanted && dir::list(&data).during(deed)?.is_empty() => {
                fill.set(Filling::Begun)?;
            }
            Filling::Not => fill.set(Filling::Done)?,
        }
        Ok(fill)
    }

    /// Removes a volume with all it holds, unless a container names it.
    pub fn remove_volume(&self, name: &str) -> Result<(), StoreError> {
        let deed = || format!("remove volume {name}");
        self.find_volume(name)?;
        let _containers = self.lock_containers()?;
        let room = self.lock_volumes()?;
        let users = self.containers()?;
        if let Some(user) = users.iter().find(|one| one.volumes.iter().any(|used| used == name)) {
            return Err(StoreError::VolumeUsed {
                name: name.to_owned(),
                container: user.name.clone(),
            });
        }
        let own = match dir::open(&room, name, Symlinks::Stop) {
            Err(error) if error.is_absent() => return Ok(()),
            own => own.during(deed)?,
        };
        record::remove(&own, RECORD).during(deed)?;
        deep::remove(&room, name).during(deed)
    }

    fn volume_of(&self, words: VolumeRecord) -> Result<Volume, StoreError> {
        let path = self.path_of_volume(&words.name)?;
        let VolumeRecord { name, created_ms, labels, .. } = words;
        Ok(Volume { name, created_ms, labels, path })
    }

    fn open_volumes(&self) -> Result<Option<OwnedFd>, StoreError> {
        match dir::open(self.root(), ROOM, Symlinks::Stop) {
            Err(error) if error.is_absent() => Ok(None),
            room => room.map(Some).during(|| "open the volumes".into()),
        }
    }

    fn lock_volumes(&self) -> Result<OwnedFd, StoreError> {
        let deed = || "lock the volumes".to_owned();
        let room = dir::open(self.root(), ROOM, Symlinks::Stop).during(deed)?;
        lock::wait(&room, Share::Exclusive).during(deed)?;
        Ok(room)
    }
}

/// Docker's names: letters and digits first, then also `_`, `.` and `-`.
fn check_name(name: &str) -> Result<(), StoreError> {
    let is_rest = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let fits = (2..=NAME_LEN_MAX).contains(&name.len())
        && name.as_bytes()[0].is_ascii_alphanumeric()
        && name.bytes().all(is_rest);
    if fits { Ok(()) } else { Err(StoreError::VolumeName(name.to_owned())) }
}

fn write(own: &OwnedFd, words: &VolumeRecord) -> Result<(), StoreError> {
    let deed = || format!("write the record of volume {}", words.name);
    let text = serde_json::to_vec(words)
        .map_err(|error| StoreError::Damaged { what: deed(), reason: error.to_string() })?;
    record::replace(own, RECORD, &text).during(deed)
}

/// The record of a volume; `None` where there is none.
fn read(room: &OwnedFd, name: &str) -> Result<Option<VolumeRecord>, StoreError> {
    let what = || format!("record of volume {name}");
    let look = || -> Result<Vec<u8>, SysError> {
        record::read(&dir::open(room, name, Symlinks::Stop)?, RECORD)
    };
    let text = match look() {
        Err(error) if error.is_absent() => return Ok(None),
        text => text.during(|| format!("read the {}", what()))?,
    };
    let damaged = |reason: String| StoreError::Damaged { what: what(), reason };
    let version = record::version_of(&text).map_err(|error| damaged(error.to_string()))?;
    record::check_version(what, version, VERSION)?;
    let words: VolumeRecord =
        serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
    if Path::new(&words.name) != Path::new(name) {
        return Err(damaged(format!("it is the record of {}", words.name)));
    }
    Ok(Some(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::open(&scratch.path().join("store")).unwrap();
        (scratch, store)
    }

    #[test]
    fn a_volume_is_made_once_listed_and_removed() {
        let (_scratch, store) = store();
        assert!(store.volumes().unwrap().is_empty());
        let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let made = store.make_volume("data", labels.clone()).unwrap();
        std::fs::write(made.path.join("file"), b"kept").unwrap();
        let again = store.make_volume("data", BTreeMap::new()).unwrap();
        assert_eq!(again, made);
        assert_eq!(store.volumes().unwrap(), std::slice::from_ref(&made));
        store.remove_volume("data").unwrap();
        assert!(!made.path.exists());
        let error = store.remove_volume("data").unwrap_err().to_string();
        assert!(error.contains("no volume `data`"), "{error}");
    }

    #[test]
    fn names_are_those_that_docker_takes() {
        let (_scratch, store) = store();
        for name in ["", "a", ".ab", "a/b", "../x", "a b", "ä1", &"a".repeat(256)] {
            let error = store.make_volume(name, BTreeMap::new()).unwrap_err().to_string();
            assert!(error.contains("is no name for a volume"), "{error}");
        }
        store.make_volume("A0_.-", BTreeMap::new()).unwrap();
    }

    #[test]
    fn an_empty_one_is_filled_once_and_one_left_half_way_anew() {
        let (_scratch, store) = store();
        let path = store.make_volume("data", BTreeMap::new()).unwrap().path;
        let fill = store.fill_volume("data", true).unwrap();
        assert!(fill.is_wanted());
        std::fs::create_dir(path.join("half")).unwrap();
        drop(fill);
        let fill = store.fill_volume("data", true).unwrap();
        assert!(fill.is_wanted() && std::fs::read_dir(&path).unwrap().count() == 0);
        std::fs::write(path.join("whole"), b"").unwrap();
        fill.done().unwrap();
        assert!(!store.fill_volume("data", true).unwrap().is_wanted());
        assert!(path.join("whole").exists());
        // Whoever has put something there wants that, and whoever wants none has none.
        let path = store.make_volume("other", BTreeMap::new()).unwrap().path;
        std::fs::write(path.join("own"), b"").unwrap();
        assert!(!store.fill_volume("other", true).unwrap().is_wanted());
        store.make_volume("bare", BTreeMap::new()).unwrap();
        store.fill_volume("bare", false).unwrap().done().unwrap();
        assert!(!store.fill_volume("bare", true).unwrap().is_wanted());
    }

    #[test]
    fn a_damaged_record_is_told() {
        let (scratch, store) = store();
        store.make_volume("data", BTreeMap::new()).unwrap();
        let record = scratch.path().join("store/volumes/data/volume.json");
        for (text, told) in [
            ("{", "EOF"),
            (r#"{"version":2}"#, "newer"),
            (r#"{"version":1,"name":"x1","created_ms":1,"labels":{},"filling":"not"}"#, "x1"),
        ] {
            std::fs::write(&record, text).unwrap();
            let error = store.find_volume("data").unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
