//! A process that stands in for a container of a user's that does not run: it has its tree for root, and does nothing. Who has to work
//! on the files goes there as to those of one that runs.
//!
//! 1. It is root of the caller's users, among whom alone a caller who is not root may mount.
//! 2. It ends with the caller, however that ends, and with it its mount; the process that serves that sees it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use layerfs_driver::sys::file;

use crate::build::{self, SetupError};
use crate::outside;
use crate::served;
use crate::spec::{CallersIds, Users};
use crate::start::{PANIC_STATUS, RunError, Server, said};
use crate::sys::mounts::{self, Attributes};
use crate::sys::process::{self, Child, EndsHere, Forked};
use crate::sys::{SysError, channel, exec, identity, namespace, signals, terminal};

/// The word that the tree is there; anything else is why it is not.
const READY: &[u8] = b"r";

/// It, from the caller's side. Dropped, it is ended.
#[derive(Debug)]
pub struct StandIn {
    child: Child,
    /// When this closes it ends, too: a caller may have ended before the kernel could be asked.
    channel: OwnedFd,
    /// Held until then: by its closing the serving process knows that this process is gone, or that nothing comes.
    to_server: OwnedFd,
}

impl StandIn {
    /// Starts it, and returns when its root is the tree that `server` serves, called `source`. The caller has one thread.
    pub fn start(server: Server, source: &str, ids: CallersIds) -> Result<Self, RunError> {
        let Server { channel: to_server, .. } = server;
        let (ours, its) = channel::pair().map_err(RunError::Process)?;
        let namespaces = namespace::USERS | namespace::PROCESSES_AND_MOUNTS;
        let child = match process::fork_into(namespaces).map_err(RunError::NoUsers)? {
            Forked::Child => {
                let _here = EndsHere { status: PANIC_STATUS };
                drop(ours);
                let stood = stand(&its, to_server, (source, ids));
                if let Err(error) = &stood {
                    build::tell(&its, error);
                }
                process::exit_now(u8::from(stood.is_err()))
            }
            Forked::Parent(child) => child,
        };
        drop(its);
        let stand_in = StandIn { child, channel: ours, to_server };
        stand_in.settle(ids)?;
        Ok(stand_in)
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.pid
    }

    /// Gives it its ids, and waits until it is where it should be.
    fn settle(&self, ids: CallersIds) -> Result<(), RunError> {
        served::hand_first(&self.to_server, &self.child.pidfd).map_err(RunError::Process)?;
        outside::give_callers_ids(self.child.pid, ids)?;
        channel::send(&self.channel, b"g", None).map_err(RunError::Process)?;
        let heard = channel::receive(&self.channel, build::MESSAGE_MAX);
        match heard.map_err(RunError::Process)? {
            Some((words, _)) if words == READY => Ok(()),
            Some((words, _)) => Err(said(&words)),
            None => Err(RunError::Entering),
        }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let ended = process::signal(&self.child.pidfd, signals::KILL);
        if let Err(error) = ended.and_then(|()| process::wait(&self.child.pidfd)) {
            tracing::warn!("end the process that holds a container's tree: {error}");
        }
    }
}

/// The process itself: it holds nothing of the caller's.
fn stand(
    caller: &OwnedFd,
    server: OwnedFd,
    (source, ids): (&str, CallersIds),
) -> Result<(), SetupError> {
    let deed = |deed: &'static str| {
        move |source: SysError| SetupError::Refused { deed: deed.to_owned(), source }
    };
    process::die_with_parent()
        .and_then(|()| terminal::new_session())
        .and_then(|()| exec::take_streams(file::open_device("/dev/null")?))
        .map_err(deed("begin"))?;
    // As the user: root of its users may be in none of the groups that may open it.
    let device = build::open_device()?;
    if channel::receive(caller, 1).map_err(deed("wait for the ids"))?.is_none() {
        return Err(SetupError::Alone);
    }
    identity::become_user((0, 0), &[], Users::Callers(ids).groups())
        // The change of ids has taken it back.
        .and_then(|()| process::die_with_parent())
        .and_then(|()| mounts::make_all_private())
        .map_err(deed("become root of the container"))?;
    let attributes = Attributes::NO_SUID.and(Attributes::NO_DEV);
    let root = build::mount_served((source, attributes), device, (&server, Path::new("/")))?;
    mounts::pivot(&root).map_err(deed("change the root"))?;
    // Their numbers are closed below, and must not be once more.
    drop((root, server));
    exec::close_all_but(caller.as_fd())
        .and_then(|()| channel::send(caller, READY, None))
        .map_err(deed("say that the tree is there"))?;
    while channel::receive(caller, 1).map_err(deed("wait for the end"))?.is_some() {}
    Ok(())
}
