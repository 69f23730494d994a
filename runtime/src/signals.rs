//! Signals that were sent to the command and are meant for the container.

use std::os::fd::OwnedFd;

pub use crate::sys::signals::{name as signal_name, named as signal_named};
use crate::sys::{SysError, signals};

/// The signals of this process, taken: none ends it any more, each is passed on.
#[derive(Debug)]
pub struct Signals {
    pub(crate) taken: OwnedFd,
}

impl Signals {
    /// Takes them. What is started afterwards by `std::process` has its own again.
    pub fn take() -> Result<Self, SysError> {
        Ok(Signals { taken: signals::take()? })
    }
}
