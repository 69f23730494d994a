//! Which open files the kernel reads and writes itself (`FUSE_PASSTHROUGH`), decided for each of its inodes as it is opened.
//!
//! 1. All handles of an inode are of one kind: the kernel refuses a second file behind one, and a cached handle beside one
//!    that has a file behind it. Which kind it is the first open decides, and the last close ends (`io_state`).
//! 2. The kernel opens what it was given again with the flags of its own open and the rights of this process. So a file of a
//!    layer is given from a read-only mount alone, to who only reads, and is never behind an inode that is going to be written:
//!    who is to write gets another inode of the same node (`faces`), and who reads the layer goes on.
//! 3. What goes past us we can't tell the kernel of. It sees what its own calls write, and not what a mapping does, which may
//!    outlive its descriptor. While a node is open for writing so, or still mapped, its attributes are believed for a moment
//!    only. What a cached handle left in the page cache is not kept by a later one.
//! 4. The kernel opens the file behind a node with the flags of its own open, and what becomes of these afterwards (`F_SETFL`)
//!    does not reach that. So who opens to append, or round the cache, reads and writes by us.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::ask::KEEP_CACHE;
use super::faces::{Face, Faces};
use super::io_state::{Data, Served, State, Step, Wanted};
use super::resting::Resting;
use crate::sys::Errno;
use crate::sys::fuse_device::BackingId;
use crate::tree::Timestamp;
use crate::union::{ByNumber, NodeId, OpenFile};
use crate::wire::Kernel;
use crate::wire::form::OpenOut;

/// `FOPEN_PASSTHROUGH`.
const PASSTHROUGH: u32 = 1 << 7;
/// `FOPEN_DIRECT_IO`: reads and writes come to us, and leave nothing in the page cache.
const DIRECT_IO: u32 = 1;

/// Parts of the table, so that opens of different nodes do not wait for each other.
const SHARDS: usize = 16;

/// How the open handles of an inode are served.
#[derive(Clone, Copy, Debug, Default)]
enum Kind {
    /// By us, through the page cache; or there are none.
    #[default]
    Cached,
    /// By the kernel, which has a file of the upper.
    Upper(BackingId),
    /// By the kernel, which has a file of the lower.
    Lower(BackingId),
}

/// An inode with open handles, or of which something is remembered.
#[derive(Debug, Default)]
struct Entry {
    kind: Kind,
    handles: u64,
    /// Those of a file behind it that may write.
    writers: u64,
    /// Who is about to open it for writing.
    awaited: u64,
    /// It has writers, or had some, and whether a mapping goes on was not looked at since.
    is_written: bool,
    /// The kernel may keep contents of before a change that went by another inode.
    is_old: bool,
    /// When its contents were changed last, as the kernel was told since it has writers.
    told: Option<Timestamp>,
}

/// Whether a node is written past us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    No,
    Yes,
    /// It was, and a mapping may go on.
    Perhaps,
}

/// The inodes with open handles.
pub(super) struct Backing {
    shards: [Mutex<ByNumber<Face, Entry>>; SHARDS],
    /// Under which numbers nodes are known. Changed under the lock of the shard of a node's first number.
    pub faces: Faces,
    /// Lower files that nobody has open, where what is found under a number never changes.
    resting: Option<Resting>,
    /// Whether it was agreed that the kernel takes files.
    is_agreed: bool,
    /// Whether it does; not where the file system of the upper, or of the lower, is none of which it takes them.
    takes_upper: AtomicBool,
    takes_lower: AtomicBool,
    /// Whether it ever took one: until then nothing was written past us.
    was_taken: AtomicBool,
    /// Nodes that are written past us, or perhaps, so that nobody looks for them where there are none.
    written: AtomicUsize,
}

/// How a file was opened.
pub(super) struct Opened<'a> {
    /// The open file.
    pub file: &'a OpenFile,
    /// To append, or round the cache.
    pub by_us: bool,
    /// The kernel may have its lower file.
    pub is_given: bool,
}

