//! Where the groups of a container of this process are made, and room there.
//!
//! A group that was given to a user and holds a process hands no controllers down. Where that process is this one alone
//! (`systemd-run -p Delegate=yes layerfs run …`, a service whose program is `layerfs`), it moves into a leaf of that group: so systemd
//! has it for whoever is given a group (CGROUP_DELEGATION of systemd.io), and it takes no right but the one that was given. It goes back when it
//! is the last there, and the group is as it was.
//!
//! Other processes are never moved: whose they are nobody here knows. That is an error with its cure.

use std::path::Path;

use layerfs_driver::sys::Errno;
use layerfs_driver::sys::host::{self, Rights};

use super::delegated::{self, Delegation, LEAF};
use super::error::CgroupError;
use super::group::Group;
use super::host::Host;
use super::place::SHARED;
use super::v2::{CONTROL, WANTED, lists};

/// This machine's hierarchies, and what of them is this process's to use. Dropped when the groups that were made there are gone.
#[derive(Debug)]
pub struct Room {
    host: Host,
    /// The group that this process left for a leaf of it.
    left: Option<Group>,
}

impl Room {
    /// Looks for it, and makes it where this process alone is in the way.
    pub fn find() -> Result<Room, CgroupError> {
        let mut room = Room { host: Host::read()?, left: None };
        let rights = host::rights().map_err(CgroupError::call("look at", Path::new("/proc/self")));
        if let (Rights::User, Some(mount)) = (rights?, room.host.v2.clone()) {
            room.take(&mount)?;
        }
        Ok(room)
    }

    /// What the machine has, and of whom.
    pub fn host(&self) -> &Host {
        &self.host
    }

    fn take(&mut self, mount: &Path) -> Result<(), CgroupError> {
        self.host.delegation = match delegated::of_caller(mount)? {
            Delegation::Alone(group) => match step_aside(&group) {
                Ok(top) => {
                    self.left = Some(top);
                    Delegation::Below(group)
                }
                Err(error) => {
                    tracing::debug!("no room in {}: {error}", group.display());
                    Delegation::Occupied(group)
                }
            },
            // The command that started this one has made room.
            Delegation::Below(group) => {
                let top = Group::top(&group)?;
                let is_in = |leaf: Group| leaf.pids().map(|pids| pids.contains(&this()));
                if top.below(LEAF)?.map_or(Ok(false), is_in)? {
                    self.left = Some(top);
                }
                Delegation::Below(group)
            }
            other => other,
        };
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(top) = &self.left
            && let Err(error) = go_back(top)
        {
            tracing::debug!("this process stays in a group of its own: {error}");
        }
    }
}

fn this() -> u32 {
    std::process::id()
}

/// Moves this process into the leaf.
fn step_aside(group: &Path) -> Result<Group, CgroupError> {
    let top = Group::top(group)?;
    let leaf = match top.make(LEAF) {
        Err(CgroupError::Call { source, .. }) if source.errno() == Errno::EXIST => {
            top.below(LEAF)?.ok_or(CgroupError::Exists(group.join(LEAF)))?
        }
        made => made?,
    };
    match leaf.add(this()) {
        Ok(()) => Ok(top),
        Err(error) => {
            top.try_remove(LEAF).map_err(CgroupError::call("remove cgroup", leaf.path()))?;
            Err(error)
        }
    }
}

/// Moves it back where it is the last in the leaf and no container is there any more. What it handed down it takes back: no process
/// may be beside that.
fn go_back(top: &Group) -> Result<(), CgroupError> {
    let Some(leaf) = top.below(LEAF)? else { return Ok(()) };
    if leaf.pids()?.into_iter().ne([this()]) || top.below(SHARED)?.is_some() {
        return Ok(());
    }
    let handed = top.read(CONTROL)?;
    for name in WANTED.into_iter().filter(|name| lists(&handed, name)) {
        top.tell(CONTROL, &format!("-{name}"))?;
    }
    top.add(this())?;
    top.try_remove(LEAF).map_err(CgroupError::call("remove cgroup", leaf.path()))
}
