//! A process that outlives its caller: nothing of the caller's stays open in it.

use std::os::fd::AsFd;

use crate::sys::{SysError, exec};

/// Closes every descriptor that the caller left open beside the standard streams: a lock or a pipe of its own would be
/// held for as long as this process lives. Called first, while this process has opened nothing yet.
pub fn close_inherited() -> Result<(), SysError> {
    exec::close_from(3)
}

/// Puts `null`, which takes everything and gives nothing, in the place of the standard streams: whoever waits at their
/// other ends sees them closed. Where that fails, standard output is still the caller's.
pub fn leave_streams(null: impl AsFd) -> Result<(), SysError> {
    exec::take_streams(null)
}
