//! Volumes: directories that have names and outlive the containers that show them.
//!
//! 1. `volumes/NAME/volume.json` is written last when one is made and goes first when it is removed: whoever sees the record
//!    sees a whole volume. What it holds lies in `data/`.
//! 2. Making and removing takes the lock of `volumes/`. Removing takes the lock of `containers/` before that, and refuses
//!    what a container names: whoever makes a container makes its volumes after its record. What it holds goes after both
//!    locks are given back, under a name that is no volume's; `gc` takes what is left of that. A container's own go out of
//!    their place before its record does, which is the only list of them.
//! 3. A new one is filled once from what the first container's image has at its place: aside, in `new/`, which takes the
//!    place of the empty `data/` when all of it is on disk. Whoever fills it holds the lock of its directory until then.
//!    What is left aside by who did not come to the end is nobody's.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::container::ContainerId;
use super::error::{During, StoreError};
use super::record;
use super::root::Store;
use crate::sys::file::{self, Symlinks};
use crate::sys::lock::{self, Share};
use crate::sys::{Errno, SysError, deep, dir, host};

/// The directory of the volumes, which stores of earlier versions do not have.
const ROOM: &str = "volumes";
const RECORD: &str = "volume.json";
const DATA: &str = "data";
/// What is to become that.
const NEW: &str = "new";
/// Before the name of what is being removed: no name of a volume begins so.
const GONE: &str = ".gone-";

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

#[derive(Clone, Debug, Serialize, Deserialize)]
struct VolumeRecord {
    version: u32,
    name: String,
    created_ms: u64,
    labels: BTreeMap<String, String>,
    /// Whether nothing of an image comes into it any more.
    filled: bool,
}

/// A volume that this process fills. Others that want it wait until it is dropped.
#[derive(Debug)]
pub struct Fill {
    own: OwnedFd,
    words: VolumeRecord,
    /// The directory to fill, which is to be the volume's.
    pub path: PathBuf,
}

/// A volume that is taken out of its place and nobody's any more. What it holds is there until that is removed.
#[derive(Debug)]
pub struct Gone(String);

impl Fill {
    /// Says that all of it is there, and makes it what the volume holds. Where this fails the volume is empty as before.
    pub fn done(mut self) -> Result<(), StoreError> {
        let deed = || format!("fill volume {}", self.words.name);
        let new = dir::open(&self.own, NEW, Symlinks::Stop).during(deed)?;
        file::sync_filesystem(&new).during(deed)?;
        // What somebody has put there meanwhile stays: a directory takes the place of an empty one only.
        dir::rename(&self.own, NEW, &self.own, DATA).during(deed)?;
        self.words.filled = true;
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
        make_data(&own, DATA).during(deed)?;
        let words = VolumeRecord {
            version: VERSION,
            name: name.to_owned(),
            created_ms: host::now_ms(),
            labels,
            filled: false,
        };
        write(&own, &words)?;
        file::sync(&room).during(deed)?;
        self.volume_of(words)
    }

    /// All volumes, by name, and what can't be read of others.
    pub fn volumes(&self) -> Result<(Vec<Volume>, Vec<StoreError>), StoreError> {
        let (mut found, mut unread) = (Vec::new(), Vec::new());
        let Some(room) = self.open_volumes()? else { return Ok((found, unread)) };
        for entry in dir::list(&room).during(|| "list the volumes".into())? {
            let Ok(name) = std::str::from_utf8(&entry.name) else { continue };
            if check_name(name).is_err() {
                continue;
            }
            match read(&room, name) {
                Ok(Some(words)) => found.push(self.volume_of(words)?),
                Ok(None) => {}
                Err(error) => unread.push(error),
            }
        }
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok((found, unread))
    }

