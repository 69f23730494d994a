//! The process that keeps a further process of a container: its parent, which ends it when the command is gone.

use std::os::fd::{AsFd, OwnedFd};

use layerfs_driver::sys::file;

use crate::build::{self, Joining};
use crate::plan_exec::ExecStep;
use crate::start::PANIC_STATUS;
use crate::supervise::Ended;
use crate::sys::process::{self, Child, EndsHere, Forked};
use crate::sys::{SysError, channel, exec, signals, terminal, watch};

/// What a message has room for.
const WORD_MAX: usize = 16;

/// The keeping process, from the command's side.
#[derive(Debug)]
pub(crate) struct Keeper {
    /// It.
    pub(crate) child: Child,
    /// To it; when this closes it ends what it keeps. It says over it how that ended.
    pub(crate) channel: OwnedFd,
    /// The number of the process that is to enter.
    pub(crate) enters: u32,
}

impl Keeper {
    /// Tells it which process has appeared inside: a child of its own, made by the one that entered.
    pub(crate) fn hand(&self, inside: &OwnedFd) -> Result<(), SysError> {
        channel::send(&self.channel, b"inside", Some(inside.as_fd()))
    }
}

/// Starts it, and by it the process that is to enter, which does these steps. What is the command's own is given back, and held by
/// neither of them: the end of a channel tells by its closing that there is no command any more, and whoever reads what the
/// command writes is not to wait for one that stands still with its container.
pub(crate) fn start<Own>(
    steps: &[ExecStep],
    given: Joining<'_>,
    own: Own,
) -> Result<(Keeper, Own), SysError> {
    let (ours, its) = channel::pair()?;
    match process::fork_into(0)? {
        Forked::Child => {
            let _here = EndsHere { status: PANIC_STATUS };
            drop((ours, own));
            process::exit_now(u8::from(keep(its, steps, given).is_err()))
        }
        Forked::Parent(child) => {
            drop((its, given));
            let told = channel::receive(&ours, WORD_MAX)?;
            let number = told.and_then(|(word, _)| word.try_into().ok()).map(u32::from_ne_bytes);
            let enters = number.ok_or_else(|| SysError::of_deed("clone3", "no process enters"))?;
            Ok((Keeper { child, channel: ours, enters }, own))
        }
    }
}

/// How the program ended, as the keeping process says it.
pub(crate) fn told(channel: &OwnedFd) -> Result<Ended, SysError> {
    match channel::receive(channel, WORD_MAX)?.as_ref().map(|(word, _)| &word[..]) {
        Some([0, status]) => Ok(Ended::Exited(*status)),
        Some([1, signal]) => Ok(Ended::Killed(*signal)),
        _ => Err(SysError::of_deed("waitid", "the process that keeps the program has ended")),
    }
}

/// In a session of its own it is neither ended nor stopped together with the command, and with nothing open but a channel it
/// holds nobody up.
fn keep(command: OwnedFd, steps: &[ExecStep], mut given: Joining<'_>) -> Result<(), SysError> {
    terminal::new_session()?;
    exec::take_streams(file::open_device("/dev/null")?)?;
    let pid = match given.entry.fork(|group| process::fork_into_group(0, group))? {
        Forked::Child => {
            // Or nobody would hear that this one's parent has ended.
            drop(command);
            build::join(steps, given)
        }
        Forked::Parent(child) => child.pid,
    };
    drop(given);
    exec::close_all_but(command.as_fd())?;
    let enters = process::open(pid)?;
    channel::send(&command, &pid.to_ne_bytes(), None)?;
    stand_by(&command, enters)
}

/// Waits for the program's end and tells it, or for the end of the command and makes it the program's.
fn stand_by(command: &OwnedFd, enters: OwnedFd) -> Result<(), SysError> {
    let (mut enters, mut inside) = (Some(enters), None::<OwnedFd>);
    loop {
        let watched: Vec<_> = [Some(command), enters.as_ref(), inside.as_ref()]
            .into_iter()
            .flatten()
            .map(|fd| (fd.as_fd(), watch::Until::Readable))
            .collect();
        let ready = watch::wait(&watched, None)?;
        if ready[0] {
            match channel::receive(command, WORD_MAX)? {
                Some((_, Some(pidfd))) => inside = Some(pidfd),
                _ => return end_all([enters, inside]),
            }
        } else if enters.is_some() && ready[1] {
            enters.take().map_or(Ok(()), |enters| process::wait(enters).map(drop))?;
        } else if let Some(inside) = &inside {
            let word = match process::wait(inside)? {
                Ended::Exited(status) => [0, status],
                Ended::Killed(signal) => [1, signal],
            };
            // What entered has nothing left to do either.
            enters.take().map_or(Ok(()), |enters| process::wait(enters).map(drop))?;
            return channel::send(command, &word, None);
        }
    }
}

fn end_all(children: [Option<OwnedFd>; 2]) -> Result<(), SysError> {
    for child in children.iter().flatten() {
        process::signal(child, signals::KILL)?;
    }
    children.iter().flatten().try_for_each(|child| process::wait(child).map(drop))
}
