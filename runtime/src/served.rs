//! What the process that serves a container's root is handed over its channel, and what it does for it besides.

use std::os::fd::{AsFd, OwnedFd};

use crate::sys::{Errno, SysError, channel as ends, process, signals};

/// What a message has room for.
const MESSAGE_MAX: usize = 64;

/// Beside what is held.
const HELD: &[u8] = b"held";

/// What the serving process holds of its container.
#[derive(Debug)]
pub struct Handed {
    /// The device of the root to serve.
    pub device: OwnedFd,
    /// What tells that the supervisor is gone.
    pub watch: SupervisorWatch,
    /// What is held for as long as the container has its root.
    pub held: Option<OwnedFd>,
}

/// The end of a channel whose other end the supervisor alone keeps, and the container's first process.
#[derive(Debug)]
pub struct SupervisorWatch {
    channel: OwnedFd,
    first: OwnedFd,
}

/// Tells the serving process which process the container's first one is. Comes before the device: that one waits for its
/// limits meanwhile. A serving process that has ended is no failure here: whoever watches it is told.
pub(crate) fn hand_first(channel: impl AsFd, first: &OwnedFd) -> Result<(), SysError> {
    match ends::send(channel, b"first", Some(first.as_fd())) {
        Err(error) if matches!(error.errno(), Errno::PIPE | Errno::CONNRESET) => Ok(()),
        sent => sent,
    }
}

/// Gives the serving process something to hold. Comes before the device, too.
pub(crate) fn hand_held(channel: impl AsFd, held: &OwnedFd) -> Result<(), SysError> {
    match ends::send(channel, HELD, Some(held.as_fd())) {
        Err(error) if matches!(error.errno(), Errno::PIPE | Errno::CONNRESET) => Ok(()),
        sent => sent,
    }
}

/// Waits for what there is to serve; `None` where the container ended before it had a root.
pub fn receive(channel: impl AsFd) -> Result<Option<Handed>, SysError> {
    let message =
        || Ok(ends::receive(&channel, MESSAGE_MAX)?.and_then(|(word, fd)| Some((word, fd?))));
    let Some((_, first)) = message()? else { return Ok(None) };
    let Some((word, next)) = message()? else { return Ok(None) };
    let (held, device) = if word == HELD {
        let Some((_, device)) = message()? else { return Ok(None) };
        (Some(next), device)
    } else {
        (None, next)
    };
    // The caller puts something else in the place of its own.
    let channel = ends::another(channel)?;
    Ok(Some(Handed { device, watch: SupervisorWatch { channel, first }, held }))
}

impl SupervisorWatch {
    /// Waits until the supervisor is gone, and ends what it can't end any more. The kernel does that too: with the process around
    /// the container, or with the first process itself unless that has changed its user since.
    pub fn end_with_supervisor(self) -> Result<(), SysError> {
        // The channel is closed by nobody else, and nothing more comes over it.
        while ends::receive(&self.channel, MESSAGE_MAX)?.is_some() {}
        process::signal(&self.first, signals::KILL)
    }
}
