//! A container's groups in one hierarchy of version 1: what is written into them, and what they tell.

use super::devices;
use super::error::CgroupError;
use super::group::Group;
use super::host::Hierarchy;
use super::io;
use super::limits::{Limits, PERIOD_US};
use super::place::Place;

/// The name of the group that holds the container's processes.
const PAYLOAD: &str = "payload";

/// The groups in one hierarchy: `<id>/`, where limits hold, and `<id>/payload/`, where they read right.
#[derive(Debug)]
pub struct V1Group {
    /// The hierarchy's controllers.
    pub controllers: Vec<&'static str>,
    /// `<id>/`.
    pub place: Place,
    payload: Option<Group>,
}

impl V1Group {
    /// Makes `<id>/`. Fails with nothing made.
    pub fn make(hierarchy: &Hierarchy, id: &str) -> Result<V1Group, CgroupError> {
        let has_cpuset = hierarchy.controllers.contains(&"cpuset");
        let ready = |top: &Group, shared: &Group| match has_cpuset {
            true => inherit_cpuset(top, shared),
            false => Ok(()),
        };
        let place = Place::make(Group::top(&hierarchy.mount)?, id, ready)?;
        Ok(V1Group { controllers: hierarchy.controllers.clone(), place, payload: None })
    }

    /// Makes `payload/`, after what has to stand in `<id>/` before there is a group below it. Where this fails, what there
    /// is goes with `<id>/`.
    pub fn make_payload(&mut self) -> Result<(), CgroupError> {
        let own = &self.place.own;
        for controller in &self.controllers {
            match *controller {
                // A group without processors and memory nodes takes no process.
                "cpuset" => inherit_cpuset(self.place.shared(), own)?,
                "memory" => count_what_is_below(own)?,
                // Taken over by groups below when they are made, and never more than here.
                "devices" => devices::allow_only_ours(own)?,
                _ => {}
            }
        }
        let payload = own.make(PAYLOAD)?;
        if self.has("cpuset") {
            inherit_cpuset(own, &payload)?;
        }
        self.payload = Some(payload);
        Ok(())
    }

    /// Finds the groups of a container; `None` where there are none.
    pub fn find(hierarchy: &Hierarchy, id: &str) -> Result<Option<V1Group>, CgroupError> {
        let Some(place) = Place::find(Group::top(&hierarchy.mount)?, id)? else { return Ok(None) };
        let payload = place.own.below(PAYLOAD)?;
        Ok(Some(V1Group { controllers: hierarchy.controllers.clone(), place, payload }))
    }

    /// The group of the container's processes.
    pub fn payload(&self) -> Option<&Group> {
        self.payload.as_ref()
    }

    /// Whether the hierarchy has the controller.
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.contains(&controller)
    }

    /// Writes what of `limits` is this hierarchy's.
    pub fn apply(&self, limits: &Limits) -> Result<(), CgroupError> {
        // The outer one first: a quota of processor time is refused beyond the one above.
        for group in [&self.place.own].into_iter().chain(&self.payload) {
            if self.has("memory") {
                apply_memory(group, limits)?;
            }
            if self.has("cpu") {
                apply_cpu(group, limits)?;
            }
            if self.has("devices") {
                devices::allow(group, &limits.devices)?;
            }
            if let Some(count) = limits.pids_max.filter(|_| self.has("pids")) {
                group.set("pids.max", &count.to_string())?;
            }
        }
        // The inner one first: none is narrower than those below it.
        for group in self.payload.iter().chain([&self.place.own]).filter(|_| self.has("cpuset")) {
            apply_cpuset(group, limits)?;
        }
        // Of processes in one group alone: those below have none of it.
        let payload = self.payload.iter().filter(|_| self.has("blkio"));
        payload.into_iter().try_for_each(|payload| apply_io(payload, limits))
    }

    /// Kills for want of memory so far; `None` where this hierarchy does not count them. Each group counts its own.
    pub fn oom_kills(&self) -> Result<Option<u64>, CgroupError> {
        let count = || self.place.own.sum("memory.oom_control", "oom_kill");
        self.has("memory").then(count).transpose()
    }
}

/// Makes a group's limit of memory hold for those below it. Kernels since 5.11 know no other way.
fn count_what_is_below(own: &Group) -> Result<(), CgroupError> {
    const FILE: &str = "memory.use_hierarchy";
    match own.read_if_there(FILE)? {
        Some(text) if text.trim() == "0" => own.set(FILE, "1"),
        _ => Ok(()),
    }
}

fn apply_memory(own: &Group, limits: &Limits) -> Result<(), CgroupError> {
    if let Some(bytes) = limits.memory_reservation_bytes {
        own.set("memory.soft_limit_in_bytes", &bytes.to_string())?;
    }
    let Some(bytes) = limits.memory_bytes.map(|bytes| bytes.to_string()) else { return Ok(()) };
    own.set("memory.limit_in_bytes", &bytes)?;
    // Memory and swap together, never less than memory alone, so it is written second. Absent without swap accounting, and
    // as large as can be where nothing was written.
    match limits.memory_and_swap().filter(|both| both != "-1") {
        Some(both) => own.set_if_there("memory.memsw.limit_in_bytes", &both),
        None => Ok(()),
    }
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

fn apply_cpuset(own: &Group, limits: &Limits) -> Result<(), CgroupError> {
    for (file, value) in
        [("cpuset.cpus", &limits.cpuset_cpus), ("cpuset.mems", &limits.cpuset_mems)]
    {
        if let Some(value) = value {
            own.set(file, value)?;
        }
    }
    Ok(())
}

fn apply_io(own: &Group, limits: &Limits) -> Result<(), CgroupError> {
    if let Some(weight) = limits.io_weight
        && !io::apply_weight(&[own], weight, 1)?
    {
        return Err(CgroupError::NoWeight);
    }
    io::apply_v1(own, &limits.io)
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
