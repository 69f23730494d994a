//! Owns what is known of the names in directories of many layers: which layers have a name at all.
//!
//! To ask each of a hundred layers for a name that none has takes a hundred times as long as to ask one. Where that was done
//! often, the layers' names are listed once, and for a moment only those layers are asked that said something of a name.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::list::Hides;
use super::node::{Place, StackNode};
use super::open::DirStack;
use super::peek::Looking;
use crate::lower::error::LowerError;
use crate::sys::beneath::Purpose;
use crate::sys::dir::Listed;
use crate::sys::file;
use crate::tree::Name;

/// In a directory of one layer there is nothing to choose from.
const LAYERS_MIN: usize = 2;

/// To list a layer's names costs as much as to ask it for this many.
const LIST_COST: usize = 8;

/// A small directory has as much on some file systems.
const BLOCK_BYTES: i64 = 4096;

/// For so long what was listed is taken for what there is: layers may be changed by others.
const VALID: Duration = Duration::from_secs(1);

/// So many names are kept for all directories together; each takes 16 bytes.
const NAMES_MAX: usize = 1 << 19;

/// What a stack needs for it.
#[derive(Debug, Default)]
pub(super) struct Holders {
    hasher: RandomState,
    /// Names that are kept for all directories.
    kept: Arc<AtomicUsize>,
    /// Nothing is remembered.
    is_off: bool,
}

/// What is known of the names of one directory.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Layers that were asked in vain since the last list.
    vain: usize,
    /// Names of the last list, or those that were too many: another takes as long.
    listed: usize,
    known: Option<(Instant, Arc<Known>)>,
}

/// Names, by their hashes, and the places that say something of them: in the order of both.
#[derive(Debug)]
pub(super) struct Known {
    held: Box<[Held]>,
    kept: Arc<AtomicUsize>,
}

/// A name's hash, and the number of a place.
pub(super) type Held = (u64, u32);

impl Drop for Known {
    fn drop(&mut self) {
        self.kept.fetch_sub(self.held.len(), Ordering::Relaxed);
    }
}

impl Known {
    /// The places that say something of a name, and perhaps of others.
    pub(super) fn holders(&self, hash: u64) -> &[Held] {
        let first = self.held.partition_point(|held| held.0 < hash);
        let len = self.held[first..].iter().take_while(|held| held.0 == hash).count();
        &self.held[first..first + len]
    }
}

impl DirStack {
    /// The same, asking every layer every time: others change them, and somebody is to see it soon.
    pub fn asking_each_time(mut self) -> DirStack {
        self.holders.is_off = true;
        self
    }

    pub(super) fn hash(&self, name: &Name) -> u64 {
        self.holders.hasher.hash_one(name.as_bytes())
    }

    /// What is known of the names of a directory; `None` where every layer is to be asked.
    pub(super) fn known(&self, dir: &StackNode) -> Option<Arc<Known>> {
        let mut state = dir.names.get()?.0.lock();
        let (since, known) = state.known.as_ref()?;
        if since.elapsed() < VALID {
            return Some(known.clone());
        }
        state.known = None;
        None
    }

    /// Takes note that so many layers of a directory were asked in vain, and lists their names when that was often.
    pub(super) fn asked_in_vain(&self, dir: &StackNode, count: usize) {
        if self.holders.is_off || dir.places.len() < LAYERS_MIN || count == 0 {
            return;
        }
        let names = dir.names.get_or_init(Box::default);
        {
            let mut state = names.0.lock();
            state.vain += count;
            let has_cost = |listed: usize| LIST_COST * dir.places.len() + listed;
            if state.vain < has_cost(state.listed) {
                return;
            }
            if state.listed == 0 {
                state.listed = self.names_of_size(dir).max(1);
                if state.vain < has_cost(state.listed) {
                    return;
                }
            }
            // Who comes meanwhile does not list, too.
            state.vain = 0;
            if self.holders.kept.load(Ordering::Relaxed) >= NAMES_MAX {
                return;
            }
        }
        let listed = self.holders_of(dir);
        let mut state = names.0.lock();
        match listed {
            Ok(held) => {
                state.listed = held.len();
                let len = held.len();
                let before = self.holders.kept.fetch_add(len, Ordering::Relaxed);
                let known = Known { held: held.into(), kept: self.holders.kept.clone() };
                if before + len <= NAMES_MAX {
                    state.known = Some((Instant::now(), Arc::new(known)));
                }
            }
            // Nothing is known then: each layer is asked, and tells what is wrong with it.
            Err(Unknown) => state.listed = NAMES_MAX,
        }
    }

    /// About how many names a directory has beyond a few, by how large its layers' directories are: those of ext4 have a block at least,
    /// and an entry takes some 20 to 40 bytes.
    fn names_of_size(&self, dir: &StackNode) -> usize {
        let size = |place: &Place| {
            let opened = self.layers[place.layer].open(&place.trail, Purpose::Walk);
            match opened.map(|dir| file::stat(&dir)) {
                Ok(Ok(stat)) => usize::try_from(stat.st_size - BLOCK_BYTES).unwrap_or(0),
                // Who asks this layer for a name is told.
                Ok(Err(_)) | Err(_) => 0,
            }
        };
        dir.places.iter().map(size).sum::<usize>() / 32
    }

    /// What each layer says of which names.
    fn holders_of(&self, dir: &StackNode) -> Result<Vec<Held>, Unknown> {
        let mut held = Vec::new();
        for (number, place) in (0..).zip(&dir.places) {
            self.add_names(place, number, &mut held)?;
            if held.len() > NAMES_MAX {
                return Err(Unknown);
            }
        }
        held.sort_unstable();
        held.dedup();
        Ok(held)
    }

    fn add_names(&self, place: &Place, number: u32, held: &mut Vec<Held>) -> Result<(), Unknown> {
        if !self.layers[place.layer].lists_all {
            return Err(Unknown);
        }
        let Some(looking) = self.look_for(place, Purpose::List)? else { return Ok(()) };
        let entries = looking.list()?;
        if !is_exact(&looking, &entries)? {
            return Err(Unknown);
        }
        held.extend(looking.hides()?.map(|name| (self.hash(&name), number)));
        for entry in &entries {
            let name = match self.hides(&entry.name) {
                Hides::Nothing => Name::new(&entry.name).map_err(|_| Unknown)?,
                Hides::Itself => continue,
                Hides::Below(name) => name,
            };
            held.push((self.hash(&name), number));
        }
        Ok(())
    }
}

/// It can't be told which names there are.
struct Unknown;

impl From<LowerError> for Unknown {
    fn from(_: LowerError) -> Unknown {
        Unknown
    }
}

/// Whether a name leads to what is listed under just that name. Where case does not matter, or how a letter is put together,
/// it leads to others as well, and a list says nothing of what is absent.
fn is_exact(looking: &Looking<'_>, entries: &[Listed]) -> Result<bool, LowerError> {
    let has_letter = |entry: &&Listed| entry.name.iter().any(u8::is_ascii_alphabetic);
    let Some(entry) = entries.iter().find(has_letter) else {
        return Ok(entries.iter().all(|entry| entry.name.is_ascii()));
    };
    let other_case = |byte: &u8| if byte.is_ascii_alphabetic() { byte ^ 0x20 } else { *byte };
    let other: Vec<u8> = entry.name.iter().map(other_case).collect();
    if entries.iter().any(|entry| *entry.name == *other) {
        return Ok(true);
    }
    Ok(looking.stat_of_any(&other)?.is_none())
}
