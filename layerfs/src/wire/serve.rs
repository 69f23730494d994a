//! The threads that read requests: one at a time leads, and hands over where it is held up.
//!
//! 1. The **leader** reads a request, answers it, and looks for the next. No other thread waits at the device: waking one for
//!    each request would cost more than most answers do.
//! 2. After an answer it goes on looking for a while before it sleeps (`patience`): who was answered often asks again at once.
//! 3. The **watch** looks now and then, while there are requests, whether the leader is still at the same one. Then another
//!    leads, and the one that was held up finishes its answer and waits for its turn. Who knows that an answer waits for a disk
//!    hands over at once ([`Lead::give_way`]).
//! 4. While requests come fast the watch keeps processors from sleeping deeply (`wakeful`).
//! 5. Where requests are always there already, the leader calls for help: another thread takes as many as it finds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use zerocopy::IntoBytes;

use super::handshake::{self, Agreed, TRANSFER_MAX, Wishes};
use super::patience::{Patience, processors};
use super::request::{self, Ask, Asked};
use super::wakeful::Wakeful;
use super::{Kernel, Reply};
use crate::sys::fuse_device::{FuseDevice, Next};
use crate::sys::{Errno, SysError};

/// Threads that answer at once, at most: so many may be held up by a disk.
const THREADS: usize = 64;

/// Threads that stay where nobody is held up any more.
const SPARE: usize = 4;

/// How long the leader may be at one request before another leads, at most twice this.
const TICK: Duration = Duration::from_millis(1);

/// Ticks without a request after which the watch sleeps.
const QUIET: u32 = 3;

/// So many requests one after the other, of which none had to be waited for, are more than one thread's work.
const STREAK: u32 = 16;

/// Who answers requests.
pub trait Answer: Send + Sync + 'static {
    /// Answers one, now or later from another thread.
    fn answer(&self, asked: Asked, ask: Ask<'_>, reply: Reply, lead: &dyn Lead);

    /// The kernel has dropped so many of the lookups of a node that it had counted.
    fn forget(&self, node: u64, lookups: u64);
}

/// The lead of who answers a request.
pub trait Lead {
    /// Has another thread read the next request: this answer waits for something. Where nobody is free it waits all the same.
    fn give_way(&self);
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
    keeps_awake: bool,
}

impl Connection {
    /// Waits for the kernel's first words, and agrees with it.
    pub fn new(device: FuseDevice, wishes: &Wishes) -> Result<Self, SysError> {
        let device = Arc::new(device);
        let agreed = handshake::shake_hands(&device, wishes)?;
        Ok(Connection { device, agreed, keeps_awake: wishes.keeps_awake })
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
        let hall = Hall { has_leader: false, parked: 0, helps: 0, threads: 1, ended: None };
        let crew = Arc::new(Crew {
            device: self.device,
            answers,
            state: AtomicU64::new(0),
            hall: Mutex::new(hall),
            turn: Condvar::new(),
            is_watch_asleep: AtomicBool::new(false),
            is_kept_awake: AtomicBool::new(false),
            watch: Mutex::new(()),
            alarm: Condvar::new(),
        });
        let wakeful = Wakeful::new(self.keeps_awake);
        Crew::start(&crew, "watch", |crew| crew.watch(wakeful))?;
        if let Err(error) = crew.add_thread() {
            tracing::debug!("{error}");
        }
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
    /// Processors wake fast now.
    is_kept_awake: AtomicBool,
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
    /// How many are called for to help, and have not begun.
    helps: usize,
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

    /// How many requests were read since.
    fn since(self, before: State) -> u32 {
        let low = |state: State| u32::try_from(state.0 & u64::from(u32::MAX)).unwrap_or(0) / 2;
        low(self).wrapping_sub(low(before)) & (u32::MAX / 2)
    }

    fn next_leader(self) -> State {
        State(self.0.wrapping_add(State::REIGN) & !State::BUSY)
    }
}

/// What a thread is to do next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Lead,
    Help,
    End,
}

impl<A: Answer> Crew<A> {
    fn start(
        crew: &Arc<Self>,
        name: &str,
        deed: impl FnOnce(&Arc<Self>) + Send + 'static,
    ) -> Result<(), SysError> {
        let own = Arc::clone(crew);
        let started = thread::Builder::new().name(name.to_owned()).spawn(move || deed(&own));
        started.map(|_| ()).map_err(|error| {
            let errno = error.raw_os_error().map_or(Errno::AGAIN, Errno::from_raw_os_error);
            SysError::new("clone", format!("a thread `{name}`"), errno)
        })
    }

    /// One more thread, which waits for its turn.
    fn add_thread(self: &Arc<Self>) -> Result<(), SysError> {
        self.hall.lock().threads += 1;
        let started = Crew::start(self, "requests", |crew| crew.work(Stays::WhileNeeded));
        if started.is_err() {
            self.hall.lock().threads -= 1;
        }
        started
    }

    /// Leads whenever nobody does, and helps where that is called for, until the connection ends.
    fn work(self: &Arc<Self>, stays: Stays) {
        let mut buffer = Buffer::new();
        loop {
            match self.wait_for_turn(stays) {
                Turn::Lead => {
                    if let Some(ended) = self.lead(&mut buffer) {
                        self.end(ended);
                    }
                }
                Turn::Help => self.help(&mut buffer),
                Turn::End => return,
            }
        }
    }

