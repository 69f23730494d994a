//! Signals that were sent to the command and are meant for the container.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::start::RunError;
pub use crate::sys::signals::{name as signal_name, named as signal_named};
use crate::sys::{SysError, signals, watch};

/// The signals of this process, taken: none ends it any more, each is passed on.
#[derive(Debug)]
pub struct Signals {
    pub(crate) taken: OwnedFd,
}

impl Signals {
    /// Takes them. What is started afterwards by `std::process` has its own again.
    pub fn take() -> Result<Self, RunError> {
        Ok(Signals { taken: signals::take().map_err(RunError::Signals)? })
    }

    /// Waits for so long; answers sooner, and with `true`, where one asks to end.
    pub fn ends_within(&self, limit: Duration) -> Result<bool, SysError> {
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let ready = watch::wait(&[(self.taken.as_fd(), watch::Until::Readable)], Some(left))?;
            if !ready[0] {
                return Ok(false);
            }
            if signals::asks_to_end(&self.taken)? {
                return Ok(true);
            }
        }
    }
}
