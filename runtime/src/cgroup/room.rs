//! Where the groups of a container of this process are made, and room there.
//!
//! A group that was given to a user and holds a process hands no controllers down. Where that process is this one alone
//! (`systemd-run -p Delegate=yes layerfs run …`, a service whose program is `layerfs`), it moves into a leaf of that group: so systemd
//! has it for whoever is given a group (CGROUP_DELEGATION of systemd.io), and it takes no right but the one that was given. It goes back when it
//! is the last there and nobody has made a group beside the leaf, who may use what is handed down; the group is then as it was.
//! Nothing was handed down before: the kernel lets no process step aside from what it hands down, not even of those controllers that may stand
//! beside one. So what is handed down later is ours, or of whoever made another group.
//!
//! Other processes are never moved: whose they are nobody here knows. That is an error with its cure.

use std::path::Path;

use layerfs_driver::sys::Errno;
use layerfs_driver::sys::host::{self, Rights};

use super::delegated::{self, Delegation, LEAF};
use super::error::CgroupError;
use super::group::{Group, is_gone};
use super::host::Host;
use super::place::{SHARED, TRIES_MAX};
use super::v2::{CONTROL, WANTED};

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
            Delegation::Alone(group) => match step_aside(&group, this()) {
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
                self.left = in_leaf(Group::top(&group)?)?;
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
            && let Err(error) = go_back(top, this())
        {
            tracing::debug!("this process stays in a group of its own: {error}");
        }
    }
}

fn this() -> u32 {
    std::process::id()
}

/// The group in whose leaf this process is. One that nobody is in was left by a command that was killed, and goes.
fn in_leaf(top: Group) -> Result<Option<Group>, CgroupError> {
    let Some(leaf) = top.below(LEAF)? else { return Ok(None) };
    let pids = leaf.pids()?;
    if pids.contains(&this()) {
        return Ok(Some(top));
    }
    if pids.is_empty()
        && let Err(error) = remove_left(&top)
    {
        tracing::debug!("what a command left stays: {error}");
    }
    Ok(None)
}

/// Moves a process that is alone in a group into the leaf, which a command that was killed may have left.
fn step_aside(group: &Path, pid: u32) -> Result<Group, CgroupError> {
    let top = Group::top(group)?;
    for tries in 1.. {
        match enter(&top, pid) {
            Ok(()) => break,
            // Another command takes away what was left.
            Err(CgroupError::Call { source, .. })
                if is_gone(source.errno()) && tries < TRIES_MAX => {}
            Err(error) => {
                remove_left(&top)?;
                return Err(error);
            }
        }
    }
    Ok(top)
}

fn enter(top: &Group, pid: u32) -> Result<(), CgroupError> {
    let leaf = top.make_or_open(LEAF)?;
    leaf.add(pid)
}

/// Removes the leaf, and what is below it, where no process is there; answers whether it is gone.
fn remove_left(top: &Group) -> Result<bool, CgroupError> {
    let Some(leaf) = top.below(LEAF)? else { return Ok(true) };
    match leaf.clear().and_then(|()| top.try_remove(LEAF)) {
        Err(error) if matches!(error.errno(), Errno::BUSY | Errno::NOTEMPTY) => Ok(false),
        removed => removed.map(|()| true).map_err(CgroupError::call("remove cgroup", leaf.path())),
    }
}

/// Moves a process back where it is the last in the leaf and no container is there. What was handed down meanwhile is taken back, unless
/// there is another group, which has it too: then the process stays.
fn go_back(top: &Group, pid: u32) -> Result<(), CgroupError> {
    let Some(leaf) = top.below(LEAF)? else { return Ok(()) };
    if leaf.pids()?.into_iter().ne([pid]) || top.below(SHARED)?.is_some() {
        return Ok(());
    }
    let handed = top.read(CONTROL)?;
    // Whoever made another one may use what that has. Nor is another controller ours.
    let is_others = top.children()?.iter().any(|name| **name != *LEAF.as_bytes())
        || handed.split_ascii_whitespace().any(|name| !WANTED.contains(&name));
    if !handed.trim().is_empty() && is_others {
        return Ok(());
    }
    for name in handed.split_ascii_whitespace() {
        top.tell(CONTROL, &format!("-{name}"))?;
    }
    top.add(pid)?;
    // Where it is busy yet the next command has it, or removes it.
    if !remove_left(top)? {
        tracing::debug!("{} is still in use", leaf.path().display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PID: u32 = 7;

    /// A made-up tree: a group that hands down `handed`, with a process in the leaf, and other groups beside that.
    fn made_up(handed: &str, beside: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for group in [LEAF].iter().chain(beside) {
            std::fs::create_dir(dir.path().join(group)).unwrap();
        }
        std::fs::write(dir.path().join(CONTROL), handed).unwrap();
        std::fs::write(dir.path().join("cgroup.procs"), "").unwrap();
        std::fs::write(dir.path().join(LEAF).join("cgroup.procs"), format!("{PID}\n")).unwrap();
        dir
    }

    #[test]
    fn what_others_may_use_is_not_taken_from_them() {
        for (handed, beside) in [
            ("cpu memory pids", &["theirs"][..]),
            ("memory", &["layerfs"]),
            // Nobody here has handed that down.
            ("hugetlb memory", &[]),
        ] {
            let dir = made_up(handed, beside);
            go_back(&Group::top(dir.path()).unwrap(), PID).unwrap();
            let read = |file| std::fs::read_to_string(dir.path().join(file)).unwrap();
            assert_eq!((&*read(CONTROL), &*read("cgroup.procs")), (handed, ""), "{beside:?}");
        }
    }
}
