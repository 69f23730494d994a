//! The process around a container: the first of a namespace of processes that lies between the host's and the container's.
//!
//! 1. The kernel ends it with the supervisor, however that ends, and with it everything in its namespace. It never changes its
//!    user, which would take that wish back: a container's first process may.
//! 2. Nobody in the container sees it, or could send it a signal.
//! 3. The container's first process is the supervisor's own child, as if nothing stood between.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::cgroup::Entry;
use crate::spec::Users;
use crate::start::PANIC_STATUS;
use crate::sys::process::{self, Child, EndsHere, Forked};
use crate::sys::{Errno, SysError, channel, exec, join, namespace, signals, watch};

/// What a message has room for.
const WORD_MAX: usize = 16;

/// How long it may take to end. What holds it up then is in no hand of ours, and ends without being waited for.
const END_MAX: Duration = Duration::from_secs(10);

/// How soon it is looked again who holds it up.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// It, from the supervisor's side. Dropped, it is ended, with whatever is still in it.
#[derive(Debug)]
pub(crate) struct Around(Option<Held>);

#[derive(Debug)]
struct Held {
    child: Child,
    /// When this closes it ends, too: a supervisor may have ended before it could ask the kernel.
    channel: OwnedFd,
}

impl Around {
    /// Starts it. The caller has one thread. Who is not root makes no namespace of processes without one of users: there is none
    /// around a container of such a caller's own users, and the process that serves its root ends it when the supervisor has gone.
    pub(crate) fn start(users: Users) -> Result<Self, SysError> {
        if let Users::Callers(_) = users {
            return Ok(Around(None));
        }
        let (ours, its) = channel::pair()?;
        match process::fork_into(namespace::PROCESSES)? {
            Forked::Child => {
                let _here = EndsHere { status: PANIC_STATUS };
                drop(ours);
                process::exit_now(u8::from(stand(&its).is_err()))
            }
            Forked::Parent(child) => Ok(Around(Some(Held { child, channel: ours }))),
        }
    }

    /// Makes a child of this process in new namespaces, those of processes within this one. As [`process::fork_into`].
    pub(crate) fn fork_within(
        &self,
        namespaces: i32,
        entry: &mut Entry<'_>,
    ) -> Result<Forked, SysError> {
        let Some(held) = &self.0 else {
            return entry.fork(|group| process::fork_into_group(namespaces, group));
        };
        let (ours, its) = channel::pair()?;
        let own = namespace::own_processes()?;
        join::join_processes(&held.child.pidfd)?;
        // A namespace of processes is made by who is in the one around it, and by nobody else.
        let between = process::fork_into(0);
        let between = match between {
            Ok(Forked::Child) => {
                let here = EndsHere { status: PANIC_STATUS };
                let made = entry.fork(|group| process::fork_beside_into_group(namespaces, group));
                return match made {
                    Ok(Forked::Child) => {
                        std::mem::forget(here);
                        Ok(Forked::Child)
                    }
                    made => process::exit_now(u8::from(tell(&its, made).is_err())),
                };
            }
            between => between,
        };
        drop(its);
        let back = join::join_processes(own);
        let made = between.and_then(|between| await_child(&ours, between));
        match (back, made) {
            (Err(error), Ok(Forked::Parent(child))) => {
                process::signal(&child.pidfd, signals::KILL)?;
                process::wait(&child.pidfd)?;
                Err(error)
            }
            (_, made) => made,
        }
    }

    /// Lets go of it, for a child of the supervisor's: by what that one held it would not hear that there is none any more.
    pub(crate) fn leave(mut self) {
        self.0 = None;
    }
}

impl Drop for Around {
    fn drop(&mut self) {
        let Some(Held { child, channel }) = self.0.take() else { return };
        drop(channel);
        let ended = process::signal(&child.pidfd, signals::KILL);
        if let Err(error) = ended.and_then(|()| await_end(&child)) {
            tracing::warn!("end the process around the container: {error}");
        }
    }
}

/// Waits for it. The kernel lets it end when nobody is in its namespace any more, and who has ended there is there until its
/// parent has waited for it: that is this process for whom it was made beside another that could not tell of it.
fn await_end(around: &Child) -> Result<(), SysError> {
    let until = Instant::now() + END_MAX;
    while !watch::wait(&[(around.pidfd.as_fd(), watch::Until::Readable)], Some(LOOK_AGAIN))?[0] {
        process::reap_below(around.pid)?;
        if Instant::now() > until {
            return Err(SysError::new("waitid", "its namespace".to_owned(), Errno::TIMEDOUT));
        }
    }
    process::wait(&around.pidfd).map(drop)
}

/// Does nothing until the supervisor is gone, and holds nothing of its.
fn stand(supervisor: &OwnedFd) -> Result<(), SysError> {
    process::die_with_parent()?;
    exec::close_whole_but(supervisor.as_fd())?;
    while channel::receive(supervisor, WORD_MAX)?.is_some() {}
    Ok(())
}

/// Hands the supervisor the child that was made for it, or says why there is none.
pub(crate) fn tell(supervisor: &OwnedFd, made: Result<Forked, SysError>) -> Result<(), SysError> {
    match made {
        Ok(Forked::Parent(child)) => channel::send(supervisor, b"f", Some(child.pidfd.as_fd())),
        Ok(Forked::Child) => Ok(()),
        Err(error) => channel::send(supervisor, &error.errno().raw_os_error().to_ne_bytes(), None),
    }
}

/// Takes the child that the process between has made, and waits for that process's end.
pub(crate) fn await_child(channel: &OwnedFd, between: Forked) -> Result<Forked, SysError> {
    let told = channel::receive(channel, WORD_MAX);
    if let Forked::Parent(between) = between {
        process::wait(&between.pidfd)?;
    }
    child(told?)
}

fn child(told: Option<(Vec<u8>, Option<OwnedFd>)>) -> Result<Forked, SysError> {
    match told {
        // To who made it it has another number.
        Some((_, Some(pidfd))) => {
            Ok(Forked::Parent(Child { pid: process::number_of(&pidfd)?, pidfd }))
        }
        Some((errno, None)) => {
            let errno = errno
                .try_into()
                .map_or(Errno::IO, |errno| Errno::from_raw_os_error(i32::from_ne_bytes(errno)));
            Err(SysError::new("clone3", "new namespaces".to_owned(), errno))
        }
        None => Err(SysError::of_deed("clone3", "the process around the container was killed")),
    }
}
