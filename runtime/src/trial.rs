//! What containers want of the kernel, tried without making one.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};

use crate::spec::IdRange;
use crate::start::PANIC_STATUS;
use crate::sys::process::{self, Child, EndsHere, Forked};
use crate::sys::{SysError, channel, exec, mounts, namespace};

/// Users of its own, as a container has them.
#[derive(Debug)]
pub struct OwnUsers {
    child: Child,
    /// When this closes the child ends.
    channel: Option<OwnedFd>,
}

impl OwnUsers {
    /// Makes a user namespace that has the ids from `first` on. The caller has one thread.
    pub fn make(first: u32) -> Result<Self, SysError> {
        let (ours, its) = channel::pair()?;
        match process::fork_into(namespace::USERS)? {
            Forked::Child => {
                let _here = EndsHere { status: PANIC_STATUS };
                drop(ours);
                let waited = exec::close_whole_but(its.as_fd())
                    .and_then(|()| channel::receive(&its, 1).map(drop));
                process::exit_now(u8::from(waited.is_err()))
            }
            Forked::Parent(child) => {
                let users = OwnUsers { child, channel: Some(ours) };
                namespace::give_ids(users.child.pid, first, IdRange::LEN)?;
                Ok(users)
            }
        }
    }

    /// Whether what lies at a place of the host's can be shown to them.
    pub fn show(&self, place: &OsStr) -> Result<(), SysError> {
        let mount = mounts::clone_path(place)?;
        mounts::show_ids(&mount, namespace::users_of(self.child.pid)?)
    }
}

impl Drop for OwnUsers {
    fn drop(&mut self) {
        self.channel = None;
        if let Err(error) = process::wait(&self.child.pidfd) {
            tracing::debug!("wait for who tried users of its own: {error}");
        }
    }
}
