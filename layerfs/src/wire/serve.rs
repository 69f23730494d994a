//! The threads that read requests: one at a time leads, and hands over where it is held up.
//!
//! 1. The **leader** reads a request, answers it, and looks for the next. No other thread waits at the device: waking one for
//!    each request would cost more than most answers do.
//! 2. After an answer it goes on looking for a while before it sleeps (`patience`): who was answered often asks again at once.
//! 3. The **watch** looks now and then, while there are requests, whether the leader is still at the same one. Then another
//!    leads, and the one that was held up finishes its answer and waits for its turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use zerocopy::IntoBytes;

use super::handshake::{self, Agreed, TRANSFER_MAX, Wishes};
use super::patience::Patience;
use super::request::{self, Ask, Asked};
use super::{Kernel, Reply};
use crate::sys::SysError;
use crate::sys::fuse_device::{FuseDevice, Next};

/// Threads that answer at once, at most: so many may be held up by a disk.
const THREADS: usize = 64;

/// Threads that stay where nobody is held up any more.
const SPARE: usize = 4;

/// How long the leader may be at one request before another leads, at most twice this.
const TICK: Duration = Duration::from_millis(1);

/// Ticks without a request after which the watch sleeps.
const QUIET: u32 = 100;

/// Who answers requests.
pub trait Answer: Send + Sync + 'static {
    /// Answers one, now or later from another thread.
    fn answer(&self, asked: Asked, ask: Ask<'_>, reply: Reply);

    /// The kernel has dropped so many of the lookups of a node that it had counted.
    fn forget(&self, node: u64, lookups: u64);
}

/// Room for a request, where 8-byte words start.
pub(super) struct Buffer(Vec<u64>);

impl Buffer {
    pub fn new() -> Self {
        // The header and the words of a write stand before its bytes.
        let bytes = usize::try_from(TRANSFER_MAX).unwrap_or(0) + 4096;
        Buffer(vec![0; bytes / 8])
    }

    pub fn room(&mut self) -> &mut [u8] {
        self.0.as_mut_bytes()
    }
}

/// A connection on which the kernel's first words were answered.
#[derive(Debug)]
pub struct Connection {
    device: Arc<FuseDevice>,
    agreed: Agreed,
}

impl Connection {
    /// Waits for the kernel's first words, and agrees with it.
    pub fn new(device: FuseDevice, wishes: &Wishes) -> Result<Self, SysError> {
        let device = Arc::new(device);
        let agreed = handshake::shake_hands(&device, wishes)?;
        Ok(Connection { device, agreed })
    }

    /// What was agreed.
    pub fn agreed(&self) -> &Agreed {
        &self.agreed
    }

    /// By which the kernel is told what it did not ask for.
    pub fn kernel(&self) -> Kernel {
        Kernel::new(Arc::clone(&self.device))
    }

    /// Answers requests until the connection ends.
    pub fn serve(self, answers: impl Answer) -> Result<(), SysError> {
        let crew = Arc::new(Crew {
            device: self.device,
            answers,
            state: AtomicU64::new(0),
            hall: Mutex::new(Hall { has_leader: false, parked: 0, threads: 1, ended: None }),
            turn: Condvar::new(),
            is_watch_asleep: AtomicBool::new(false),
            watch: Mutex::new(()),
            alarm: Condvar::new(),
        });
        Crew::start(&crew, "watch", |crew| crew.watch());
        crew.work(Stays::Always);
        // The others go by themselves: who is held up may be so for long.
        crew.hall.lock().ended.take().unwrap_or(Ok(()))
    }
}

struct Crew<A> {
    device: Arc<FuseDevice>,
    answers: A,
    /// What the leader does: [`State`].
    state: AtomicU64,
    hall: Mutex<Hall>,
    turn: Condvar,
    is_watch_asleep: AtomicBool,
    watch: Mutex<()>,
    alarm: Condvar,
}

/// How long a thread stays.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stays {
    /// Until the connection ends.
    Always,
    /// Until there are enough without it.
    WhileNeeded,
}

/// Where threads wait to lead.
struct Hall {
    has_leader: bool,
    parked: usize,
    threads: usize,
    ended: Option<Result<(), SysError>>,
}

/// How many leaders there were (32 bits), how many requests were read (31 bits, they begin again at 0), and whether one is being
/// answered.
#[derive(Clone, Copy, PartialEq, Eq)]
struct State(u64);

impl State {
    const BUSY: u64 = 1;
    const ONE: u64 = 2;
    const REIGN: u64 = 1 << 32;

    fn is_busy(self) -> bool {
        self.0 & State::BUSY != 0
    }

    fn with_request(self) -> State {
        let low = u64::from(u32::MAX);
        let count = (self.0 & low).wrapping_add(State::ONE) & low;
        State(self.0 & !low | count | State::BUSY)
    }

    fn answered(self) -> State {
        State(self.0 & !State::BUSY)
    }

    fn next_leader(self) -> State {
        State(self.0.wrapping_add(State::REIGN) & !State::BUSY)
    }
}

