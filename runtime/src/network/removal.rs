//! Links that are taken away.
//!
//! The kernel answers who asks for that when no processor looks at the link any more. Most of that time is after the link is unlisted,
//! so that nobody can find it (`rcu_barrier` in `netdev_run_todo` of `net/core/dev.c`): who has nothing else to do has another process
//! wait for it.

use std::os::fd::AsFd;
use std::time::Duration;

use layerfs_driver::sys::dir;
use netlink_packet_route::RouteNetlinkMessage as Message;
use netlink_packet_route::link::LinkAttribute;

use super::bridge::{described, link};
use super::talk::Talk;
use crate::sys::process::{self, Child, EndsHere, Forked};
use crate::sys::watch::{self, Until as Wait};
use crate::sys::{Errno, SysError, exec, inside};

/// How long what removes a link is waited for before the link is looked for again.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// When a link counts as taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// When nobody finds it any more. A child of this process, which ends soon, may have to wait for the rest.
    Unlisted,
    /// When the kernel has nothing of it.
    Gone,
}

/// Takes a link away; one that is not there is no failure. Then does `what_follows`, of which nobody waits for the end.
pub(super) fn remove_link(
    name: &str,
    until: Until,
    what_follows: impl Fn(),
) -> Result<(), SysError> {
    if until == Until::Unlisted {
        match remove_aside(name, &what_follows) {
            Ok(true) => return Ok(()),
            // Whatever refused it is told of when it is asked for here.
            Ok(false) => {}
            Err(error) => tracing::debug!("no other process removes the link `{name}`: {error}"),
        }
    }
    remove_here(name).map(|()| what_follows())
}

fn remove_here(name: &str) -> Result<(), SysError> {
    let message = described(vec![LinkAttribute::IfName(name.to_owned())]);
    match Talk::begin()?.change(Message::DelLink(message), 0) {
        Err(error) if matches!(error.errno(), Errno::NODEV | Errno::NOENT) => Ok(()),
        done => done,
    }
}

/// Whether nobody finds the link any more. The caller runs no other thread.
fn remove_aside(name: &str, what_follows: impl Fn()) -> Result<bool, SysError> {
    let remover = match process::fork_into(0)? {
        Forked::Child => {
            let _ends = EndsHere { status: 1 };
            let removed = remove_alone(name).map(|()| what_follows());
            process::exit_now(u8::from(removed.is_err()))
        }
        Forked::Parent(child) => child,
    };
    is_unlisted(name, &remover)
}

/// In the process that waits for it: nobody waits for that, nor for a file, a directory or the end of a stream that it holds.
fn remove_alone(name: &str) -> Result<(), SysError> {
    exec::close_from(0)?;
    inside::enter(dir::open_path("/")?)?;
    remove_here(name)
}

/// Waits until nobody finds the link, or `remover` has ended.
fn is_unlisted(name: &str, remover: &Child) -> Result<bool, SysError> {
    let mut talk = Talk::begin()?;
    loop {
        // The kernel answers this when it is done with unlisting, where it has begun that.
        if link(&mut talk, name)?.is_none() {
            return Ok(true);
        }
        let ended = watch::wait(&[(remover.pidfd.as_fd(), Wait::Readable)], Some(LOOK_AGAIN))?;
        if ended.first() == Some(&true) {
            return Ok(false);
        }
    }
}
