//! A container that stands still until it is told to go on, whoever told it so lives on or not.
//!
//! It is the leaf of its processes that is frozen for that, and the group above for whoever needs it still for a moment: who
//! lets that one go on lets no paused container go on.

use super::container::Cgroup;
use super::error::CgroupError;
use super::group::Group;
use super::v1::V1Group;
use super::v2::V2Group;

impl Cgroup {
    /// Whether it was paused.
    pub fn is_paused(&self) -> Result<bool, CgroupError> {
        for (leaf, file) in self.leaves("freezer.self_freezing") {
            if leaf.read_if_there(file)?.is_some_and(|text| text.trim() == "1") {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The leaves that can be frozen, each with a file: the given one in version 1, the one of version 2.
    fn leaves<'a>(
        &'a self,
        of_v1: &'static str,
    ) -> impl Iterator<Item = (&'a Group, &'static str)> {
        let freezers = self.v1.iter().filter(|group| group.has("freezer"));
        let first = freezers.filter_map(V1Group::payload).map(move |group| (group, of_v1));
        let leaf = self.v2.as_ref().and_then(V2Group::payload);
        first.chain(leaf.map(|group| (group, "cgroup.freeze")))
    }
}
