//! Which open files the kernel reads and writes itself (`FUSE_PASSTHROUGH`), decided for each node as it is opened.
//!
//! 1. All handles of a node are of one kind: the kernel refuses a second file behind a node, and a cached handle beside one
//!    that has a file behind it. Which kind it is the first open decides, and the last close ends.
//! 2. Only files whose data the upper has get one, and never a file of a layer: the kernel opens what it was given again with
//!    the rights of this process, and a copy-up would not reach who reads past us.
//! 3. What goes past us we can't tell the kernel of. It sees what its own calls write, and not what a mapping does, which may
//!    outlive its descriptor. While a node is open for writing so, or still mapped, its attributes are believed for a moment
//!    only. What a cached handle left in the page cache is not kept by a later one.
//! 4. The kernel opens the file behind a node with the flags of its own open, and what becomes of these afterwards (`F_SETFL`)
//!    does not reach that. So who opens to append, or round the cache, reads and writes by us.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::ask::KEEP_CACHE;
use crate::sys::Errno;
use crate::sys::fuse_device::BackingId;
use crate::tree::Timestamp;
use crate::union::{ByNumber, NodeId};
use crate::wire::Kernel;
use crate::wire::form::OpenOut;

/// `FOPEN_PASSTHROUGH`.
const PASSTHROUGH: u32 = 1 << 7;
/// `FOPEN_DIRECT_IO`: reads and writes come to us, and leave nothing in the page cache.
const DIRECT_IO: u32 = 1;

/// Parts of the table, so that opens of different nodes do not wait for each other.
const SHARDS: usize = 16;

/// How the open handles of a node are served.
enum Kind {
    /// By us, through the page cache.
    Cached,
    /// By the kernel.
    Backed(BackingId),
}

/// A node with open handles, or with mappings that may have outlived them.
struct Entry {
    kind: Kind,
    handles: u64,
    /// Those of a file behind it that may write.
    writers: u64,
    /// It has writers, or had some, and whether a mapping goes on was not looked at since.
    is_written: bool,
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

/// The nodes with open handles.
pub(super) struct Backing {
    shards: [Mutex<ByNumber<NodeId, Entry>>; SHARDS],
    /// Whether it was agreed that the kernel takes files.
    is_agreed: bool,
    /// Whether it does; not where the upper's file system is none of which it takes them.
    is_taken: AtomicBool,
    /// Whether it ever took one: until then nothing was written past us.
    was_taken: AtomicBool,
    /// Nodes that are written past us, or perhaps, so that nobody looks for them where there are none.
    written: AtomicUsize,
}

/// How a file was opened.
pub(super) struct Opened {
    /// Whether it is open for writing.
    pub writes: bool,
    /// To append, or round the cache.
    pub by_us: bool,
    /// What of the page cache may stay where it is served by us.
    pub keeps_cache: bool,
    /// The file that the kernel can have, where it can have one.
    pub file: Option<std::sync::Arc<OwnedFd>>,
}

impl Backing {
    pub fn new(is_agreed: bool) -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        let is_taken = AtomicBool::new(is_agreed);
        let (was_taken, written) = (AtomicBool::new(false), AtomicUsize::new(0));
        Backing { shards, is_agreed, is_taken, was_taken, written }
    }

    fn shard(&self, node: NodeId) -> &Mutex<ByNumber<NodeId, Entry>> {
        let number = usize::try_from(node.0 / 2).unwrap_or(0);
        &self.shards[number % SHARDS]
    }

    /// Whether files are asked for.
    pub fn is_agreed(&self) -> bool {
        self.is_agreed
    }

    /// Notes an open file, and decides how it is served. Answers also whether it is the first by which its node is written past
    /// us.
    pub fn open(
        &self,
        kernel: &Kernel,
        node: NodeId,
        handle: u64,
        opened: &Opened,
    ) -> (OpenOut, bool) {
        let keeps = opened.keeps_cache && !(opened.file.is_some() && self.was_taken());
        let cached = OpenOut { handle, flags: if keeps { KEEP_CACHE } else { 0 }, backing: 0 };
        if !self.is_agreed {
            return (cached, false);
        }
        let mut shard = self.shard(node).lock();
        let entry = shard.entry(node).or_insert_with(|| Entry {
            kind: Kind::Cached,
            handles: 0,
            writers: 0,
            is_written: false,
            told: None,
        });
        if entry.handles == 0 {
            let file = opened.file.as_ref().filter(|_| !opened.by_us);
            let backed = file.and_then(|file| self.backed(kernel, file));
            entry.kind = backed.map_or(Kind::Cached, Kind::Backed);
        }
        entry.handles += 1;
        let Kind::Backed(BackingId(backing)) = entry.kind else { return (cached, false) };
        let is_first = opened.writes && entry.writers == 0;
        entry.writers += u64::from(opened.writes);
        if is_first && !std::mem::replace(&mut entry.is_written, true) {
            self.written.fetch_add(1, Ordering::AcqRel);
        }
        if is_first {
            entry.told = None;
        }
        let flags = if opened.by_us { PASSTHROUGH | DIRECT_IO } else { PASSTHROUGH };
        (OpenOut { handle, flags, backing }, is_first)
    }

    fn was_taken(&self) -> bool {
        self.was_taken.load(Ordering::Acquire)
    }

    fn backed(&self, kernel: &Kernel, file: &OwnedFd) -> Option<BackingId> {
        if !self.is_taken.load(Ordering::Relaxed) {
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
                    tracing::info!("the kernel reads and writes no files itself: {error}");
                    self.is_taken.store(false, Ordering::Relaxed);
                }
                None
            }
        }
    }

    /// Notes a close. Answers what the kernel was told of a node, as its last writer goes.
    pub fn close(&self, kernel: &Kernel, node: NodeId, writes: bool) -> Option<Timestamp> {
        if !self.is_agreed {
            return None;
        }
        let mut shard = self.shard(node).lock();
        let entry = shard.get_mut(&node)?;
        let mut told = None;
        if writes && matches!(entry.kind, Kind::Backed(_)) {
            entry.writers = entry.writers.saturating_sub(1);
            told = entry.told.filter(|_| entry.writers == 0);
        }
        entry.handles = entry.handles.saturating_sub(1);
        if entry.handles > 0 {
            return told;
        }
        let kind = std::mem::replace(&mut entry.kind, Kind::Cached);
        if !entry.is_written {
            shard.remove(&node);
        }
        drop(shard); // the kernel is not waited for under it
        if let Kind::Backed(id) = kind
            && let Err(error) = kernel.close_backing(id)
        {
            tracing::warn!("the kernel keeps a file that is closed: {error}");
        }
        told
    }

    /// Whether a node is written past us, with what the kernel is told of it now.
    pub fn written(&self, node: NodeId, told: Timestamp) -> Written {
        if self.written.load(Ordering::Acquire) == 0 {
            return Written::No;
        }
        match self.shard(node).lock().get_mut(&node) {
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
        let mut shard = self.shard(node).lock();
        if let Some(entry) = shard.get_mut(&node)
            && entry.handles == 0
            && entry.is_written
            && !is_written()
        {
            shard.remove(&node);
            self.written.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Notes that the kernel has forgotten a node.
    pub fn forget(&self, node: NodeId) {
        if self.written.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut shard = self.shard(node).lock();
        if shard.get(&node).is_some_and(|entry| entry.handles == 0 && entry.is_written) {
            shard.remove(&node);
            self.written.fetch_sub(1, Ordering::AcqRel);
        }
    }
}
