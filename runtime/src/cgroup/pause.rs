//! A container that stands still until it is told to go on, whoever told it so lives on or not.
//!
//! It is the leaf of its processes that is frozen for that, and the group above for whoever needs it still for a moment: who
//! lets that one go on lets no paused container go on.

use std::time::Duration;

use super::container::Cgroup;
use super::error::CgroupError;
use super::frozen::{Frozen, Stands};
use super::v1::V1Group;
use super::v2::V2Group;

/// How long a process may take to stand still: one that waits for a disk does when it has what it waits for.
const STILL_MAX: Duration = Duration::from_secs(10);

impl Cgroup {
    /// Whether it was paused.
    pub fn is_paused(&self) -> Result<bool, CgroupError> {
        self.leaf().map_or(Ok(false), |leaf| leaf.is_told_to())
    }

    /// Stops every process of the container; the server of its file system goes on. Where it can't be stopped it goes on.
    pub fn pause(&self) -> Result<(), CgroupError> {
        let leaf = self.leaf().ok_or(CgroupError::NoFreezer)?;
        let frozen = match leaf.freeze(STILL_MAX) {
            Ok(Stands::Still) => return Ok(()),
            Ok(Stands::NotYet) => CgroupError::NotStill(leaf.group.path().to_path_buf()),
            Err(error) => error,
        };
        if let Err(error) = leaf.thaw() {
            tracing::error!("the container stays paused: {error}");
        }
        Err(frozen)
    }

    /// Lets them go on.
    pub fn unpause(&self) -> Result<(), CgroupError> {
        self.leaf().map_or(Ok(()), |leaf| leaf.thaw())
    }

    /// The leaf that is frozen: that of version 1, where there is one.
    fn leaf(&self) -> Option<Frozen<'_>> {
        let mut freezers = self.v1.iter().filter(|group| group.has("freezer"));
        let of_v1 = freezers.find_map(V1Group::payload).map(Frozen::of_v1);
        of_v1.or_else(|| self.v2.as_ref().and_then(V2Group::payload).map(Frozen::of_v2))
    }
}
