//! Which open files the kernel reads and writes itself (`FUSE_PASSTHROUGH`), decided for each node as it is opened.
//!
//! 1. All handles of a node are of one kind: the kernel refuses a second file behind a node, and a cached handle beside one
//!    that has a file behind it. Which kind it is the first open decides, and the last close ends.
//! 2. Only files whose data the upper has get one, and never a file of a layer: the kernel opens what it was given again with
//!    the rights of this process, and a copy-up would not reach who reads past us.
//! 3. What goes past us we can't tell the kernel of. It sees what its own calls write, and not what a mapping does: while a node
//!    is open for writing so, its attributes are believed for a moment only, and where they have changed since they were told
//!    the last close says so. What a cached handle left in the page cache is not kept by a later one.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::ask::KEEP_CACHE;
use crate::sys::Errno;
use crate::sys::fuse_device::BackingId;
use crate::tree::Timestamp;
use crate::union::NodeId;
use crate::wire::Kernel;
use crate::wire::form::OpenOut;

/// `FOPEN_PASSTHROUGH`.
const PASSTHROUGH: u32 = 1 << 7;

/// Parts of the table, so that opens of different nodes do not wait for each other.
const SHARDS: usize = 16;

/// How the open handles of a node are served.
enum Kind {
    /// By us, through the page cache.
    Cached,
    /// By the kernel.
    Backed(BackingId),
}

/// A node with open handles.
struct Entry {
    kind: Kind,
    handles: u64,
    /// Those of a file behind it that may write.
    writers: u64,
    /// When its contents were changed last, as the kernel was told since it has writers.
    told: Option<Timestamp>,
}

/// The nodes with open handles.
pub(super) struct Backing {
    shards: [Mutex<HashMap<NodeId, Entry>>; SHARDS],
    /// Whether it was agreed that the kernel takes files.
    is_agreed: bool,
    /// Whether it does; not where the upper's file system is none of which it takes them.
    is_taken: AtomicBool,
    /// Nodes that have writers, so that nobody looks for them where there are none.
    written: AtomicUsize,
}

/// How a file was opened.
pub(super) struct Opened {
    /// Whether it is open for writing.
    pub writes: bool,
    /// What of the page cache may stay where it is served by us.
    pub keeps_cache: bool,
    /// The file that the kernel can have, where it can have one.
    pub file: Option<std::sync::Arc<OwnedFd>>,
}

impl Backing {
    pub fn new(is_agreed: bool) -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        let is_taken = AtomicBool::new(is_agreed);
        Backing { shards, is_agreed, is_taken, written: AtomicUsize::new(0) }
    }

    fn shard(&self, node: NodeId) -> &Mutex<HashMap<NodeId, Entry>> {
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
        let cached = if opened.keeps_cache { KEEP_CACHE } else { 0 };
        if !self.is_agreed {
            return (OpenOut { handle, flags: cached, backing: 0 }, false);
        }
        let mut shard = self.shard(node).lock();
        let entry = shard.entry(node).or_insert_with(|| Entry {
            kind: opened
                .file
                .as_ref()
                .and_then(|file| self.backed(kernel, file))
                .map_or(Kind::Cached, Kind::Backed),
            handles: 0,
            writers: 0,
            told: None,
        });
        entry.handles += 1;
        match entry.kind {
            // What was written past us is not in the page cache.
            Kind::Cached if opened.file.is_some() => {
                (OpenOut { handle, flags: 0, backing: 0 }, false)
            }
            Kind::Cached => (OpenOut { handle, flags: cached, backing: 0 }, false),
            Kind::Backed(BackingId(backing)) => {
                let is_first = opened.writes && entry.writers == 0;
                entry.writers += u64::from(opened.writes);
                if is_first {
                    self.written.fetch_add(1, Ordering::AcqRel);
                    entry.told = None;
                }
                (OpenOut { handle, flags: PASSTHROUGH, backing }, is_first)
            }
        }
    }

    fn backed(&self, kernel: &Kernel, file: &OwnedFd) -> Option<BackingId> {
        if !self.is_taken.load(Ordering::Relaxed) {
            return None;
        }
        match kernel.open_backing(file) {
            Ok(id) => Some(id),
            Err(error) => {
                if error.errno() != Errno::MFILE && error.errno() != Errno::NFILE {
                    // A file system that stands on others itself, or a right that this process has not.
                    tracing::debug!("the kernel takes no files: {error}");
                    self.is_taken.store(false, Ordering::Relaxed);
                }
                None
            }
        }
    }

    /// Notes a close. `changed` asks when the contents were changed last, where its answer counts; `true` says that the kernel
    /// was told otherwise.
    pub fn close(
        &self,
        kernel: &Kernel,
        (node, writes): (NodeId, bool),
        changed: impl FnOnce() -> Option<Timestamp>,
    ) -> bool {
        if !self.is_agreed {
            return false;
        }
        let mut shard = self.shard(node).lock();
        let Some(entry) = shard.get_mut(&node) else { return false };
        let mut is_stale = false;
        if writes && matches!(entry.kind, Kind::Backed(_)) {
            entry.writers = entry.writers.saturating_sub(1);
            if entry.writers == 0 {
                self.written.fetch_sub(1, Ordering::AcqRel);
                is_stale = entry.told.is_some() && entry.told != changed();
            }
        }
        entry.handles = entry.handles.saturating_sub(1);
        if entry.handles == 0
            && let Some(Entry { kind: Kind::Backed(id), .. }) = shard.remove(&node)
            && let Err(error) = kernel.close_backing(id)
        {
            tracing::warn!("the kernel keeps a file that is closed: {error}");
        }
        is_stale
    }

    /// Whether a node is written past us, with what the kernel is told of it now.
    pub fn is_written(&self, node: NodeId, told: Timestamp) -> bool {
        if self.written.load(Ordering::Acquire) == 0 {
            return false;
        }
        let mut shard = self.shard(node).lock();
        match shard.get_mut(&node) {
            Some(entry) if entry.writers > 0 => {
                entry.told = Some(told);
                true
            }
            _ => false,
        }
    }
}
