//! Other limits for a container that runs.
//!
//! 1. A group is never allowed more than the one above it where the kernel refuses that: what grows is written above first,
//!    what shrinks below first.
//! 2. What was limited and is not any more gets what it would have had without a word.
//! 3. Where a step is refused, those before it are taken back.

use super::container::Cgroup;
use super::error::CgroupError;
use super::group::Group;
use super::host::Host;
use super::io;
use super::limits::{Cpus, Limits, PERIOD_US, weight_of_shares};
use super::v1::V1Group;
use super::v2::V2Group;
use super::words;

use layerfs_driver::sys::Errno;

/// The weight of who was given none.
const SHARES: u64 = 1024;
/// No limit, as version 1 and version 2 have it.
const NONE_V1: &str = "-1";
const NONE_V2: &str = "max";

impl Cgroup {
    /// Has `new` limits hold where `old` ones do. Those of single disks stay what they are.
    pub fn update(&mut self, old: &Limits, new: &Limits) -> Result<(), CgroupError> {
        if let Some(group) = &mut self.v2 {
            group.ask_controllers()?;
        }
        // What does not change may be there by an earlier kernel's or mount's grace.
        self.check(&Host::read()?, &changed(old, new), &[])?;
        let refused = match self.change(old, new) {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        if let Err(error) = self.change(new, old) {
            tracing::error!("the container keeps a part of its new limits: {error}");
        }
        Err(refused)
    }

    /// Waits until nobody else changes the limits of this container. It lasts until this is dropped, holds up nobody who stops the
    /// processes, and is of a directory that the container never sees: one that it holds itself would be waited for without end.
    pub fn wait_to_update(&self) -> Result<(), CgroupError> {
        let is_free = |group: &&V1Group| !group.has("freezer");
        let of_v1 = self.v1.iter().find(is_free).map(|group| &group.place.own);
        let group = of_v1.or_else(|| self.places().next_back().map(|place| &place.own));
        group.map_or(Ok(()), Group::lock)
    }

    fn change(&self, old: &Limits, new: &Limits) -> Result<(), CgroupError> {
        self.v1.iter().try_for_each(|group| change_v1(group, old, new))?;
        self.v2.iter().try_for_each(|group| change_v2(group, old, new))
    }
}

/// Those of the new limits that are not the old ones.
fn changed(old: &Limits, new: &Limits) -> Limits {
    let mut changed = new.clone();
    let forget = |same: bool, limit: &mut Option<u64>| {
        if same {
            *limit = None;
        }
    };
    forget(!memory_differs(old, new), &mut changed.memory_bytes);
    forget(
        old.memory_reservation_bytes == new.memory_reservation_bytes,
        &mut changed.memory_reservation_bytes,
    );
    forget(old.io_weight == new.io_weight, &mut changed.io_weight);
    forget(old.cpu_shares == new.cpu_shares, &mut changed.cpu_shares);
    forget(old.pids_max == new.pids_max, &mut changed.pids_max);
    changed.cpus = new.cpus.filter(|_| old.cpus != new.cpus);
    changed.cpuset_cpus = new.cpuset_cpus.clone().filter(|_| old.cpuset_cpus != new.cpuset_cpus);
    changed.cpuset_mems = new.cpuset_mems.clone().filter(|_| old.cpuset_mems != new.cpuset_mems);
    changed.io.clear();
    changed.devices.clear();
    changed
}

fn memory_differs(old: &Limits, new: &Limits) -> bool {
    (old.memory_bytes, old.swap) != (new.memory_bytes, new.swap)
}

fn change_v1(group: &V1Group, old: &Limits, new: &Limits) -> Result<(), CgroupError> {
    let own = &group.place.own;
    let both = || [own].into_iter().chain(group.payload());
    if group.has("memory") {
        if old.memory_reservation_bytes != new.memory_reservation_bytes {
            let bytes = new.memory_reservation_bytes;
            both().try_for_each(|it| put(it, "memory.soft_limit_in_bytes", bytes))?;
        }
        if memory_differs(old, new) {
            both().try_for_each(|it| memory_v1(it, new))?;
        }
    }
    if group.has("cpu") && old.cpu_shares != new.cpu_shares {
        let shares = new.cpu_shares.unwrap_or(SHARES).to_string();
        both().try_for_each(|it| it.set("cpu.shares", &shares))?;
    }
    if group.has("cpu") && old.cpus != new.cpus {
        let grows = quota(new.cpus) > quota(old.cpus);
        in_order(grows, own, group.payload(), |it| {
            it.set("cpu.cfs_period_us", &PERIOD_US.to_string())?;
            it.set("cpu.cfs_quota_us", &shown(new.cpus.map(|cpus| cpus.quota_us), NONE_V1))
        })?;
    }
    if group.has("pids") && old.pids_max != new.pids_max {
        both().try_for_each(|it| it.set("pids.max", &shown(new.pids_max, NONE_V2)))?;
    }
    if group.has("cpuset") {
        for (file, new) in changed_sets(old, new) {
            cpuset_v1(group, file, new)?;
        }
    }
    let payload = group.payload().filter(|_| group.has("blkio") && old.io_weight != new.io_weight);
    payload.map_or(Ok(()), |payload| weigh(&[payload], new.io_weight, 1))
}

/// Memory and swap together are never less than memory alone.
fn memory_v1(group: &Group, new: &Limits) -> Result<(), CgroupError> {
    const BOTH: &str = "memory.memsw.limit_in_bytes";
    let in_use = |option, told| match told {
        Err(CgroupError::Call { source, .. }) if source.errno() == Errno::BUSY => {
            Err(CgroupError::MemoryInUse(option))
        }
        told => told,
    };
    let set_memory = || in_use("--memory", put(group, "memory.limit_in_bytes", new.memory_bytes));
    // Absent without swap accounting.
    let Some(before) = group.read_if_there(BOTH)? else { return set_memory() };
    let both = new.memory_and_swap().unwrap_or_else(|| NONE_V1.into());
    let before = before.trim().parse::<u64>().unwrap_or(u64::MAX);
    let set_both = || in_use("--memory-swap", group.tell(BOTH, &both));
    if new.memory_bytes.unwrap_or(u64::MAX) > before {
        set_both()?;
        set_memory()
    } else {
        set_memory()?;
        set_both()
    }
}

/// A limit of memory in version 1, which has a number of its own for none.
fn put(group: &Group, file: &str, bytes: Option<u64>) -> Result<(), CgroupError> {
    match bytes {
        Some(bytes) => group.set(file, &bytes.to_string()),
        None => group.tell(file, NONE_V1),
    }
}

fn cpuset_v1(group: &V1Group, file: &str, new: Option<&str>) -> Result<(), CgroupError> {
    let own = &group.place.own;
    let there = group.place.shared().read(file)?;
    let new = new.unwrap_or(there.trim());
    let either = words::list(&format!("{},{new}", own.read(file)?.trim()));
    // Room for both, until who is below has moved.
    if let Ok(Some(either)) = either {
        own.set(file, &either)?;
    }
    group.payload().map_or(Ok(()), |payload| payload.set(file, new))?;
    own.set(file, new)
}

fn change_v2(group: &V2Group, old: &Limits, new: &Limits) -> Result<(), CgroupError> {
    let own = &group.place.own;
    let (Some(limited), Some(payload), Some(server)) =
        (group.limited(), group.payload(), group.server())
    else {
        return Ok(());
    };
    for it in [limited, payload] {
        if group.has("memory")? && memory_differs(old, new) {
            it.set("memory.max", &shown(new.memory_bytes, NONE_V2))?;
            let swap = new.memory_bytes.map_or_else(|| NONE_V2.into(), |_| new.swap_alone());
            it.set_if_there("memory.swap.max", &swap)?;
        }
        if group.has("pids")? && old.pids_max != new.pids_max {
            it.set("pids.max", &shown(new.pids_max, NONE_V2))?;
        }
        if group.has("cpuset")? {
            for (file, new) in changed_sets(old, new) {
                // An empty line for those of the group above.
                new.map_or_else(|| it.tell(file, "\n"), |new| it.set(file, new))?;
            }
        }
    }
    if group.has("memory")? && old.memory_reservation_bytes != new.memory_reservation_bytes {
        group.reserve(&shown(new.memory_reservation_bytes, "0"))?;
    }
    if group.has("cpu")? && old.cpus != new.cpus {
        let quota = shown(new.cpus.map(|cpus| cpus.quota_us), NONE_V2);
        [own, payload]
            .into_iter()
            .try_for_each(|it| it.set("cpu.max", &format!("{quota} {PERIOD_US}")))?;
    }
    let all = [own, limited, payload, server];
    if group.has("cpu")? && old.cpu_shares != new.cpu_shares {
        let weight = weight_of_shares(new.cpu_shares.unwrap_or(SHARES)).to_string();
        all.into_iter().try_for_each(|it| it.set("cpu.weight", &weight))?;
    }
    if group.has("blkio")? && old.io_weight != new.io_weight {
        weigh(&all, new.io_weight, 2)?;
    }
    Ok(())
}

fn weigh(groups: &[&Group], weight: Option<u64>, version: u8) -> Result<(), CgroupError> {
    let Some(weight) = weight else { return io::reset_weight(groups, version) };
    match io::apply_weight(groups, weight, version)? {
        true => Ok(()),
        false => Err(CgroupError::NoWeight),
    }
}

fn in_order(
    grows: bool,
    own: &Group,
    payload: Option<&Group>,
    set: impl Fn(&Group) -> Result<(), CgroupError>,
) -> Result<(), CgroupError> {
    let below = || payload.map_or(Ok(()), &set);
    if grows {
        set(own)?;
        below()
    } else {
        below()?;
        set(own)
    }
}

fn quota(cpus: Option<Cpus>) -> u64 {
    cpus.map_or(u64::MAX, |cpus| cpus.quota_us)
}

/// The kernel's files for processors and memory nodes that are to be others, and which.
fn changed_sets<'a>(old: &Limits, new: &'a Limits) -> Vec<(&'static str, Option<&'a str>)> {
    let rows = [
        ("cpuset.cpus", &old.cpuset_cpus, &new.cpuset_cpus),
        ("cpuset.mems", &old.cpuset_mems, &new.cpuset_mems),
    ];
    let changed = rows.into_iter().filter(|(_, old, new)| old != new);
    changed.map(|(file, _, new)| (file, new.as_deref())).collect()
}

fn shown(limit: Option<u64>, none: &str) -> String {
    limit.map_or_else(|| none.to_owned(), |limit| limit.to_string())
}
