//! The directory that an import builds in, its lock, and the list of what it relies on.
//!
//! 1. An import holds an exclusive lock on its own directory for as long as it lives: death releases it.
//! 2. A sweep may take a directory for dead that is made and not locked yet. So an import that has its lock looks
//!    whether the directory is still there, and makes another where it is not: beginning waits for nobody.
//! 3. What an import found in the store and counts on is in its list before it counts on it, both under presence. gc
//!    takes the lists of living imports as roots, under solitude. So nothing counted on is ever collected.
//! 4. A line may be cut short where the disk is full: whoever wrote it has an error and counts on nothing. So each line
//!    begins by ending the one before it, and a line that is the beginning of a whole one says nothing.

use std::os::fd::OwnedFd;
use std::sync::Mutex;

use crate::store::digest::Digest;
use crate::store::error::{During, StoreError};
use crate::store::layer::{Reliance, StagedLayer, StagingDir};
use crate::store::root::{Store, object_path};
use crate::store::usage::allocated_below;
use crate::sys::file::{self, Symlinks};
use crate::sys::lock::{self, Share};
use crate::sys::{Errno, SysError, deep, dir, host};

/// The list's name in an import's directory.
const LIST: &str = "relies-on";
/// A list larger than this is no list.
const LIST_MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// The parts of the store that hold things by digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::store) enum Room {
    Objects,
    Layers,
    Trees,
    Blobs,
}

/// All of them.
const ROOMS: [Room; 4] = [Room::Objects, Room::Layers, Room::Trees, Room::Blobs];

/// Digits of a digest.
const HEX_LEN: usize = 64;

/// One thing that a living import relies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::store) struct Listed {
    pub room: Room,
    pub digest: Digest,
}

/// An import under way. Its directory goes when it is dropped.
pub(in crate::store) struct Import<'s> {
    pub store: &'s Store,
    pub dir: OwnedFd,
    name: String,
    /// One line at a time, whole: a write that goes on after it was cut short must not meet another's.
    list: Mutex<OwnedFd>,
}

impl<'s> Import<'s> {
    /// Makes the import's directory, and sweeps those of imports that died.
    pub(in crate::store) fn begin(store: &'s Store) -> Result<Self, StoreError> {
        let deed = || "begin an import".to_owned();
        sweep_dead(store)?;
        loop {
            let name = format!("{}-{:016x}", host::process_id(), host::random_u64().during(deed)?);
            dir::make(&store.tmp, name.as_str(), 0o700).during(deed)?;
            match Self::lock_and_list(store, &name) {
                Ok((dir, list)) => {
                    return Ok(Import { store, dir, name, list: Mutex::new(list) });
                }
                // A sweep took it for dead.
                Err(error) if error.is_absent() => {}
                Err(source) => {
                    best_effort_remove(store, &name);
                    return Err(StoreError::Call { deed: deed(), source });
                }
            }
        }
    }

    /// An error of `is_absent` where a sweep was faster: nothing is made in a directory that is removed.
    fn lock_and_list(store: &Store, name: &str) -> Result<(OwnedFd, OwnedFd), SysError> {
        let dir = dir::open(&store.tmp, name, Symlinks::Stop)?;
        lock::wait(&dir, Share::Exclusive)?;
        let list = file::create_new(&dir, LIST, 0o600)?;
        Ok((dir, list))
    }

    /// Makes the directory to stage the layer of that number in.
    pub(super) fn make_staging(&self, number: usize) -> Result<StagingDir, StoreError> {
        let deed = || "make a staging directory".to_owned();
        let name = format!("layer-{number}");
        dir::make(&self.dir, name.as_str(), 0o700).during(deed)?;
        let fd = dir::open(&self.dir, name.as_str(), Symlinks::Stop).during(deed)?;
        Ok(StagingDir { name, fd })
    }

    /// Opens the directory that a layer is staged in.
    pub(super) fn staging_of(&self, layer: &StagedLayer) -> Result<OwnedFd, SysError> {
        dir::open(&self.dir, layer.dir.as_str(), Symlinks::Stop)
    }

