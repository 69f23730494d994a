//! What takes long is done aside: a thread that answers the kernel never waits for a copy, nor for the disk to sync.
//!
//! A copy-up lasts as long as its file is large, and whoever wants the same file waits with it; a sync lasts as long as the disk
//! has to write. On the threads that read requests, as many of these as there are threads would keep everyone else waiting, a
//! `stat` included. Syncs have threads of their own: who makes a few bytes durable does not wait for others' copies.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use parking_lot::Mutex;

use super::door::Door;
use super::manner::{Fsync, Names};
use crate::union::{Copies, NodeId, Touches};

/// Copies, and waits for copies, that go on at once, and as many syncs. More of them wait for their turn, and nobody else does.
const WORKERS: usize = 16;

type Job = Box<dyn FnOnce() + Send>;

/// Threads for what takes long; they end with the last door.
#[derive(Clone)]
pub(super) struct Aside {
    copies: Sender<Job>,
    syncs: Sender<Job>,
}

impl Aside {
    /// Starts the threads. Fewer where the machine gives no more; without any of a kind the work is done where it comes.
    pub(super) fn new() -> Option<Self> {
        Some(Aside { copies: started("copy-up")?, syncs: started("sync")? })
    }
}

/// Starts the threads of one kind; they end with the sender.
fn started(kind: &str) -> Option<Sender<Job>> {
    let (sender, jobs) = mpsc::channel::<Job>();
    let jobs = Arc::new(Mutex::new(jobs));
    let started = (0..WORKERS)
        .map(|_| Arc::clone(&jobs))
        .take_while(|jobs| {
            let jobs = Arc::clone(jobs);
            thread::Builder::new().name(kind.into()).spawn(move || work(&jobs)).is_ok()
        })
        .count();
    if started < WORKERS {
        tracing::warn!("{started} of {WORKERS} threads `{kind}` could be started");
    }
    (started > 0).then_some(sender)
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        // The lock is held while one waits for a job, and let go before it is done.
        let job = jobs.lock().recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

/// What a request may have to wait for, the longest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Takes {
    /// Nothing.
    Short,
    /// The disk.
    Sync,
    /// A copy of a large file, or others' use of one.
    Long,
}

impl From<Copies> for Takes {
    fn from(copies: Copies) -> Self {
        match copies {
            Copies::Much => Takes::Long,
            // Mostly done before another thread would have begun; where the disk is slow another answers meanwhile.
            Copies::Little | Copies::Nothing => Takes::Short,
        }
    }
}

impl Door {
    /// What a change of a node waits for.
    pub(super) fn change_takes(&self, node: NodeId, touches: Touches) -> Takes {
        self.union.copies(node, touches).into()
    }

    /// What making something durable waits for.
    pub(super) fn sync_takes(&self) -> Takes {
        let is_synced = self.manner.fsync == Fsync::Done && self.union.syncs();
        if is_synced { Takes::Sync } else { Takes::Short }
    }

    /// What a change of names waits for, once it is made.
    pub(super) fn names_take(&self) -> Takes {
        let is_synced = self.manner.names == Names::AtOnce && self.union.syncs();
        if is_synced { Takes::Sync } else { Takes::Short }
    }

    /// The same of the making of a symbolic link.
    pub(super) fn link_takes(&self) -> Takes {
        if self.union.syncs_links() { Takes::Sync } else { self.names_take() }
    }

    /// Does what a request asks: here, or aside where it waits for something.
    pub(super) fn serve(&self, takes: Takes, deed: impl FnOnce(&Door) + Send + 'static) {
        let sender = match (takes, &self.aside) {
            (Takes::Long, Some(aside)) => &aside.copies,
            (Takes::Sync, Some(aside)) => &aside.syncs,
            (Takes::Short, _) | (_, None) => return deed(self),
        };
        let door = self.clone();
        // The receiver lives as long as its threads, and they as long as there is a door.
        if let Err(back) = sender.send(Box::new(move || deed(&door))) {
            (back.0)();
        }
    }
}