impl Opened<'_> {
    fn wanted(&self) -> Wanted {
        let data = match (self.file.lower_file(), self.file.upper_file()) {
            (Some(_), _) => Data::Lower,
            (None, Some(_)) => Data::Upper,
            (None, None) => Data::Ours,
        };
        let writes = self.file.is_writable();
        Wanted { writes, by_us: self.by_us, data, is_chosen: self.is_given }
    }
}

/// An open file that is served.
#[derive(Debug)]
pub(super) struct Begun {
    /// What the kernel is told.
    pub answer: OpenOut,
    /// It is the first by which its node is written past us.
    pub is_first_writer: bool,
}

impl Backing {
    /// `rests` says that what is found under a number never changes.
    pub fn new(is_agreed: bool, rests: bool) -> Self {
        Backing {
            shards: std::array::from_fn(|_| Mutex::default()),
            faces: Faces::default(),
            resting: rests.then(Resting::new),
            is_agreed,
            takes_upper: AtomicBool::new(is_agreed),
            takes_lower: AtomicBool::new(is_agreed),
            was_taken: AtomicBool::new(false),
            written: AtomicUsize::new(0),
        }
    }

    /// The same, and no file of the upper is given.
    pub fn keeping_uppers(self) -> Self {
        self.takes_upper.store(false, Ordering::Relaxed);
        self
    }

    fn shard(&self, face: Face) -> &Mutex<ByNumber<Face, Entry>> {
        let number = usize::try_from(face.0 / 2).unwrap_or(0);
        &self.shards[number % SHARDS]
    }

    /// Whether files are given.
    pub fn is_agreed(&self) -> bool {
        self.is_agreed
    }

    fn state(&self, face: Face, entry: &Entry) -> State {
        let served = match entry.kind {
            _ if entry.handles == 0 => Served::Idle,
            Kind::Cached => Served::Cached,
            Kind::Upper(_) => Served::Upper,
            Kind::Lower(_) => Served::Lower,
        };
        State {
            served,
            is_awaited: entry.awaited > 0,
            is_former: self.faces.is_former(face),
            is_old: entry.is_old,
            were_given: self.was_taken.load(Ordering::Acquire),
            is_second: self.faces.is_second(face),
        }
    }

    /// Notes that somebody is going to open an inode for writing. Answers whether it may be this one; else the node is found
    /// under another number from now on.
    pub fn expect_writer(&self, (face, node): (Face, NodeId)) -> bool {
        if !self.is_agreed {
            return true;
        }
        let mut shard = self.shard(face).lock();
        let entry = shard.entry(face).or_default();
        let turns = self.state(face, entry).turns_writers();
        if turns {
            self.faces.turn(node);
        } else {
            entry.awaited += 1;
            self.faces.was_opened(face, node);
        }
        self.drop_unused(&mut shard, face);
        !turns
    }

    /// Takes that back, where the open was refused.
    pub fn expect_none(&self, face: Face) {
        if !self.is_agreed {
            return;
        }
        let mut shard = self.shard(face).lock();
        if let Some(entry) = shard.get_mut(&face) {
            entry.awaited = entry.awaited.saturating_sub(1);
        }
        self.drop_unused(&mut shard, face);
    }

