//! What takes long is done aside: a thread that answers the kernel never waits for a copy, nor for the disk to sync.
//!
//! A copy-up lasts as long as its file is large, and whoever wants the same file waits with it; a sync lasts as long as the disk
//! has to write. On the threads that read requests, as many of these as there are threads would keep everyone else waiting, a
//! `stat` included. Syncs have threads of their own: who makes a few bytes durable does not wait for others' copies.
//!
//! Threads are started when there is something for them to do: most mounts need none of these, and one that is just being made
//! would be held up by them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;

use parking_lot::{Condvar, Mutex};

use super::door::Door;
use super::manner::{Fsync, Names};
use crate::union::{Copies, NodeId, Touches};

/// Copies, and waits for copies, that go on at once, and as many syncs. More of them wait for their turn, and nobody else does.
const WORKERS: usize = 16;

type Job = Box<dyn FnOnce() + Send>;

/// Threads for what takes long; they end with the last door.
#[derive(Clone)]
pub(super) struct Aside {
    copies: Arc<Crew>,
    syncs: Arc<Crew>,
}

impl Aside {
    /// No thread is started yet.
    pub(super) fn new() -> Self {
        Aside { copies: Crew::new("copy-up"), syncs: Crew::new("sync") }
    }
}

/// The threads of one kind, for as long as this lives.
struct Crew {
    kind: &'static str,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    is_over: bool,
}

impl Crew {
    fn new(kind: &'static str) -> Arc<Self> {
        Arc::new(Crew { kind, shared: Arc::default() })
    }

    /// Has a job done by one of the threads. Given back where there is none and none can be started.
    fn send(&self, job: Job) -> Result<(), Job> {
        let mut state = self.shared.state.lock();
        state.jobs.push_back(job);
        if state.jobs.len() > state.idle && state.threads < WORKERS {
            state.threads += 1;
            let shared = Arc::clone(&self.shared);
            let started =
                thread::Builder::new().name(self.kind.into()).spawn(move || shared.work());
            if let Err(error) = started {
                state.threads -= 1;
                tracing::debug!("{} threads `{}`, and no more: {error}", state.threads, self.kind);
                if state.threads == 0 {
                    return state.jobs.pop_back().map_or(Ok(()), Err);
                }
            }
        }
        drop(state);
        self.shared.wake.notify_one();
        Ok(())
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.state.lock().is_over = true;
        self.shared.wake.notify_all();
    }
}

impl Shared {
    /// Does jobs until there are no more, and can be none.
    fn work(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                job();
                state = self.state.lock();
            } else if state.is_over {
                return;
            } else {
                state.idle += 1;
                self.wake.wait(&mut state);
                state.idle -= 1;
            }
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

    /// What a change waits for that needs a file's data in the upper, and on its disk.
    pub(super) fn whole_takes(&self, node: NodeId) -> Takes {
        let synced = if self.union.is_unsettled(node) { self.sync_takes() } else { Takes::Short };
        self.change_takes(node, Touches::Whole).max(synced)
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
        let crew = match takes {
            Takes::Long => &self.aside.copies,
            Takes::Sync => &self.aside.syncs,
            Takes::Short => return deed(self),
        };
        let door = self.clone();
        // Without any thread the work is done where it comes.
        if let Err(job) = crew.send(Box::new(move || deed(&door))) {
            job();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Threads, and those of them that wait for something to do.
    fn counts(crew: &Crew) -> (usize, usize) {
        let state = crew.shared.state.lock();
        (state.threads, state.idle)
    }

    #[test]
    fn threads_are_started_when_there_is_something_to_do_and_no_more_than_that() {
        let crew = Crew::new("test");
        assert_eq!(counts(&crew), (0, 0));
        let (done, over) = mpsc::channel();
        for _ in 0..100 {
            let done = done.clone();
            assert!(crew.send(Box::new(move || done.send(()).unwrap())).is_ok());
            over.recv().unwrap();
            // One job after the other is one thread's work; who has told is idle soon.
            while counts(&crew).1 == 0 {
                thread::yield_now();
            }
            assert_eq!(counts(&crew), (1, 1));
        }
    }

    #[test]
    fn jobs_that_wait_for_one_another_each_have_a_thread() {
        let crew = Crew::new("test");
        let met = Arc::new(std::sync::Barrier::new(WORKERS));
        let (done, over) = mpsc::channel();
        for _ in 0..3 * WORKERS {
            let (met, done) = (Arc::clone(&met), done.clone());
            let job = move || {
                met.wait();
                done.send(()).unwrap();
            };
            assert!(crew.send(Box::new(job)).is_ok());
        }
        assert_eq!((0..3 * WORKERS).map(|_| over.recv().unwrap()).count(), 3 * WORKERS);
        assert_eq!(counts(&crew).0, WORKERS);
    }

    #[test]
    fn jobs_that_are_there_at_the_end_are_done() {
        let crew = Crew::new("test");
        let (done, over) = mpsc::channel();
        for number in 0..2 * WORKERS {
            let done = done.clone();
            assert!(crew.send(Box::new(move || done.send(number).unwrap())).is_ok());
        }
        drop((crew, done));
        let mut all: Vec<usize> = over.iter().collect();
        all.sort_unstable();
        assert_eq!(all, (0..2 * WORKERS).collect::<Vec<_>>());
    }
}
