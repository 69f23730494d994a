//! Work of this program as root of users of its caller's own: among them are those that files of containers belong to.

use std::os::fd::OwnedFd;

use crate::outside;
use crate::spec::{CallersIds, Users};
use crate::start::{PANIC_STATUS, RunError};
use crate::sys::process::{self, Ended, EndsHere, Forked};
use crate::sys::{SysError, channel, identity, namespace, signals};

/// Has a process do it that is root of those users, and waits until it has ended; it answers its exit status, and ends with this
/// one. The caller has one thread.
pub fn as_root(ids: CallersIds, deed: impl FnOnce() -> u8) -> Result<Ended, RunError> {
    let (ours, its) = channel::pair().map_err(RunError::Process)?;
    match process::fork_into(namespace::USERS).map_err(RunError::NoUsers)? {
        Forked::Child => {
            let _here = EndsHere { status: PANIC_STATUS };
            drop(ours);
            let status = match become_root(&its, ids) {
                Ok(true) => deed(),
                // The other end has told why.
                Ok(false) | Err(_) => PANIC_STATUS,
            };
            process::exit_now(status)
        }
        Forked::Parent(child) => {
            drop(its);
            let given = outside::give_callers_ids(child.pid, ids)
                .and_then(|()| channel::send(&ours, b"g", None).map_err(RunError::Process));
            if given.is_err() {
                process::signal(&child.pidfd, signals::KILL).map_err(RunError::Process)?;
            }
            let ended = process::wait(&child.pidfd).map_err(RunError::Process);
            given.and(ended)
        }
    }
}

/// Whether it is root now; not where the caller gave no ids.
fn become_root(word: &OwnedFd, ids: CallersIds) -> Result<bool, SysError> {
    if channel::receive(word, 1)?.is_none() {
        return Ok(false);
    }
    identity::become_user((0, 0), &[], Users::Callers(ids).groups())?;
    // The change of ids would take it back.
    process::die_with_parent()?;
    Ok(true)
}
