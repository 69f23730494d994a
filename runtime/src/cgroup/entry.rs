//! Groups that a new process of ours is in from the beginning, or goes into by itself.
//!
//! Who is moved by its number waits until each processor has passed a quiet point (a grace period of RCU): 5 to 12 ms on a machine
//! at rest, half of a container's start, for the kernel keeps it from making threads and programs meanwhile. It waits for nothing where
//! a process begins in its group (`CLONE_INTO_CGROUP`, version 2) and where a thread moves itself (`0` in `tasks`, version 1).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::container::Cgroup;
use super::error::CgroupError;
use super::group::Group;
use super::v1::V1Group;
use super::v2::V2Group;
use crate::sys::control;

/// What a process is to go into.
#[derive(Debug, Default)]
pub struct Entry<'a> {
    /// The lists of threads of version 1's groups.
    tasks: Vec<OwnedFd>,
    /// The group of version 2, for whoever makes the process; taken away where it did not begin there.
    pub(crate) group: Option<BorrowedFd<'a>>,
    /// Whether these are all.
    is_whole: bool,
}

impl Cgroup {
    /// Where a process of the container goes. What it can't go into by itself is left to [`Cgroup::add_payload`].
    pub fn payload_entry(&self) -> Entry<'_> {
        let leaf = self.v2.as_ref().and_then(V2Group::payload);
        Entry::of(self.v1.iter().filter_map(V1Group::payload), leaf)
    }

    /// The same of the server, and [`Cgroup::add_server`].
    pub fn server_entry(&self) -> Entry<'_> {
        let leaf = self.v2.as_ref().and_then(V2Group::server);
        let of_v1 = self.v1.iter().filter(|group| self.is_servers(group));
        Entry::of(of_v1.filter_map(V1Group::payload), leaf)
    }

    /// [`Cgroup::add_payload`] for who is not there by itself.
    pub fn move_payload(&self, pid: u32) -> Result<(), CgroupError> {
        tracing::debug!("process {pid} of the container is moved into its groups");
        self.add_payload(pid)
    }

    /// [`Cgroup::add_server`] for who is not there by itself.
    pub fn move_server(&self, pid: u32) -> Result<(), CgroupError> {
        tracing::debug!("the server {pid} is moved into its groups");
        self.add_server(pid)
    }
}

impl<'a> Entry<'a> {
    fn of(v1: impl Iterator<Item = &'a Group>, v2: Option<&'a Group>) -> Self {
        let tasks: Result<Vec<OwnedFd>, _> =
            v1.map(|group| control::open_to_write(&group.dir, "tasks")).collect();
        let is_whole = tasks.is_ok();
        Entry { tasks: tasks.unwrap_or_default(), group: v2.map(|v2| v2.dir.as_fd()), is_whole }
    }

    /// What the new process does, which has one thread: it goes into the groups of version 1. Answers whether it is in all groups.
    pub(crate) fn join(self) -> bool {
        self.is_whole && self.tasks.iter().all(|tasks| control::tell(tasks, "0").is_ok())
    }

    /// Says that it did not begin in its group of version 2.
    pub(crate) fn refuse_group(&mut self) {
        (self.group, self.is_whole) = (None, false);
    }
}
