//! A container's group in one hierarchy of version 1: what is written into it, and what it tells.

use super::devices;
use super::error::CgroupError;
use super::group::Group;
use super::host::Hierarchy;
use super::limits::{Limits, PERIOD_US};
use super::place::Place;

/// The group in one hierarchy.
#[derive(Debug)]
pub struct V1Group {
    /// The hierarchy's controllers.
    pub controllers: Vec<&'static str>,
    /// Its directory.
    pub place: Place,
}

impl V1Group {
    /// Makes the group. Fails with nothing made.
    pub fn make(hierarchy: &Hierarchy, id: &str) -> Result<V1Group, CgroupError> {
        let has_cpuset = hierarchy.controllers.contains(&"cpuset");
        let ready = |top: &Group, shared: &Group| match has_cpuset {
            true => inherit_cpuset(top, shared),
            false => Ok(()),
        };
        let place = Place::make(Group::top(&hierarchy.mount)?, id, ready)?;
        Ok(V1Group { controllers: hierarchy.controllers.clone(), place })
    }

    /// Finds the group of a container; `None` where there is none.
    pub fn find(hierarchy: &Hierarchy, id: &str) -> Result<Option<V1Group>, CgroupError> {
        let place = Place::find(Group::top(&hierarchy.mount)?, id)?;
        Ok(place.map(|place| V1Group { controllers: hierarchy.controllers.clone(), place }))
    }

    /// Whether the hierarchy has the controller.
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.contains(&controller)
    }

    /// Writes what of `limits` is this hierarchy's, and what every container gets.
    pub fn apply(&self, limits: &Limits) -> Result<(), CgroupError> {
        let own = &self.place.own;
        for controller in &self.controllers {
            match *controller {
                // A group without processors and memory nodes takes no process.
                "cpuset" => inherit_cpuset(self.place.shared(), own)?,
                "memory" => apply_memory(own, limits)?,
                "cpu" => apply_cpu(own, limits)?,
                "pids" => {
                    if let Some(count) = limits.pids_max {
                        own.set("pids.max", &count.to_string())?;
                    }
                }
                "devices" => devices::allow_only_ours(own)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Kills for want of memory so far; `None` where this hierarchy does not count them.
    pub fn oom_kills(&self) -> Result<Option<u64>, CgroupError> {
        if !self.has("memory") {
            return Ok(None);
        }
        let text = self.place.own.read("memory.oom_control")?;
        Ok(counted(&text, "oom_kill"))
    }
}

fn apply_memory(own: &Group, limits: &Limits) -> Result<(), CgroupError> {
    let Some(bytes) = limits.memory_bytes.map(|bytes| bytes.to_string()) else { return Ok(()) };
    own.set("memory.limit_in_bytes", &bytes)?;
    // Memory and swap together, never less than memory alone, so it is written second. Absent without swap accounting.
    own.set_if_there("memory.memsw.limit_in_bytes", &bytes)
}

fn apply_cpu(own: &Group, limits: &Limits) -> Result<(), CgroupError> {
    if let Some(shares) = limits.cpu_shares {
        own.set("cpu.shares", &shares.to_string())?;
    }
    if let Some(cpus) = limits.cpus {
        own.set("cpu.cfs_period_us", &PERIOD_US.to_string())?;
        own.set("cpu.cfs_quota_us", &cpus.quota_us.to_string())?;
    }
    Ok(())
}

/// Gives `group` the processors and memory nodes of the one above, where it has none of its own yet.
fn inherit_cpuset(above: &Group, group: &Group) -> Result<(), CgroupError> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if group.read(file)?.trim().is_empty() {
            let inherited = above.read(file)?;
            group.tell(file, inherited.trim())?;
        }
    }
    Ok(())
}

/// The number after `key` in a file of `key number` lines.
pub fn counted(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    line.and_then(|number| number.trim().parse().ok())
}
