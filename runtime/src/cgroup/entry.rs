//! Groups that a new process of ours is in from the beginning, or goes into by itself.
//!
//! Who is moved by its number waits until each processor has passed a quiet point (a grace period of RCU): 5 to 12 ms on a machine
//! at rest, half of a container's start, for the kernel keeps it from making threads and programs meanwhile. It waits for nothing where
//! a process begins in its group (`CLONE_INTO_CGROUP`, version 2) and where a thread moves itself (`0` in `tasks`, version 1).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use layerfs_driver::sys::host;

use super::container::Cgroup;
use super::error::CgroupError;
use super::group::Group;
use super::v1::V1Group;
use super::v2::{CONTROLLERS, V2Group, lists};
use crate::sys::process::Forked;
use crate::sys::{SysError, control};

/// The kernel that gives who begins in a group its processors (Linux commit 42a11bf5c543).
const FIXED: (u32, u32) = (6, 3);

/// What a process is to go into.
#[derive(Debug, Default)]
pub struct Entry<'a> {
    /// The lists of threads of version 1's groups.
    tasks: Vec<OwnedFd>,
    /// The group of version 2, where the process is to begin; taken away where it did not.
    group: Option<BorrowedFd<'a>>,
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
        let of_v1 = self.v1.iter().find(|group| self.is_servers(group));
        Entry::of(of_v1.and_then(V1Group::payload).into_iter(), leaf)
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
        let apart = |error: &dyn std::fmt::Display| {
            tracing::debug!("nothing goes into its groups by itself: {error}");
            Entry::default()
        };
        match v2.map_or(Ok(true), |group| processors_follow(group, &host::kernel().0)) {
            Ok(true) => {}
            Ok(false) => return apart(&"its processors and memory nodes would not be the group's"),
            Err(error) => return apart(&error),
        }
        match v1.map(|group| control::open_to_write(&group.dir, "tasks")).collect() {
            Ok(tasks) => Entry { tasks, group: v2.map(|v2| v2.dir.as_fd()), is_whole: true },
            Err(error) => apart(&error),
        }
    }

    /// What the new process does, which has one thread: it goes into the groups of version 1. Answers whether it is in all groups.
    pub(crate) fn join(self) -> bool {
        self.is_whole && self.tasks.iter().all(|tasks| control::tell(tasks, "0").is_ok())
    }

    /// Has `fork` make the process in its group of version 2, and anywhere where the kernel refuses that. Both processes know which.
    pub(crate) fn fork(
        &mut self,
        fork: impl Fn(Option<BorrowedFd<'_>>) -> Result<Forked, SysError>,
    ) -> Result<Forked, SysError> {
        if let Some(group) = self.group {
            match fork(Some(group)) {
                Err(error) => tracing::debug!("no process begins in its group: {error}"),
                made => return made,
            }
            (self.group, self.is_whole) = (None, false);
        }
        fork(None)
    }
}

/// Whether who begins in a group has its processors and memory nodes. Older kernels give it those of its parent, and it never gets the
/// group's, for it is there; no kernel gives its parent's policy of memory (`set_mempolicy(2)`) the nodes
/// of the group, as of who is moved.
fn processors_follow(group: &Group, release: &str) -> Result<bool, CgroupError> {
    if !lists(&group.read(CONTROLLERS)?, "cpuset") {
        return Ok(true);
    }
    let has_nodes =
        group.read_if_there("cpuset.mems")?.is_some_and(|nodes| !nodes.trim().is_empty());
    let has_fix = host::version_of(release).is_some_and(|version| version >= FIXED);
    Ok(!has_nodes && has_fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_would_keep_its_parents_processors_does_not_begin_in_a_group() {
        let dir = tempfile::tempdir().unwrap();
        let group = Group::top(dir.path()).unwrap();
        let follow = |controllers: &str, nodes: &str, release: &str| {
            std::fs::write(dir.path().join(CONTROLLERS), controllers).unwrap();
            std::fs::write(dir.path().join("cpuset.mems"), nodes).unwrap();
            processors_follow(&group, release).unwrap()
        };
        for release in ["5.10.0-30-amd64", "6.1.0-26-amd64", "6.2.16", "6", "unknown"] {
            assert!(!follow("cpuset cpu io\n", "\n", release), "{release}");
            assert!(follow("cpu io\n", "\n", release), "{release}");
        }
        for release in ["6.3.0", "6.12.0-1", "7.0-rc1"] {
            assert!(follow("cpuset cpu io\n", "\n", release), "{release}");
            assert!(!follow("cpuset cpu io\n", "0\n", release), "{release}");
        }
    }
}