    /// The directories in `volumes/`, each with the name of the volume that it is; `None` where it is one no more, or not yet.
    pub(super) fn volume_dirs(&self) -> Result<Vec<(Option<String>, OwnedFd)>, StoreError> {
        let deed = || "list the volumes".to_owned();
        let mut found = Vec::new();
        let Some(room) = self.open_volumes()? else { return Ok(found) };
        for entry in dir::list(&room).during(deed)? {
            let own = match dir::open(&room, &*entry.name, Symlinks::Stop) {
                // One that is removed meanwhile, or nothing of ours.
                Err(error) if error.is_absent() || error.errno() == Errno::NOTDIR => continue,
                own => own.during(deed)?,
            };
            let name =
                std::str::from_utf8(&entry.name).ok().filter(|name| check_name(name).is_ok());
            // A record that can't be read is that of a volume all the same.
            let name = name.filter(|name| !matches!(read(&room, name), Ok(None)));
            found.push((name.map(str::to_owned), own));
        }
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

    /// Holds a volume for who fills it, where `wanted`: an empty one that nothing of an image was to come into before.
    /// `None` where there is nothing to fill.
    pub fn fill_volume(&self, name: &str, wanted: bool) -> Result<Option<Fill>, StoreError> {
        let deed = || format!("fill volume {name}");
        let absent = || StoreError::NoSuchVolume(name.to_owned());
        let room = self.open_volumes()?.ok_or_else(absent)?;
        if read(&room, name)?.ok_or_else(absent)?.filled {
            return Ok(None);
        }
        let own = dir::open(&room, name, Symlinks::Stop).during(deed)?;
        lock::wait(&own, Share::Exclusive).during(deed)?;
        let mut words = read(&room, name)?.ok_or_else(absent)?;
        if words.filled {
            return Ok(None);
        }
        deep::remove(&own, NEW).during(deed)?;
        let data = dir::open(&own, DATA, Symlinks::Stop).during(deed)?;
        if !wanted || !dir::list(&data).during(deed)?.is_empty() {
            words.filled = true;
            write(&own, &words)?;
            return Ok(None);
        }
        make_data(&own, NEW).during(deed)?;
        let path = self.path_of_volume(name)?.with_file_name(NEW);
        Ok(Some(Fill { own, words, path }))
    }

    /// Removes a volume with all it holds, unless a container names it.
    pub fn remove_volume(&self, name: &str) -> Result<(), StoreError> {
        let gone = self.take_volume(name, None)?;
        self.remove_gone(&gone).during(|| format!("remove volume {name}"))
    }

    /// Removes a volume that a container had which is being removed and whose lock the caller holds, but for what it holds: that is left
    /// to [`Store::remove_volumes_gone`]. No other container names it.
    pub fn take_volume_of(&self, own: &ContainerId, name: &str) -> Result<Gone, StoreError> {
        self.take_volume(name, Some(own))
    }

    /// Removes what volumes hold that were taken out of their place. What can't be removed is left to `gc`.
    pub fn remove_volumes_gone(&self, gone: &[Gone]) -> Vec<StoreError> {
        let deed = || "remove what a volume held".to_owned();
        gone.iter().filter_map(|gone| self.remove_gone(gone).during(deed).err()).collect()
    }

    fn remove_gone(&self, Gone(name): &Gone) -> Result<(), SysError> {
        let room = dir::open(self.root(), ROOM, Symlinks::Stop)?;
        deep::remove(&room, name.as_str())
    }

    fn take_volume(&self, name: &str, own: Option<&ContainerId>) -> Result<Gone, StoreError> {
        let deed = || format!("remove volume {name}");
        let absent = || StoreError::NoSuchVolume(name.to_owned());
        check_name(name)?;
        if self.open_volumes()?.is_none() {
            return Err(absent());
        }
        let gone = format!("{GONE}{:016x}", host::random_u64().during(deed)?);
        let _containers = self.lock_containers()?;
        let room = self.lock_volumes()?;
        let users = self.containers()?;
        let mut others = users.iter().filter(|one| own != Some(&one.id));
        if let Some(user) = others.find(|one| one.volumes.iter().any(|used| used == name)) {
            return Err(StoreError::VolumeUsed {
                name: name.to_owned(),
                container: user.name.clone(),
            });
        }
        match dir::rename(&room, name, &room, gone.as_str()) {
            Err(error) if error.is_absent() => Err(absent()),
            renamed => {
                renamed.and_then(|()| file::sync(&room)).during(deed)?;
                Ok(Gone(gone))
            }
        }
    }

    /// Removes what is left of volumes whose removal did not come to its end.
    pub fn sweep_volumes(&self) -> Result<(), StoreError> {
        let deed = || "remove what is left of volumes".to_owned();
        let Some(room) = self.open_volumes()? else { return Ok(()) };
        for entry in dir::list(&room).during(deed)? {
            if entry.name.starts_with(GONE.as_bytes()) {
                deep::remove(&room, &*entry.name).during(deed)?;
            }
        }
        Ok(())
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

/// An empty directory for what a volume holds. The umask of the caller is not the volume's.
fn make_data(own: &OwnedFd, name: &str) -> Result<(), SysError> {
    dir::make(own, name, 0o755)?;
    file::chmod(dir::open(own, name, Symlinks::Stop)?, 0o755)
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
        let (scratch, store) = store();
        assert!(store.volumes().unwrap().0.is_empty());
        let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let made = store.make_volume("data", labels.clone()).unwrap();
        std::fs::write(made.path.join("file"), b"kept").unwrap();
        let again = store.make_volume("data", BTreeMap::new()).unwrap();
        assert_eq!(again, made);
        assert_eq!(store.volumes().unwrap().0, std::slice::from_ref(&made));
        store.remove_volume("data").unwrap();
        assert!(!made.path.exists());
        let error = store.remove_volume("data").unwrap_err().to_string();
        assert!(error.contains("no volume `data`"), "{error}");
        let left = scratch.path().join("store/volumes/.gone-1");
        std::fs::create_dir_all(left.join("data/deep")).unwrap();
        assert!(store.volumes().unwrap().0.is_empty());
        store.sweep_volumes().unwrap();
        assert!(!left.exists());
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
        let fill = store.fill_volume("data", true).unwrap().unwrap();
        std::fs::create_dir(fill.path.join("half")).unwrap();
        drop(fill);
        let fill = store.fill_volume("data", true).unwrap().unwrap();
        assert_eq!(std::fs::read_dir(&fill.path).unwrap().count(), 0);
        std::fs::write(fill.path.join("whole"), b"").unwrap();
        fill.done().unwrap();
        assert!(store.fill_volume("data", true).unwrap().is_none());
        assert!(path.join("whole").exists());
        // Whoever wants none has none, and no later one has.
        store.make_volume("bare", BTreeMap::new()).unwrap();
        assert!(store.fill_volume("bare", false).unwrap().is_none());
        assert!(store.fill_volume("bare", true).unwrap().is_none());
    }

    #[test]
    fn what_somebody_has_put_into_a_volume_is_never_taken_away() {
        let (_scratch, store) = store();
        let path = store.make_volume("own", BTreeMap::new()).unwrap().path;
        drop(store.fill_volume("own", true).unwrap().unwrap());
        std::fs::write(path.join("backup"), b"").unwrap();
        assert!(store.fill_volume("own", true).unwrap().is_none());
        assert!(path.join("backup").exists());
        // Beside a filling, too: that fails then.
        let path = store.make_volume("both", BTreeMap::new()).unwrap().path;
        let fill = store.fill_volume("both", true).unwrap().unwrap();
        std::fs::write(path.join("backup"), b"").unwrap();
        assert!(fill.done().unwrap_err().to_string().contains("fill volume both"));
        assert!(path.join("backup").exists());
    }

    #[test]
    fn a_damaged_record_is_told() {
        let (scratch, store) = store();
        store.make_volume("data", BTreeMap::new()).unwrap();
        let record = scratch.path().join("store/volumes/data/volume.json");
        for (text, told) in [
            ("{", "EOF"),
            (r#"{"version":2}"#, "newer"),
            (r#"{"version":1,"name":"x1","created_ms":1,"labels":{},"filled":true}"#, "x1"),
        ] {
            std::fs::write(&record, text).unwrap();
            let error = store.find_volume("data").unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        store.make_volume("other", BTreeMap::new()).unwrap();
        let (whole, unread) = store.volumes().unwrap();
        assert_eq!((whole.len(), unread.len()), (1, 1), "one that is damaged hides no other");
        store.remove_volume("data").unwrap();
    }
}
