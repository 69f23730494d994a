//! One node: what never changes of it, and what each of its locks guards.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex, RwLock};

use super::blocks::Below;
use super::ids::NodeId;
use crate::lower::LowerNode;
use crate::tree::{Attr, Kind, Name};
use crate::upper::round_down;

/// An object of the union that is known by number.
pub(super) struct Node {
    pub id: NodeId,
    pub generation: u64,
    pub kind: Kind,
    /// Its lower part. Of a directory: what it is merged with; of others: what it is, or was copied from. Plain
    /// directories may be changed by others: then a lookup puts what it found in the place of what was known.
    pub lower: Mutex<Option<LowerNode>>,
    /// The lower file was changed by others after the kernel was given its contents. Set by a lookup, taken by an open.
    pub changed_below: AtomicBool,
    /// The name of its entry in the index, where it is a lower inode with several names.
    pub group: Option<String>,
    /// How often the kernel holds it; guarded by nothing.
    pub lookups: AtomicU64,
    /// Objects in the table that have a name in this directory: it stays as long as they do.
    pub children: AtomicU64,
    /// Open handles; guarded by nothing, read under `side` where it decides.
    pub opens: AtomicU64,
    /// Who has it open as a program that runs, counted down, or empties it to read it, counted up: never both. Changed
    /// under the lock of the programs that run.
    pub text: AtomicI64,
    /// Of a directory: somebody was given a listing of it, or may have been, since its names changed last.
    pub shown: AtomicBool,
    /// It was made here without capabilities, and nobody gave it any: the kernel asks before the first write of each file.
    pub has_no_capability: AtomicBool,
    /// Its file in the upper, while a handle has it open.
    pub file: Mutex<Weak<OwnedFd>>,
    /// Of a directory. Held shared while its names are read, exclusively while they change.
    pub dir: RwLock<DirState>,
    /// Where its object is. Held for moments only, never across a system call that may wait.
    pub side: Mutex<Side>,
    /// Rung when a copy-up has ended.
    pub copied: Condvar,
    /// Where an object of the upper has its data. Held for moments only.
    pub data: Mutex<Data>,
    /// Who changes its attributes, and whether its file is being filled: which takes of them what a write takes along, and gives it back.
    pub shaping: Mutex<Shaping>,
    /// Rung when one of them has ended.
    pub shaped: Condvar,
    /// Held shared while a file that has data in the lower is written, exclusively while more of it is made the upper's.
    pub blocks: RwLock<()>,
    /// Of a file with data in both: room that the disk had set aside before this mount was looked for.
    pub was_looked_through: AtomicBool,
    /// The disk failed to take its data: its mark stays, for good.
    pub was_not_synced: AtomicBool,
    /// Bytes that were written while it had data in the lower.
    pub written: AtomicU64,
    /// Rung when a file was filled.
    pub filled: Condvar,
    /// Of a hard-link group. Held while a name comes or goes and the stored count follows: its names may stand in
    /// directories that are locked by different threads.
    pub count: Mutex<()>,
    /// Its names. Changed under the exclusive `dir` locks of the directories that hold them.
    pub place: Mutex<Place>,
}

/// Who shapes a node.
#[derive(Debug, Default)]
pub(super) struct Shaping {
    changes: u32,
    is_filled: bool,
}

/// While this lives no file is filled whose attributes are changed.
pub(super) struct Changing<'a>(&'a Node);

/// While this lives nobody changes the attributes of a file that is filled.
pub(super) struct Filling<'a>(&'a Node);

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.0.shaping.lock().changes -= 1;
        self.0.shaped.notify_all();
    }
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        self.0.shaping.lock().is_filled = false;
        self.0.shaped.notify_all();
    }
}

/// Which side has a node's object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The lower.
    Lower,
    /// The lower, and a thread is copying it: others wait.
    Copying,
    /// The upper.
    Upper,
}

/// Where an object of the upper has its data.
#[derive(Clone, Debug)]
pub(super) enum Data {
    /// In itself; so it is with all that is no file.
    Here,
    /// In a file of the lower: its mark says so.
    Below(Beneath),
    /// The same, and a thread is filling it: whoever wants to change it waits.
    Filling(Beneath),
    /// In itself, and the mark still says that so many bytes may lie below: before it goes the data has to be on the disk.
    Brought(u64),
}

/// A file of the lower that has the data of one of the upper.
#[derive(Clone, Debug)]
pub(super) struct Beneath {
    pub file: LowerNode,
    pub found_by: FoundBy,
    /// How much of it, where something was written since; else all.
    pub below: Option<Below>,
}

/// What leads from a file of the upper to the one that has its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FoundBy {
    /// Its name, perhaps: under another it has to have its data.
    Name,
    /// Marks, which it has under every name.
    Marks,
}

/// The names of a node that are known.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// Directories and the names in them. A directory has one; a file may have others that were not looked up yet.
    pub names: Vec<(NodeId, Name)>,
    /// Its name among the orphans, while it is open and has no other.
    pub orphan: Option<String>,
    /// It never had a name, and may be given one.
    pub may_be_named: bool,
    /// Its last attributes, once nothing can be found by any name.
    pub gone: Option<Attr>,
}

impl Place {
    /// Of a file that was made without a name: it stands among the orphans.
    pub fn make_nameless(&mut self, orphan: &[u8]) {
        self.orphan = Some(String::from_utf8_lossy(orphan).into_owned());
        self.may_be_named = true;
    }
}

