//! How long to look for the next request before sleeping.
//!
//! To wake a thread on another, idle processor costs many times what an answer does. Who was answered often asks again within
//! microseconds; so the leader goes on looking for as long as that has paid lately. Between two looks it lets others run,
//! and where somebody did the processor is wanted, and it sleeps.

use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use crate::sys::SysError;
use crate::sys::fuse_device::{FuseDevice, Next};

/// The longest look.
const LONGEST: Duration = Duration::from_micros(50);
/// The look where whoever sleeps is woken fast: no more than is saved.
const BRIEF: Duration = Duration::from_micros(10);
/// The shortest that is worth its first call.
const SHORTEST: Duration = Duration::from_micros(4);
/// A sleep that ended sooner, without the time that it takes to be woken, would have been better spent looking.
const SHORT_SLEEP: Duration = Duration::from_micros(100);
/// Between two looks longer than this somebody else ran.
const PREEMPTED: Duration = Duration::from_micros(40);

/// What was learnt of who asks.
#[derive(Debug)]
pub(super) struct Patience {
    limit: Duration,
    wakes_fast: bool,
}

impl Patience {
    pub fn new() -> Self {
        Patience {
            limit: if processors() > 1 { LONGEST } else { Duration::ZERO },
            wakes_fast: false,
        }
    }

    /// Whether to be woken takes no longer than a look.
    pub fn wakes_fast(&mut self, fast: bool) {
        self.wakes_fast = fast && processors() > 1;
    }

    /// The next request, or the end, and whether it had to be waited for. `Nothing` where the wait was in vain.
    pub fn next(&mut self, device: &FuseDevice, room: &mut [u8]) -> Result<(Next, bool), SysError> {
        let read = device.read(room)?;
        if read != Next::Nothing {
            return Ok((read, false));
        }
        let began = Instant::now();
        let mut looked = began;
        let limit = if self.wakes_fast { BRIEF } else { self.limit };
        while looked - began < limit {
            thread::yield_now();
            let read = device.read(room)?;
            if read != Next::Nothing {
                self.limit = LONGEST;
                return Ok((read, true));
            }
            let now = Instant::now();
            if now - looked > PREEMPTED {
                break;
            }
            looked = now;
        }
        let sleeps = Instant::now();
        device.wait(None)?;
        if !self.wakes_fast {
            self.learn(sleeps.elapsed());
        }
        Ok((device.read(room)?, true))
    }

    /// After a sleep: looking had not paid.
    fn learn(&mut self, slept: Duration) {
        if processors() == 1 {
            return;
        }
        let halved = self.limit / 2;
        self.limit = match slept < SHORT_SLEEP {
            true => LONGEST,
            false if halved < SHORTEST => Duration::ZERO,
            false => halved,
        };
    }
}

/// Asked once: it reads the limits of the process's control group.
pub(super) fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| thread::available_parallelism().map_or(1, usize::from))
}