    /// Whether the store has that layer or tree; if so it stays until this import ends.
    pub(in crate::store) fn rely_on_index(
        &self,
        room: Room,
        digest: &Digest,
    ) -> Result<bool, StoreError> {
        let _presence = self.store.presence()?;
        let here = self.store.has(self.store.room(room), &digest.hex())?;
        if here {
            self.list(room, digest).during(|| "list what the import relies on".into())?;
        }
        Ok(here)
    }

    /// Appends to the list. The caller holds presence.
    pub(super) fn list(&self, room: Room, digest: &Digest) -> Result<(), SysError> {
        let list = self.list.lock().unwrap_or_else(|poison| poison.into_inner());
        file::write_all(&*list, format!("\n{} {}\n", word_of(room), digest.hex()).as_bytes())
    }
}

impl Reliance for Import<'_> {
    fn rely_on(&self, digest: &Digest, size: u64) -> Result<bool, SysError> {
        let _presence = self.store.presence().map_err(StoreError::into_call)?;
        let path = object_path(digest);
        let known = file::stat_at(&self.store.objects, path.as_str(), Symlinks::Stop);
        match known {
            Ok(stat) if u64::try_from(stat.st_size) == Ok(size) => {}
            // An object of another size is damaged: the import brings it again, and it is replaced.
            Ok(_) => return Ok(false),
            Err(error) if error.is_absent() => return Ok(false),
            Err(error) => return Err(error),
        }
        self.list(Room::Objects, digest)?;
        Ok(true)
    }

    fn open(&self, digest: &Digest) -> Result<OwnedFd, SysError> {
        self.store.open_object(digest)
    }
}

impl Drop for Import<'_> {
    fn drop(&mut self) {
        best_effort_remove(self.store, &self.name);
    }
}

impl Store {
    /// The directory of a room. Objects lie one level deeper, by the first two digits.
    pub(in crate::store) fn room(&self, room: Room) -> &OwnedFd {
        match room {
            Room::Objects => &self.objects,
            Room::Layers => &self.layers,
            Room::Trees => &self.trees,
            Room::Blobs => &self.blobs,
        }
    }

    /// The directory in which standard input may be spooled: on the store's disk, not in memory.
    pub fn spool_dir(&self) -> &OwnedFd {
        &self.tmp
    }
}

/// What a sweep removed.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::store) struct Swept {
    /// Imports that had died.
    pub imports: u64,
    /// Bytes on disk that they held.
    pub bytes: u64,
}

/// Removes what imports left that died. Two sweeps at once are one.
pub(in crate::store) fn sweep_dead(store: &Store) -> Result<Swept, StoreError> {
    let deed = || "sweep dead imports".to_owned();
    let mut swept = Swept::default();
    for entry in dir::list(&store.tmp).during(deed)? {
        let Some(living) = dir_of(store, &entry.name)? else { continue };
        if lock::try_take(&living, Share::Exclusive).during(deed)? {
            swept.bytes += allocated_below(&living).during(deed)?;
            deep::remove(&store.tmp, &*entry.name).during(deed)?;
            swept.imports += 1;
        }
    }
    Ok(swept)
}

/// What living imports rely on. The caller holds solitude and has swept the dead.
pub(in crate::store) fn list_of_imports(store: &Store) -> Result<Vec<Listed>, StoreError> {
    let deed = || "read what imports rely on".to_owned();
    let mut listed = Vec::new();
    for entry in dir::list(&store.tmp).during(deed)? {
        let Some(dir) = dir_of(store, &entry.name)? else { continue };
        let text = match file::open_read(&dir, LIST, Symlinks::Stop) {
            // An import that ends removes its directory without asking.
            Err(error) if error.is_absent() => continue,
            opened => file::read_all(opened.during(deed)?, LIST_MAX_BYTES).during(deed)?,
        };
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match parse(line) {
                Some(thing) => listed.push(thing),
                None if is_cut_short(line) => {}
                None => {
                    return Err(StoreError::Damaged {
                        what: "list of an import".into(),
                        reason: format!("it has a line `{}`", line.escape_ascii()),
                    });
                }
            }
        }
    }
    Ok(listed)
}