    /// Notes an open file, and decides how it is served. `None` where another inode is to be opened: the node is found under
    /// another number from now on. Who writes was expected.
    pub fn open(
        &self,
        kernel: &Kernel,
        (face, handle): (Face, u64),
        opened: &Opened<'_>,
    ) -> Option<Begun> {
        let mut answer = OpenOut { handle, flags: 0, backing: 0 };
        let keeps_cache = !opened.file.is_changed();
        if !self.is_agreed {
            answer.flags = if keeps_cache { KEEP_CACHE } else { 0 };
            return Some(Begun { answer, is_first_writer: false });
        }
        let mut shard = self.shard(face).lock();
        let entry = shard.entry(face).or_default();
        // Asked for under the lock: what becomes the upper's from here on was open before.
        let wanted = opened.wanted();
        if wanted.writes {
            entry.awaited = entry.awaited.saturating_sub(1);
        }
        let state = self.state(face, entry);
        match state.open(wanted) {
            Step::Turn => {
                self.faces.turn(opened.file.node());
                self.drop_unused(&mut shard, face);
                return None;
            }
            Step::Join => {}
            Step::Begin(served) => entry.kind = self.begun(kernel, (face, served), opened.file),
        }
        entry.handles += 1;
        let (Kind::Upper(BackingId(id)) | Kind::Lower(BackingId(id))) = entry.kind else {
            // Opened before it was copied, written past us and closed: what the kernel has may be of before.
            let data = if opened.file.is_copied() { Data::Upper } else { wanted.data };
            let keeps = keeps_cache && state.keeps_cache(data);
            entry.is_old = false;
            answer.flags = if keeps { KEEP_CACHE } else { 0 };
            return Some(Begun { answer, is_first_writer: false });
        };
        if matches!(entry.kind, Kind::Lower(_)) {
            opened.file.stay_lower();
        }
        let is_first_writer = wanted.writes && entry.writers == 0;
        entry.writers += u64::from(wanted.writes);
        if is_first_writer && !std::mem::replace(&mut entry.is_written, true) {
            self.written.fetch_add(1, Ordering::AcqRel);
        }
        if is_first_writer {
            entry.told = None;
        }
        answer.flags = if opened.by_us { PASSTHROUGH | DIRECT_IO } else { PASSTHROUGH };
        answer.backing = id;
        Some(Begun { answer, is_first_writer })
    }

    /// Begins to serve so; by us, where the kernel takes no file.
    fn begun(&self, kernel: &Kernel, (face, served): (Face, Served), file: &OpenFile) -> Kind {
        let given = match served {
            Served::Idle | Served::Cached => None,
            Served::Upper => file
                .upper_file()
                .and_then(|file| self.given(kernel, &*file, &self.takes_upper))
                .map(Kind::Upper),
            Served::Lower => {
                let rests = self.resting.as_ref().and_then(|resting| resting.take(face));
                let anew = || {
                    let (file, _) = file.lower_file()?.shut()?;
                    self.given(kernel, file, &self.takes_lower)
                };
                rests.or_else(anew).map(Kind::Lower)
            }
        };
        given.unwrap_or_default()
    }

    fn given(&self, kernel: &Kernel, file: impl AsFd, takes: &AtomicBool) -> Option<BackingId> {
        if !takes.load(Ordering::Relaxed) {
            return None;
        }
        match kernel.open_backing(file) {
            Ok(id) => {
                self.was_taken.store(true, Ordering::Release);
                Some(id)
            }
            Err(error) => {
                let never =
                    [Errno::PERM, Errno::LOOP, Errno::OPNOTSUPP, Errno::NOTTY, Errno::INVAL];
                if never.contains(&error.errno()) {
                    // A file system that stands on others itself, or a right that this process has not.
                    tracing::info!("the kernel reads and writes no such files itself: {error}");
                    takes.store(false, Ordering::Relaxed);
                }
                None
            }
        }
    }

