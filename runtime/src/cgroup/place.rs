//! A container's place in one hierarchy, or in the part of one that a user was given: `/layerfs/<id>`, of which `/layerfs` is shared by all containers.

use layerfs_driver::sys::{Errno, SysError};

use super::error::CgroupError;
use super::group::{Group, is_gone};

/// The directory that holds all groups of ours: of root's right in the hierarchy, never below the group this process is in, which
/// belongs to whoever supervises us; of a user's in a group that was given to that user.
pub(super) const SHARED: &str = "layerfs";

/// How often another command may remove a directory just before we enter it, or make ours in it.
pub(super) const TRIES_MAX: u32 = 100;

/// The groups on the way to a container's own, and that one.
#[derive(Debug)]
pub struct Place {
    top: Group,
    shared: Group,
    /// The container's own.
    pub own: Group,
}

impl Place {
    /// Makes a container's group. `ready` prepares the shared directory, made or found, before the group is made in it.
    /// Fails with nothing made.
    pub fn make(
        top: Group,
        id: &str,
        ready: impl Fn(&Group, &Group) -> Result<(), CgroupError>,
    ) -> Result<Place, CgroupError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match attempt(&top, id, &ready) {
                Ok((shared, own)) => return Ok(Place { top, shared, own }),
                Err(CgroupError::Call { source, .. })
                    if is_gone(source.errno()) && tries < TRIES_MAX => {}
                Err(error) => {
                    leave(&top)
                        .map_err(CgroupError::call("remove cgroup", &top.path().join(SHARED)))?;
                    return Err(error);
                }
            }
        }
    }

    /// Finds a container's group; `None` where there is none.
    pub fn find(top: Group, id: &str) -> Result<Option<Place>, CgroupError> {
        let Some(shared) = top.below(SHARED)? else { return Ok(None) };
        let own = shared.below(id)?;
        Ok(own.map(|own| Place { top, shared, own }))
    }

    /// The top of the hierarchy, or of the part.
    pub fn top(&self) -> &Group {
        &self.top
    }

    /// The directory that is shared by all containers.
    pub fn shared(&self) -> &Group {
        &self.shared
    }

    /// Removes the container's group and all below it if they are empty, and the shared directory with the last one.
    pub fn try_remove(&self, id: &str) -> Result<(), SysError> {
        self.own.clear()?;
        self.shared.try_remove(id)?;
        leave(&self.top)
    }
}

fn attempt(
    top: &Group,
    id: &str,
    ready: impl Fn(&Group, &Group) -> Result<(), CgroupError>,
) -> Result<(Group, Group), CgroupError> {
    let shared = top.make_or_open(SHARED)?;
    ready(top, &shared)?;
    let own = match shared.make_closed(id) {
        Err(CgroupError::Call { source, path, .. }) if source.errno() == Errno::EXIST => {
            return Err(CgroupError::Exists(path));
        }
        own => own?,
    };
    Ok((shared, own))
}

/// Removes the shared directory unless a container's group is in it.
fn leave(top: &Group) -> Result<(), SysError> {
    match top.try_remove(SHARED) {
        Err(error) if matches!(error.errno(), Errno::BUSY | Errno::NOTEMPTY) => Ok(()),
        other => other,
    }
}