/// Opens an entry of the temporary directory. What is no directory is removed: imports make directories there, spools
/// have no names, and a file that stayed would stop every sweep.
fn dir_of(store: &Store, name: &[u8]) -> Result<Option<OwnedFd>, StoreError> {
    match dir::open(&store.tmp, name, Symlinks::Stop) {
        Ok(dir) => Ok(Some(dir)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) if matches!(error.errno(), Errno::NOTDIR | Errno::LOOP) => {
            deep::remove(&store.tmp, name).during(|| "sweep the imports".into()).map(|()| None)
        }
        Err(source) => Err(StoreError::Call { deed: "look at an import".into(), source }),
    }
}

/// Whether a line is the beginning of a whole one.
fn is_cut_short(line: &[u8]) -> bool {
    ROOMS.iter().any(|room| {
        let word = format!("{} ", word_of(*room)).into_bytes();
        let digits = line.strip_prefix(word.as_slice());
        word.starts_with(line)
            || digits.is_some_and(|digits| {
                digits.len() < HEX_LEN
                    && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
            })
    })
}

fn word_of(room: Room) -> &'static str {
    match room {
        Room::Objects => "object",
        Room::Layers => "layer",
        Room::Trees => "tree",
        Room::Blobs => "blob",
    }
}

fn parse(line: &[u8]) -> Option<Listed> {
    let (word, hex) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    let room = ROOMS.into_iter().find(|room| word_of(*room) == word)?;
    Some(Listed { room, digest: Digest::from_hex(hex)? })
}

fn best_effort_remove(store: &Store, name: &str) {
    if let Err(error) = deep::remove(&store.tmp, name) {
        tracing::warn!("what an import left stays until the next one: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_begins_while_another_is_published() {
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::open(scratch.path()).unwrap();
        let presence = store.presence().unwrap();
        let (begun, told) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| begun.send(Import::begin(&store).is_ok()).unwrap());
            let in_time = told.recv_timeout(std::time::Duration::from_secs(10));
            drop(presence);
            assert_eq!(in_time, Ok(true));
        });
    }

    /// A full disk cuts a line short, and takes the next one again when somebody has made room.
    #[test]
    fn a_line_that_was_cut_short_harms_no_other() {
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::open(scratch.path()).unwrap();
        let import = Import::begin(&store).unwrap();
        let thing =
            |words: &str| Listed { room: Room::Layers, digest: Digest::of(words.as_bytes()) };
        let whole = format!("\nobject {}", Digest::of(b"cut").hex());
        let mut listed = Vec::new();
        for len in 1..whole.len() {
            file::write_all(&*import.list.lock().unwrap(), &whole.as_bytes()[..len]).unwrap();
            let next = thing(&len.to_string());
            import.list(next.room, &next.digest).unwrap();
            listed.push(next);
            assert_eq!(list_of_imports(&store).unwrap(), listed, "cut after {len} bytes");
        }
        for garbage in ["objects", "layer x", "tree 0g", "object  1"] {
            file::write_all(&*import.list.lock().unwrap(), format!("\n{garbage}\n").as_bytes())
                .unwrap();
            list_of_imports(&store).expect_err(garbage);
            let list = import.list.lock().unwrap();
            file::truncate(&*list, 0).unwrap();
            file::seek_to(&*list, 0).unwrap();
        }
    }

    #[test]
    fn imports_begin_beside_sweeps() {
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::open(scratch.path()).unwrap();
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                        sweep_dead(&store).unwrap();
                    }
                });
            }
            let begun = (0..2000).try_for_each(|_| {
                let import = Import::begin(&store)?;
                import.list(Room::Blobs, &Digest::of(b"")).during(String::new)?;
                store.has(&store.tmp, &import.name)?.then_some(()).ok_or(StoreError::Stopped)
            });
            is_over.store(true, std::sync::atomic::Ordering::Relaxed);
            begun.unwrap();
        });
    }
}
