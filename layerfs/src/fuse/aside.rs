//! What takes long is done aside: a thread that answers the kernel never waits for a copy.
//!
//! A copy-up lasts as long as its file is large, and whoever wants the same file waits with it. On the threads that
//! read requests, as many of these as there are threads would keep everyone else waiting, a `stat` included.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use parking_lot::Mutex;

use super::door::Door;

/// Copies, and waits for copies, that go on at once. More of them wait for their turn, and nobody else does.
const WORKERS: usize = 16;

type Job = Box<dyn FnOnce() + Send>;

/// Threads for what takes long; they end with the last door.
#[derive(Clone)]
pub(super) struct Aside(Sender<Job>);

impl Aside {
    /// Starts the threads. Fewer where the machine gives no more; without any the work is done where it comes.
    pub(super) fn new() -> Option<Self> {
        let (sender, jobs) = mpsc::channel::<Job>();
        let jobs = Arc::new(Mutex::new(jobs));
        let started = (0..WORKERS)
            .map(|_| Arc::clone(&jobs))
            .take_while(|jobs| {
                let jobs = Arc::clone(jobs);
                let builder = thread::Builder::new().name("copy-up".into());
                builder.spawn(move || work(&jobs)).is_ok()
            })
            .count();
        if started < WORKERS {
            tracing::warn!("{started} of {WORKERS} threads for copies could be started");
        }
        (started > 0).then_some(Aside(sender))
    }
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

/// Whether a request may have to copy much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    Long,
    Short,
}

impl Takes {
    pub(super) fn long_if(is_long: bool) -> Self {
        if is_long { Takes::Long } else { Takes::Short }
    }
}

impl Door {
    /// Does what a request asks: here, or aside where it takes long.
    pub(super) fn serve(&self, takes: Takes, deed: impl FnOnce(&Door) + Send + 'static) {
        match (takes, &self.aside) {
            (Takes::Long, Some(aside)) => {
                let door = self.clone();
                // The receiver lives as long as its threads, and they as long as there is a door.
                if let Err(back) = aside.0.send(Box::new(move || deed(&door))) {
                    (back.0)();
                }
            }
            _ => deed(self),
        }
    }
}
