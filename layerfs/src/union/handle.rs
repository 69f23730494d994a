//! Open files: handles, what each was opened for, and which descriptor serves it now.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};

use super::copy_up::Extent;
use super::error::{UnionError, answer};
use super::ids::{ByNumber, NodeId};
use super::mount::{Shared, Union};
use super::node::{Data, Node};
use super::open_file::OpenFile;
use crate::lower::LowerFile;
use crate::sys::change::{self, Access};
use crate::sys::{Errno, file, host};
use crate::tree::Kind;
use crate::upper::UpperError;

/// The number of an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HandleId(pub u64);

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenHow {
    /// Reading.
    Read,
    /// Reading, as a program that is to run.
    Run,
    /// Writing, and reading where the door wants it.
    Write,
    /// Writing, after all contents are thrown away.
    Truncate,
    /// The same by who will not write: the kernel sees to it that no program that runs is written, but not to this.
    TruncateToRead,
}

impl OpenHow {
    /// What the descriptor in the upper is opened for.
    pub(super) fn access(self) -> Access {
        match self {
            OpenHow::Read | OpenHow::Run => Access::Read,
            OpenHow::Write | OpenHow::Truncate | OpenHow::TruncateToRead => Access::Write,
        }
    }
}

/// How long one who empties a file, or writes it, waits for the close of a program that ran. The kernel sends a close without waiting for
/// it: one that it sent before the request to empty may have been read by another thread, which has not come to it yet.
const PATIENCE: Duration = Duration::from_millis(100);

/// One open file.
pub(super) struct Open {
    pub node: Shared,
    pub how: OpenHow,
    /// What the kernel has of the contents is from before a change of the lower.
    pub is_changed: bool,
    /// The lower file, where it was opened before a copy-up.
    pub lower: Option<LowerFile>,
    /// Somebody reads the lower file without asking us: what is asked is of that file, also after a copy-up.
    pub stays_lower: AtomicBool,
    /// The upper file, once there is one and it was asked for.
    pub upper: Mutex<Option<Arc<OwnedFd>>>,
    /// How many descriptors it is counted with.
    descriptors: u64,
}

impl Open {
    fn new(node: &Shared, how: OpenHow) -> Self {
        Open {
            node: Arc::clone(node),
            how,
            is_changed: false,
            lower: None,
            stays_lower: AtomicBool::new(false),
            upper: Mutex::new(None),
            descriptors: 1,
        }
    }

    /// Whose bytes are read now.
    pub(super) fn bytes(&self) -> Bytes<'_> {
        let Some(lower) = &self.lower else { return Bytes::Upper };
        if self.stays_lower.load(Ordering::Acquire) || !self.node.is_upper() {
            return Bytes::Lower(lower);
        }
        match &*self.node.data.lock() {
            Data::Here | Data::Brought(_) => Bytes::Upper,
            Data::Below(beneath) | Data::Filling(beneath) => match beneath.below {
                None => Bytes::Lower(lower),
                Some(below) => Bytes::Both(lower, below.bytes),
            },
        }
    }
}

