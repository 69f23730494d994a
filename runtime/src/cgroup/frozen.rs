//! One group that is frozen, or is going to be.

use std::time::{Duration, Instant};

use super::empty::pause;
use super::error::CgroupError;
use super::group::Group;

/// A group, and the words by which its version freezes one.
pub struct Frozen<'a> {
    pub(super) group: &'a Group,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
    /// Who stands still by version 1 is not counted by version 2 any more.
    TwoBesideOne,
}

/// Whether it came to stand still in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    Still,
    NotYet,
}

impl<'a> Frozen<'a> {
    /// One of version 1.
    pub fn of_v1(group: &'a Group) -> Self {
        Frozen { group, version: Version::One }
    }

    /// One of version 2.
    pub fn of_v2(group: &'a Group) -> Self {
        Frozen { group, version: Version::Two }
    }

    /// One of version 2 where the same processes are frozen by version 1 as well.
    pub fn of_v2_beside(group: &'a Group) -> Self {
        Frozen { group, version: Version::TwoBesideOne }
    }

    /// Waits for it a while; version 1 wants to be told again when a process forked meanwhile.
    pub fn freeze(&self, within: Duration) -> Result<Stands, CgroupError> {
        let until = Instant::now() + within;
        loop {
            self.tell(Group::tell, "FROZEN", "1")?;
            if self.is_still()? {
                return Ok(Stands::Still);
            }
            if Instant::now() >= until {
                return Ok(Stands::NotYet);
            }
            pause();
        }
    }

    /// With those below, which the container may have frozen itself: in version 1 who is frozen does not even die.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        self.tell(Group::tell_all, "THAWED", "0")
    }

    /// This one alone.
    pub fn thaw_own(&self) -> Result<(), CgroupError> {
        self.tell(Group::tell, "THAWED", "0")
    }

    /// Whether this very group was told to stand still, and not only one above it.
    pub fn is_told_to(&self) -> Result<bool, CgroupError> {
        let file = match self.version {
            Version::One => "freezer.self_freezing",
            Version::Two | Version::TwoBesideOne => "cgroup.freeze",
        };
        Ok(self.group.read_if_there(file)?.is_some_and(|text| text.trim() == "1"))
    }

    fn is_still(&self) -> Result<bool, CgroupError> {
        Ok(match self.version {
            Version::One => self.group.read("freezer.state")?.trim() == "FROZEN",
            Version::Two => {
                self.group.read("cgroup.events")?.lines().any(|line| line == "frozen 1")
            }
            Version::TwoBesideOne => true,
        })
    }

    fn tell(
        &self,
        how: fn(&Group, &str, &str) -> Result<(), CgroupError>,
        of_v1: &str,
        of_v2: &str,
    ) -> Result<(), CgroupError> {
        match self.version {
            Version::One => how(self.group, "freezer.state", of_v1),
            Version::Two | Version::TwoBesideOne => how(self.group, "cgroup.freeze", of_v2),
        }
    }
}