    /// Notes a close. Answers what the kernel was told of a node, as its last writer goes.
    pub fn close(&self, kernel: &Kernel, face: Face, file: &OpenFile) -> Option<Timestamp> {
        if !self.is_agreed {
            return None;
        }
        let mut shard = self.shard(face).lock();
        let entry = shard.get_mut(&face)?;
        let mut told = None;
        if file.is_writable() && matches!(entry.kind, Kind::Upper(_)) {
            entry.writers = entry.writers.saturating_sub(1);
            told = entry.told.filter(|_| entry.writers == 0);
        }
        entry.handles = entry.handles.saturating_sub(1);
        if entry.handles > 0 {
            return told;
        }
        let mut second = None;
        let gone = match std::mem::take(&mut entry.kind) {
            Kind::Cached => None,
            Kind::Upper(id) => Some(id),
            Kind::Lower(id) => {
                second = self.faces.second(NodeId(face.0));
                let has_ended = self.faces.end(NodeId(face.0));
                second = second.filter(|_| has_ended);
                entry.is_old |= has_ended;
                self.resting.as_ref().map_or(Some(id), |resting| resting.put(face, id))
            }
        };
        self.drop_unused(&mut shard, face);
        drop(shard); // the kernel is not waited for under it
        if let Some(second) = second {
            self.forget_entry(second);
        }
        if let Some(id) = gone
            && let Err(error) = kernel.close_backing(id)
        {
            tracing::warn!("the kernel keeps a file that is closed: {error}");
        }
        told
    }

    /// Drops an entry of which nothing is remembered.
    fn drop_unused(&self, shard: &mut ByNumber<Face, Entry>, face: Face) {
        let is_used = |entry: &Entry| {
            entry.handles > 0 || entry.awaited > 0 || entry.is_written || entry.is_old
        };
        if shard.get(&face).is_some_and(|entry| !is_used(entry)) {
            shard.remove(&face);
        }
    }

    /// Whether a node is written past us, with what the kernel is told of it now.
    pub fn written(&self, node: NodeId, told: Timestamp) -> Written {
        if self.written.load(Ordering::Acquire) == 0 {
            return Written::No;
        }
        let face = Face::first(node);
        match self.shard(face).lock().get_mut(&face) {
            Some(entry) if entry.writers > 0 => {
                entry.told = Some(told);
                Written::Yes
            }
            Some(entry) if entry.is_written => Written::Perhaps,
            _ => Written::No,
        }
    }

    /// Asks whether a node is still written that nobody has open, and notes where it is not. Nobody opens it meanwhile: who asks
    /// holds a lease on it.
    pub fn look_again(&self, node: NodeId, is_written: impl FnOnce() -> bool) {
        let face = Face::first(node);
        let mut shard = self.shard(face).lock();
        if let Some(entry) = shard.get_mut(&face)
            && entry.handles == 0
            && entry.is_written
            && !is_written()
        {
            entry.is_written = false;
            self.written.fetch_sub(1, Ordering::AcqRel);
            self.drop_unused(&mut shard, face);
        }
    }

    /// Notes that the kernel has forgotten lookups of a number; `is_known` says whether it holds the node by any.
    pub fn forget(&self, (face, node): (Face, NodeId), lookups: u64, is_known: bool) {
        if let Some(node) = self.faces.forget(face, lookups) {
            self.end_second((face, node));
        }
        if !is_known {
            self.forget_entry(Face::first(node));
        }
    }

    /// The kernel does not hold the second number of a node. It ends, unless the first one's lower file is held open.
    fn end_second(&self, (face, node): (Face, NodeId)) {
        let first = Face::first(node);
        let has_ended = {
            let mut shard = self.shard(first).lock();
            let entry = shard.entry(first).or_default();
            let is_held = entry.handles > 0 && matches!(entry.kind, Kind::Lower(_));
            let has_ended = !is_held && self.faces.end(node);
            entry.is_old |= has_ended;
            self.drop_unused(&mut shard, first);
            has_ended
        };
        if has_ended {
            self.forget_entry(face);
        }
    }

    fn forget_entry(&self, face: Face) {
        if self.written.load(Ordering::Acquire) == 0 && !self.faces.were_any() {
            return; // nothing is remembered of what nobody has open
        }
        let mut shard = self.shard(face).lock();
        if let Some(entry) = shard.get_mut(&face)
            && entry.handles == 0
        {
            entry.is_old = false;
            if std::mem::take(&mut entry.is_written) {
                self.written.fetch_sub(1, Ordering::AcqRel);
            }
            self.drop_unused(&mut shard, face);
        }
    }
}