impl<A: Answer> Crew<A> {
    fn start(crew: &Arc<Self>, name: &str, deed: impl FnOnce(&Arc<Self>) + Send + 'static) -> bool {
        let own = Arc::clone(crew);
        match thread::Builder::new().name(name.to_owned()).spawn(move || deed(&own)) {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!("a thread `{name}` can't be started: {error}");
                false
            }
        }
    }

    /// Leads whenever nobody does, until the connection ends.
    fn work(&self, stays: Stays) {
        let mut buffer = Buffer::new();
        while self.wait_for_turn(stays) {
            if let Some(ended) = self.lead(&mut buffer) {
                self.end(ended);
            }
        }
    }

    /// Whether to lead; the thread ends where not.
    fn wait_for_turn(&self, stays: Stays) -> bool {
        let mut hall = self.hall.lock();
        while hall.has_leader && hall.ended.is_none() {
            if stays == Stays::WhileNeeded && hall.parked >= SPARE {
                hall.threads -= 1;
                return false;
            }
            hall.parked += 1;
            self.turn.wait(&mut hall);
            hall.parked -= 1;
        }
        hall.has_leader = true;
        hall.ended.is_none()
    }

    fn end(&self, how: Result<(), SysError>) {
        self.hall.lock().ended = Some(how);
        self.turn.notify_all();
        drop(self.watch.lock());
        self.alarm.notify_all();
    }

    /// Reads and answers requests. `Some` once the connection has ended; `None` where another leads now.
    fn lead(&self, buffer: &mut Buffer) -> Option<Result<(), SysError>> {
        let mut state = State(self.state.load(Ordering::SeqCst));
        let mut patience = Patience::new();
        loop {
            let len = match patience.next(&self.device, buffer.room()) {
                Ok(Next::Request(len)) => len,
                Ok(Next::Nothing) => continue,
                Ok(Next::Ended) => return Some(Ok(())),
                Err(error) => return Some(Err(error)),
            };
            // Nobody else writes it while no request is being answered.
            state = state.with_request();
            self.state.store(state.0, Ordering::SeqCst);
            if self.is_watch_asleep.load(Ordering::SeqCst) {
                self.wake_watch();
            }
            self.answer(&buffer.room()[..len]);
            let answered = state.answered();
            let own = Ordering::SeqCst;
            if self.state.compare_exchange(state.0, answered.0, own, own).is_err() {
                return None;
            }
            state = answered;
        }
    }

    fn answer(&self, bytes: &[u8]) {
        match request::parse(bytes) {
            Ok((asked, Ask::Forget { lookups })) => self.answers.forget(asked.node, lookups),
            Ok((_, Ask::ForgetMany(many))) => {
                for one in many {
                    self.answers.forget(one.node, one.lookups);
                }
            }
            Ok((asked, ask)) => {
                self.answers.answer(asked, ask, Reply::new(&self.device, asked.unique));
            }
            Err((asked, malformed)) => {
                tracing::warn!("{malformed}");
                // Who is answered `EIO` by a reply that nobody gave.
                drop(asked.map(|asked| Reply::new(&self.device, asked.unique)));
            }
        }
    }

    fn wake_watch(&self) {
        if self.is_watch_asleep.swap(false, Ordering::SeqCst) {
            drop(self.watch.lock());
            self.alarm.notify_one();
        }
    }

    /// Has another lead where the leader is held up.
    fn watch(self: &Arc<Self>) {
        let mut guard = self.watch.lock();
        let (mut before, mut quiet) = (State(0), 0);
        while self.hall.lock().ended.is_none() {
            if quiet >= QUIET {
                self.is_watch_asleep.store(true, Ordering::SeqCst);
                // A request that came before that was seen wakes nobody.
                while self.is_watch_asleep.load(Ordering::SeqCst)
                    && self.state.load(Ordering::SeqCst) == before.0
                    && self.hall.lock().ended.is_none()
                {
                    self.alarm.wait(&mut guard);
                }
                self.is_watch_asleep.store(false, Ordering::SeqCst);
                quiet = 0;
            }
            self.alarm.wait_for(&mut guard, TICK);
            let now = State(self.state.load(Ordering::SeqCst));
            match (now == before, now.is_busy()) {
                (true, true) => self.depose(now),
                (true, false) => quiet += 1,
                (false, _) => quiet = 0,
            }
            before = now;
        }
    }

    fn depose(self: &Arc<Self>, held_up: State) {
        let next = held_up.next_leader();
        let own = Ordering::SeqCst;
        if self.state.compare_exchange(held_up.0, next.0, own, own).is_err() {
            return; // it has answered meanwhile
        }
        let mut hall = self.hall.lock();
        hall.has_leader = false;
        if hall.parked > 0 {
            self.turn.notify_one();
        } else if hall.threads < THREADS {
            // With all of them held up, the first that is free leads.
            hall.threads += 1;
            drop(hall);
            if !Crew::start(self, "requests", |crew| crew.work(Stays::WhileNeeded)) {
                self.hall.lock().threads -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_count_requests_and_leaders_apart() {
        let first = State(0).with_request();
        assert!(first.is_busy() && !first.answered().is_busy());
        let mut state = State(u64::from(u32::MAX) & !State::BUSY);
        state = state.with_request();
        assert_eq!(state.0 >> 32, 0, "the count begins again and changes no leader");
        assert_eq!(first.next_leader().0, first.answered().0 + State::REIGN);
        assert!(!State(u64::MAX).next_leader().is_busy());
    }
}