/// Whose bytes an open file has.
pub(super) enum Bytes<'a> {
    /// The lower file's.
    Lower(&'a LowerFile),
    /// The upper file's.
    Upper,
    /// The upper file's, and in its holes the lower file's: so many from the start.
    Both(&'a LowerFile, u64),
}

/// Parts of the table of open files: every read looks there, and numbers that follow each other lie in different ones.
const SHARDS: u64 = 32;

type Shard = RwLock<ByNumber<HandleId, Arc<Open>>>;

/// All open files.
pub(super) struct Handles {
    shards: Vec<Shard>,
    /// How many descriptors they have; guarded by nothing.
    count: AtomicU64,
    /// Held while a program begins or ends to run.
    runs: Mutex<()>,
    /// Rung under `runs` when a program that ran is closed.
    ended: Condvar,
    next: AtomicU64,
    /// So many of them at once. Never changes.
    max: u64,
}

impl Handles {
    pub(super) fn new() -> Self {
        // Half of the descriptors. The others are for directories that are kept open, and for what a request needs while
        // it is served: whoever looks at a name is not refused because others have many files open.
        let max = host::descriptors_max() / 2;
        Handles {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            count: AtomicU64::new(0),
            runs: Mutex::new(()),
            ended: Condvar::new(),
            next: AtomicU64::new(1),
            max,
        }
    }

    fn shard(&self, id: HandleId) -> &Shard {
        let number = usize::try_from(id.0 % SHARDS).unwrap_or(0);
        &self.shards[number]
    }

    pub(super) fn get(&self, id: HandleId) -> Result<Arc<Open>, UnionError> {
        self.shard(id).read().get(&id).cloned().map_or_else(|| answer(Errno::BADF), Ok)
    }

    /// Notes that a file is about to run, or to be emptied by who will not write. Neither goes beside the other, as the
    /// kernel has it for those who write.
    fn begin(&self, node: &Node, how: OpenHow) -> Result<(), UnionError> {
        let step = match how {
            OpenHow::Run => -1,
            OpenHow::TruncateToRead => 1,
            OpenHow::Read | OpenHow::Write | OpenHow::Truncate => return Ok(()),
        };
        let mut runs = self.runs.lock();
        let is_other = || node.text.load(Ordering::Acquire) * step < 0;
        if how != OpenHow::Run {
            self.wait_while(&mut runs, is_other);
        }
        if is_other() {
            return answer(Errno::TXTBSY);
        }
        node.text.fetch_add(step, Ordering::AcqRel);
        Ok(())
    }

    /// Waits for a while until it is no more.
    fn wait_while(&self, runs: &mut MutexGuard<'_, ()>, is_so: impl Fn() -> bool) {
        let until = Instant::now() + PATIENCE;
        while is_so() && !self.ended.wait_until(runs, until).timed_out() {}
    }

    /// Takes back what [`Handles::begin`] noted.
    fn end(&self, node: &Node, how: OpenHow) {
        let step = match how {
            OpenHow::Run => 1,
            OpenHow::TruncateToRead => -1,
            OpenHow::Read | OpenHow::Write | OpenHow::Truncate => return,
        };
        let _runs = self.runs.lock();
        node.text.fetch_add(step, Ordering::AcqRel);
        self.ended.notify_all();
    }

    fn add(&self, open: Open) -> HandleId {
        let id = HandleId(self.next.fetch_add(1, Ordering::Relaxed));
        self.count.fetch_add(open.descriptors, Ordering::Relaxed);
        self.shard(id).write().insert(id, Arc::new(open));
        id
    }

    fn take(&self, id: HandleId) -> Option<Arc<Open>> {
        let taken = self.shard(id).write().remove(&id)?;
        self.count.fetch_sub(taken.descriptors, Ordering::Relaxed);
        Some(taken)
    }
}

impl Union {
    /// Refuses where no further file can be opened now: asked before one is made that is to be open.
    pub fn expect_room(&self) -> Result<(), UnionError> {
        if self.handles.count.load(Ordering::Relaxed) < self.handles.max {
            Ok(())
        } else {
            answer(Errno::MFILE)
        }
    }

    /// Opens a regular file.
    pub fn open(&self, id: NodeId, how: OpenHow) -> Result<HandleId, UnionError> {
        self.expect_room()?;
        let node = self.node(id)?;
        match node.kind {
            Kind::File => {}
            Kind::Directory => return answer(Errno::ISDIR),
            Kind::Symlink => return answer(Errno::LOOP),
            Kind::CharDevice | Kind::BlockDevice | Kind::Fifo | Kind::Socket => {
                return answer(Errno::NXIO);
            }
        }
        self.handles.begin(&node, how)?;
        // Counted before anything is looked at: an unlink from here on keeps the object.
        node.opens.fetch_add(1, Ordering::AcqRel);
        if node.place.lock().names.is_empty() {
            // Its last close may be under way, and has seen that it is open, or takes it away first.
            drop(node.count.lock());
        }
        let opened = self.open_counted(&node, how);
        if how == OpenHow::TruncateToRead || opened.is_err() {
            self.handles.end(&node, how);
        }
        match opened {
            Ok(open) => Ok(self.handles.add(open)),
            Err(error) => {
                let is_nameless = node.place.lock().names.is_empty();
                self.closed(&node);
                // Whoever came by a name that another file has now is to look once more.
                if error.errno() == Errno::NOENT && is_nameless {
                    return answer(Errno::STALE);
                }
                Err(error)
            }
        }
    }

    /// Notes a file that was made just now, and is open by that. The caller holds the lock of its directory.
    pub(super) fn opened_new(&self, node: Shared, file: OwnedFd) -> HandleId {
        node.opens.fetch_add(1, Ordering::AcqRel);
        let file = Arc::new(file);
        *node.file.lock() = Arc::downgrade(&file);
        let open = Open::new(&node, OpenHow::Write);
        *open.upper.lock() = Some(file);
        self.handles.add(open)
    }

    fn open_counted(&self, node: &Shared, how: OpenHow) -> Result<Open, UnionError> {
        let mut open = Open::new(node, how);
        match how {
            OpenHow::Read | OpenHow::Run => {}
            OpenHow::Write => self.copy_up(node, Extent::Blocks)?,
            OpenHow::Truncate | OpenHow::TruncateToRead => {
                self.empty(&open)?;
                open.is_changed = node.changed_below.swap(false, Ordering::AcqRel);
                return Ok(open);
            }
        }
        self.look_through(node)?;
        let _topology = self.topology.read();
        let is_upper = node.is_upper();
        if is_upper && node.below().is_some() {
            let upper = self.open_upper(&open)?;
            self.note_if_brought(node, &upper)?;
        }
        let below = if is_upper { node.data_below() } else { node.lower() };
        if let Some(lower) = below {
            let file = self.lower.open(&lower)?;
            // A file that was being emptied when its mount died has its new size and, until it is filled, the old data.
            open.lower = Some(if is_upper { self.as_data_of(node, file)? } else { file });
            if how == OpenHow::Write {
                self.open_upper(&open)?;
            }
            if let Some(upper) = open.upper.get_mut() {
                open.descriptors += 1;
                // What is read ahead of a hole that the disk has set room aside for would be taken for data.
                file::advise_random(&**upper)
                    .map_err(|source| UpperError::Call { deed: "open a file", source })?;
            }
        } else if is_upper {
            self.open_upper(&open)?;
        } else {
            return answer(Errno::STALE);
        }
        open.is_changed = node.changed_below.swap(false, Ordering::AcqRel);
        Ok(open)
    }

    /// A lower file as the data of one of the upper. One that was cut short since would be shown with zeros at its end.
    fn as_data_of(&self, node: &Shared, file: LowerFile) -> Result<LowerFile, UnionError> {
        let size = match node.below() {
            Some(below) => below.bytes,
            None => self.attr_of(node)?.size,
        };
        if file.size() < size { answer(Errno::STALE) } else { Ok(file.cut_to(size)) }
    }

    /// Opens a file and empties it. That it is emptied comes last: whoever is refused finds the contents as they were.
    fn empty(&self, open: &Open) -> Result<(), UnionError> {
        if open.node.is_upper() {
            let _topology = self.topology.read();
            self.open_upper(open)?;
        }
        if let Some(fd) = self.copy_up_opened(&open.node, Extent::Nothing)? {
            *open.upper.lock() = Some(Arc::new(fd));
            return Ok(());
        }
        let fd = self.upper_file(open)?;
        self.resize(&open.node, &fd, 0)
    }

    /// Whether somebody has the node open for writing.
    pub fn is_open_for_writing(&self, id: NodeId) -> bool {
        let writes = |open: &Arc<Open>| open.node.id == id && open.how.access() == Access::Write;
        self.handles.shards.iter().any(|shard| shard.read().values().any(writes))
    }

    /// Refuses where the node is a program that runs. Where nobody else can tell: the kernel keeps who writes from programs
    /// that run by the same inode of its own.
    pub fn expect_no_run(&self, id: NodeId) -> Result<(), UnionError> {
        let Some(node) = self.table.get(id) else { return Ok(()) };
        let runs = || node.text.load(Ordering::Acquire) < 0;
        self.handles.wait_while(&mut self.handles.runs.lock(), runs);
        if runs() { answer(Errno::TXTBSY) } else { Ok(()) }
    }

    /// An open file, looked at once.
    pub fn opened(&self, handle: HandleId) -> Result<OpenFile, UnionError> {
        self.handles.get(handle).map(OpenFile)
    }

    /// Whether the mark of a file with all its data has to go before some changes, and its data be on the disk before that.
    pub fn is_unsettled(&self, id: NodeId) -> bool {
        self.table.get(id).is_some_and(|node| node.brought().is_some())
    }

    /// Whether a node is known by itself: an untouched one of an image is not.
    pub fn is_known(&self, id: NodeId) -> bool {
        self.table.get(id).is_some()
    }

    /// Whether the upper's file of a node is written by others than our handles: by a mapping that goes on.
    pub fn is_written_elsewhere(&self, id: NodeId) -> bool {
        let Ok(node) = self.node(id) else { return false };
        if !node.is_upper() || node.kind != Kind::File {
            return false;
        }
        let _topology = self.topology.read();
        let looked =
            self.spot(&node).map(|spot| file::is_open_for_writing(&*spot.dir, &*spot.name));
        // What can't be asked is so for as long as it can't.
        matches!(looked, Ok(Ok(true)) | Ok(Err(_)))
    }

    /// The descriptor in the upper of an open file whose node has an upper side.
    pub(super) fn open_upper(&self, open: &Open) -> Result<Arc<OwnedFd>, UnionError> {
        let mut slot = open.upper.lock();
        if let Some(fd) = &*slot {
            return Ok(Arc::clone(fd));
        }
        let fd = Arc::new(self.in_place(&open.node, |spot| {
            let fd = change::open_file(&*spot.dir, &*spot.name, open.how.access());
            Ok(fd.map_err(|source| UpperError::Call { deed: "open a file", source })?)
        })?);
        *open.node.file.lock() = Arc::downgrade(&fd);
        *slot = Some(Arc::clone(&fd));
        Ok(fd)
    }

    /// Closes an open file.
    pub fn release(&self, handle: HandleId) {
        let Some(open) = self.handles.take(handle) else { return };
        if open.how == OpenHow::Run {
            self.handles.end(&open.node, open.how);
        }
        self.closed(&open.node);
        let id = open.node.id;
        drop(open);
        self.shed(id);
    }

    /// Counts one open file less.
    fn closed(&self, node: &Shared) {
        node.opens.fetch_sub(1, Ordering::AcqRel);
        if !node.is_open() {
            self.last_close(node);
            // It may have been forgotten while it was open.
            self.forget(node.id, 0);
        }
    }

    /// What an open file without a name left goes with its last close. That no name of it is known says little: it may
    /// have others that nobody looked up, and only its link count tells.
    fn last_close(&self, node: &Shared) {
        let Some(upper) = &self.upper else { return };
        // Whoever opens it again or changes its attributes meanwhile finds it as it was, or gone.
        let _count = node.count.lock();
        let has_names = !node.place.lock().names.is_empty();
        if has_names || node.is_open() {
            return;
        }
        let last = self.attr_of(node).ok().filter(|last| last.nlink == 0);
        if last.is_some() {
            node.place.lock().gone = last;
        }
        self.drop_orphan(node);
        if let (Some(group), Some(_)) = (&node.group, last)
            && let Err(error) = upper.drop_group(group)
        {
            tracing::warn!("the index keeps what has no name: {error}");
        }
    }
}