    fn wait_for_turn(&self, stays: Stays) -> Turn {
        let mut hall = self.hall.lock();
        loop {
            if hall.ended.is_some() {
                return Turn::End;
            }
            if !hall.has_leader {
                hall.has_leader = true;
                return Turn::Lead;
            }
            if hall.helps > 0 {
                hall.helps -= 1;
                return Turn::Help;
            }
            if stays == Stays::WhileNeeded && hall.parked >= SPARE {
                hall.threads -= 1;
                return Turn::End;
            }
            hall.parked += 1;
            self.turn.wait(&mut hall);
            hall.parked -= 1;
        }
    }

    fn end(&self, how: Result<(), SysError>) {
        self.hall.lock().ended = Some(how);
        self.turn.notify_all();
        drop(self.watch.lock());
        self.alarm.notify_all();
    }

    /// Reads and answers requests. `Some` once the connection has ended; `None` where another leads now.
    fn lead(self: &Arc<Self>, buffer: &mut Buffer) -> Option<Result<(), SysError>> {
        let mut state = State(self.state.load(Ordering::SeqCst));
        let (mut patience, mut streak) = (Patience::new(), 0);
        loop {
            patience.wakes_fast(self.is_kept_awake.load(Ordering::Relaxed));
            let (next, waited) = match patience.next(&self.device, buffer.room()) {
                Ok(next) => next,
                Err(error) => return Some(Err(error)),
            };
            let len = match next {
                Next::Request(len) => len,
                Next::Nothing => continue,
                Next::Ended => return Some(Ok(())),
            };
            // Nobody else writes it while no request is being answered.
            state = state.with_request();
            self.state.store(state.0, Ordering::SeqCst);
            if self.is_watch_asleep.load(Ordering::SeqCst) {
                self.wake_watch();
            }
            streak = if waited { 0 } else { streak + 1 };
            if streak >= STREAK {
                streak = 0;
                self.call_for_help();
            }
            self.answer(&buffer.room()[..len], &Leading { crew: self, state });
            let answered = state.answered();
            let own = Ordering::SeqCst;
            if self.state.compare_exchange(state.0, answered.0, own, own).is_err() {
                return None;
            }
            state = answered;
        }
    }

    /// Answers what is there already, beside the leader.
    fn help(&self, buffer: &mut Buffer) {
        // The end of the connection is the leader's to tell.
        while let Ok(Next::Request(len)) = self.device.read(buffer.room()) {
            self.answer(&buffer.room()[..len], &Helping);
        }
    }

    fn call_for_help(&self) {
        let mut hall = self.hall.lock();
        if hall.parked > hall.helps && hall.helps + 1 < processors() {
            hall.helps += 1;
            self.turn.notify_one();
        }
    }

    fn answer(&self, bytes: &[u8], lead: &dyn Lead) {
        match request::parse(bytes) {
            Ok((asked, Ask::Forget { lookups })) => self.answers.forget(asked.node, lookups),
            Ok((_, Ask::ForgetMany(many))) => {
                for one in many {
                    self.answers.forget(one.node, one.lookups);
                }
            }
            Ok((asked, ask)) => {
                self.answers.answer(asked, ask, Reply::new(&self.device, asked.unique), lead);
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

    /// Has another lead where the leader is held up, and processors kept awake where that is worth it.
    fn watch(self: &Arc<Self>, mut wakeful: Wakeful) {
        let mut guard = self.watch.lock();
        let (mut before, mut quiet) = (State(0), 0);
        while self.hall.lock().ended.is_none() {
            // Who keeps processors awake does not sleep itself.
            if quiet >= QUIET && !self.is_kept_awake.load(Ordering::Relaxed) {
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
            self.is_kept_awake.store(wakeful.tick(now.since(before)), Ordering::Relaxed);
            match (now == before, now.is_busy()) {
                (true, true) => self.depose(now),
                (true, false) if self.lacks_leader() => quiet = 0,
                (true, false) => quiet += 1,
                (false, _) => quiet = 0,
            }
            before = now;
        }
    }

    /// Whether nobody leads, as where who was to lead was called to help instead; then one more thread does, if it can be had.
    fn lacks_leader(self: &Arc<Self>) -> bool {
        let (has_leader, parked) = {
            let hall = self.hall.lock();
            (hall.has_leader, hall.parked)
        };
        if has_leader {
            return false;
        }
        if parked > 0 {
            self.turn.notify_one();
        } else if let Err(error) = self.add_thread() {
            tracing::debug!("{error}");
        }
        true
    }

    /// Has another lead than who is held up at a request; nothing is done where there is none.
    fn depose(self: &Arc<Self>, held_up: State) {
        // Who will lead is there before nobody does. Where none can be had the next look tries again.
        let (parked, threads) = {
            let hall = self.hall.lock();
            (hall.parked, hall.threads)
        };
        if parked == 0 {
            if threads >= THREADS {
                return;
            }
            if let Err(error) = self.add_thread() {
                tracing::debug!("{error}");
                return;
            }
        }
        let own = Ordering::SeqCst;
        let next = held_up.next_leader();
        if self.state.compare_exchange(held_up.0, next.0, own, own).is_err() {
            return; // it has answered meanwhile
        }
        self.hall.lock().has_leader = false;
        self.turn.notify_one();
    }
}

/// The leader's lead, at one request.
struct Leading<'a, A> {
    crew: &'a Arc<Crew<A>>,
    state: State,
}

impl<A: Answer> Lead for Leading<'_, A> {
    fn give_way(&self) {
        self.crew.depose(self.state);
    }
}

/// Who helps leads nobody.
struct Helping;

impl Lead for Helping {
    fn give_way(&self) {}
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
