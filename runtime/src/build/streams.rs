//! The program's standard streams.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};

use super::error::{Doing, SetupError};
use super::walk::Made;
use crate::carry::Ends;
use crate::sys::{channel, exec, inside, mounts, terminal};
use crate::terminal::follow_size;
use crate::user::User;

/// The word beside which a terminal's other end goes to the supervisor. No error begins with it: they begin with their
/// status.
pub(crate) const TERMINAL: &[u8] = b"T";

/// Takes what stands for the caller's streams: ends of pipes where they are carried, nothing where they are nothing or, as
/// for input, were not asked for. The caller's own are let go of.
pub(super) fn take_callers(ends: &Ends, null: &OwnedFd) -> Result<(), SetupError> {
    let taking = || "take the streams".to_owned();
    exec::take_output(ends.output.as_ref().unwrap_or(null)).doing(taking)?;
    exec::take_error(ends.error.as_ref().unwrap_or(null)).doing(taking)?;
    exec::take_input(ends.input.as_ref().unwrap_or(null)).doing(taking)
}

/// Takes a terminal of the container's own, its console from here on.
pub(super) fn take_terminal(made: &mut Made<'_>) -> Result<(), SetupError> {
    let deed = || "make a terminal".to_owned();
    let (master, slave) = terminal::open_pair(made.terminals()?).doing(deed)?;
    // Here, and not by the supervisor alone: the program does not wait for that one. The streams are still the caller's.
    follow_size(&master).doing(|| "give the terminal its size".into())?;
    channel::send(&made.given.report, TERMINAL, Some(master.as_fd())).doing(deed)?;
    let dev = made.dev()?;
    inside::create(dev, OsStr::new("console"), 0o600).doing(deed)?;
    let place = inside::open_name(dev, "console").doing(deed)?;
    let console = mounts::clone_of(&slave).doing(deed)?;
    mounts::attach(&console, &place).doing(deed)?;
    terminal::control(&slave).doing(deed)?;
    exec::take_streams(&slave).doing(deed)?;
    made.terminal = Some(slave);
    Ok(())
}

/// Takes a terminal of the container's for a further process, which has yet to make it the one that controls it.
pub(super) fn take_further_terminal(
    terminals: &OwnedFd,
    report: &OwnedFd,
) -> Result<OwnedFd, SetupError> {
    let deed = || "make a terminal".to_owned();
    let (master, slave) = terminal::open_pair(terminals).doing(deed)?;
    follow_size(&master).doing(|| "give the terminal its size".into())?;
    channel::send(report, TERMINAL, Some(master.as_fd())).doing(deed)?;
    exec::take_streams(&slave).doing(deed)?;
    Ok(slave)
}

/// Lets the program open by name what was made for its streams: `/dev/stdout`, its terminal. The group of a terminal stays
/// the one that may write to it. The null device everybody may open.
pub(super) fn give(
    (ends, terminal): (&Ends, &Option<OwnedFd>),
    user: &User,
) -> Result<(), SetupError> {
    for own in [&ends.input, &ends.output, &ends.error, terminal].into_iter().flatten() {
        exec::give_stream(own, user.uid).doing(|| format!("give user {} its streams", user.uid))?;
    }
    Ok(())
}
