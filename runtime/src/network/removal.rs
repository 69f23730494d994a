//! Links that are taken away.
//!
//! The kernel answers who asks for that when no processor looks at the link any more. Most of that time is after the link is unlisted,
//! so that nobody can find it (`rcu_barrier` in `netdev_run_todo` of `net/core/dev.c`): who has nothing else to do has another process
//! wait for it.
//!
//! A link is meant by its number, which no other gets later: somebody else may make one of that name as soon as it is unlisted.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use layerfs_driver::sys::dir;
use netlink_packet_route::RouteNetlinkMessage as Message;
use netlink_packet_route::link::LinkMessage;

use super::error::{Doing, NetworkError};
use super::talk::Talk;
use crate::sys::process::{self, Child, EndsHere, Forked};
use crate::sys::watch::{self, Until as Wait};
use crate::sys::{Errno, SysError, channel, exec, inside};

/// How long what removes a link is waited for before the link is looked for again.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// How long another process may take to have a link unlisted before this one asks for it, too.
const ASIDE_MAX: Duration = Duration::from_secs(2);

/// When a link counts as taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// When nobody finds it any more. A child of this process, which ends soon, may have to wait for the rest.
    Unlisted,
    /// When the kernel has nothing of it.
    Gone,
}

/// A link that goes.
#[derive(Debug)]
#[must_use]
pub struct Going {
    index: u32,
    remover: Option<Child>,
    name: String,
}

impl Going {
    /// Has the link of that number taken away; `what_follows` is done when it is gone, in the process that waits for that, where nobody
    /// hears of it.
    pub(super) fn begin(
        (index, name): (u32, &str),
        until: Until,
        what_follows: impl Fn(),
    ) -> Result<Self, NetworkError> {
        let deed = || format!("remove the link `{name}`");
        let mut remover = None;
        if until == Until::Unlisted {
            match begin_aside(index, &what_follows) {
                Ok(child) => remover = Some(child),
                Err(error) => tracing::debug!("{}: {error}", deed()),
            }
        }
        if remover.is_none() {
            remove_here(index).doing(deed)?;
            what_follows();
        }
        Ok(Going { index, remover, name: name.to_owned() })
    }

    /// Waits until nobody finds it any more.
    pub fn end(self) -> Result<(), NetworkError> {
        let Some(remover) = self.remover else { return Ok(()) };
        // Whatever refused it is told of when it is asked for here.
        if is_unlisted(self.index, &remover)
            .inspect_err(|error| tracing::debug!("look for the link {}: {error}", self.index))
            .unwrap_or(false)
        {
            return Ok(());
        }
        remove_here(self.index).doing(|| format!("remove the link `{}`", self.name))
    }
}

fn remove_here(index: u32) -> Result<(), SysError> {
    match Talk::begin()?.change(Message::DelLink(numbered(index)), 0) {
        Err(error) if matches!(error.errno(), Errno::NODEV | Errno::NOENT) => Ok(()),
        done => done,
    }
}

fn numbered(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
}

/// The caller runs no other thread.
fn begin_aside(index: u32, what_follows: impl Fn()) -> Result<Child, SysError> {
    let (held, lost) = channel::pipe()?;
    let remover = match process::fork_into(0)? {
        Forked::Child => remove_alone(index, what_follows),
        Forked::Parent(child) => child,
    };
    drop(lost);
    // It holds nothing of this process from then on: no lock, no port, no end of a stream.
    watch::wait(&[(held.as_fd(), Wait::HungUp)], Some(ASIDE_MAX))?;
    Ok(remover)
}

/// All of the process that waits for it. It returns nowhere: what is closed here its copy of the caller still believes to have.
fn remove_alone(index: u32, what_follows: impl Fn()) -> ! {
    let _ends = EndsHere { status: 1 };
    let removed = exec::close_from(0)
        .and_then(|()| inside::enter(dir::open_path("/")?))
        .and_then(|()| remove_here(index));
    if removed.is_ok() {
        what_follows();
    }
    process::exit_now(u8::from(removed.is_err()))
}

/// Waits until nobody finds the link, or `remover` has ended or takes too long.
fn is_unlisted(index: u32, remover: &Child) -> Result<bool, SysError> {
    let mut talk = Talk::begin()?;
    let until = Instant::now() + ASIDE_MAX;
    loop {
        // The kernel answers this when it is done with unlisting, where it has begun that.
        if talk.one(Message::GetLink(numbered(index)))?.is_none() {
            return Ok(true);
        }
        let ended = watch::wait(&[(remover.pidfd.as_fd(), Wait::Readable)], Some(LOOK_AGAIN))?;
        if ended.first() == Some(&true) {
            process::wait(&remover.pidfd)?;
            return Ok(false);
        }
        if Instant::now() > until {
            return Ok(false);
        }
    }
}