/// What a directory node keeps of its names.
#[derive(Debug, Default)]
pub(super) struct DirState {
    /// Removed: nothing can be made in it any more.
    pub removed: bool,
    /// Cookies of names that only the upper has; each keeps its own for as long as it stands and the node is known.
    pub cookies: HashMap<Name, u64>,
    /// It has no default access control list, as was seen; who gives it one takes that back.
    pub has_no_default: bool,
    /// Its listing, once there was one and no change failed since.
    pub listing: Option<super::list::Listing>,
}

impl Node {
    /// Begins a change of its attributes, when its file is not being filled. The caller holds no lock.
    pub(super) fn changing(&self) -> Changing<'_> {
        let mut shaping = self.shaping.lock();
        while shaping.is_filled {
            self.shaped.wait(&mut shaping);
        }
        shaping.changes += 1;
        Changing(self)
    }

    /// Begins to fill its file, when nobody changes its attributes. The caller holds no lock.
    pub(super) fn filling(&self) -> Filling<'_> {
        let mut shaping = self.shaping.lock();
        while shaping.is_filled || shaping.changes > 0 {
            self.shaped.wait(&mut shaping);
        }
        shaping.is_filled = true;
        Filling(self)
    }

    /// Its lower part, as it was found last.
    pub(super) fn lower(&self) -> Option<LowerNode> {
        self.lower.lock().clone()
    }

    /// Whether the upper has the object.
    pub(super) fn is_upper(&self) -> bool {
        *self.side.lock() == Side::Upper
    }

    /// Whether the data that is read now is the upper's.
    pub(super) fn has_data_in_upper(&self) -> bool {
        self.is_upper() && self.data_below().is_none()
    }

    /// The lower file that has the data of an object of the upper, where one does.
    pub(super) fn data_below(&self) -> Option<LowerNode> {
        match &*self.data.lock() {
            Data::Here | Data::Brought(_) => None,
            Data::Below(beneath) | Data::Filling(beneath) => Some(beneath.file.clone()),
        }
    }

    /// How much of the data of an object of the upper may lie in the lower, where something was written since.
    pub(super) fn below(&self) -> Option<Below> {
        match &*self.data.lock() {
            Data::Here | Data::Brought(_) => None,
            Data::Below(beneath) | Data::Filling(beneath) => beneath.below,
        }
    }

    /// The start of a block that a write may bring up beside those that it touches: that which its data in the lower ends in. Of a file of
    /// which nothing was written any stands for it.
    pub(super) fn end_below(&self, bytes: &[u8], offset: u64) -> Option<u64> {
        let below = match &*self.data.lock() {
            Data::Here | Data::Brought(_) => return None,
            Data::Below(beneath) | Data::Filling(beneath) => beneath.below,
        };
        let Some(below) = below else { return Some(round_down(offset)) };
        let end = offset.saturating_add(bytes.len() as u64);
        (end > below.bytes).then(|| round_down(below.bytes))
    }

    /// The same, where it changes.
    pub(super) fn set_below(&self, below: Below) {
        match &mut *self.data.lock() {
            Data::Here | Data::Brought(_) => {}
            Data::Below(beneath) | Data::Filling(beneath) => beneath.below = Some(below),
        }
    }

    /// How much of the data of an object of the upper its mark says may lie below, where none does.
    pub(super) fn brought(&self) -> Option<u64> {
        match *self.data.lock() {
            Data::Brought(bytes) => Some(bytes),
            Data::Here | Data::Below(_) | Data::Filling(_) => None,
        }
    }

    /// Whether a mark says that data of an object of the upper lies below.
    pub(super) fn has_mark_of_data(&self) -> bool {
        !matches!(*self.data.lock(), Data::Here)
    }

    /// Notes that an object of the upper has all its data.
    pub(super) fn becomes_whole(&self) {
        *self.data.lock() = Data::Here;
    }

    /// The same, while its mark says otherwise.
    pub(super) fn becomes_brought(&self, bytes: u64) {
        *self.data.lock() = Data::Brought(bytes);
    }

    /// Whether an object of the upper has, or finds, its data under every name.
    pub(super) fn data_goes_along(&self) -> bool {
        match &*self.data.lock() {
            Data::Here | Data::Brought(_) => true,
            Data::Below(beneath) | Data::Filling(beneath) => beneath.found_by == FoundBy::Marks,
        }
    }

    pub(super) fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }

    /// A directory and a name in it by which the node can be reached; `None` for the root and for what has none left.
    pub(super) fn one_name(&self) -> Option<(NodeId, Name)> {
        self.place.lock().names.first().cloned()
    }

    /// Adds a name; `false` where it was known.
    pub(super) fn add_name(&self, parent: NodeId, name: &Name) -> bool {
        let mut place = self.place.lock();
        let is_new = !place.names.iter().any(|(at, known)| *at == parent && known == name);
        if is_new {
            place.names.push((parent, name.clone()));
        }
        is_new
    }

    /// Takes a name away; `false` where it was not known.
    pub(super) fn remove_name(&self, parent: NodeId, name: &Name) -> bool {
        let mut place = self.place.lock();
        let before = place.names.len();
        place.names.retain(|(at, known)| *at != parent || known != name);
        place.names.len() < before
    }

    pub(super) fn count_lookup(&self) {
        self.lookups.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn is_open(&self) -> bool {
        self.opens.load(Ordering::Acquire) > 0
    }
}
