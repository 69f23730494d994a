//! Whether limits can hold for a container that does not run.
//!
//! Root's are tried by groups that are made and removed: what a killed command leaves of them is found by the id. Where a user's groups are is
//! noted of containers that run alone, and nobody would find them: so none are made. What was given to the user is looked at, and
//! what shows in groups alone, as the weight of disks, is told when the container starts.

use std::path::{Path, PathBuf};

use layerfs_driver::sys::host::{self, Rights};

use super::container::Cgroup;
use super::delegated::{self, Delegation};
use super::error::{CgroupError, WhyNot};
use super::group::Group;
use super::host::Host;
use super::limits::{Limits, Swap};
use super::v2::{self, lists};

impl Cgroup {
    /// Refuses limits that can't hold for a container that does not run. Leaves nothing.
    pub fn try_limits(id: &str, limits: &Limits) -> Result<(), CgroupError> {
        let mut host = Host::read()?;
        let rights =
            host::rights().map_err(CgroupError::call("look at", Path::new("/proc/self")))?;
        let (Rights::User, Some(mount)) = (rights, &host.v2) else {
            return Cgroup::create_on(&host, id, limits)?.remove();
        };
        host.delegation = delegated::of_caller(mount)?;
        look_at(&host, limits)
    }
}

/// The same of what was given to a user.
fn look_at(host: &Host, limits: &Limits) -> Result<(), CgroupError> {
    let given = match &host.delegation {
        Delegation::Below(group) | Delegation::Alone(group) => Some(Group::top(group)?),
        _ => None,
    };
    let offered = given.as_ref().map(|group| group.read(v2::CONTROLLERS)).transpose()?;
    let offered = offered.unwrap_or_default();
    let none = Cgroup { id: "".into(), v1: Vec::new(), v2: None };
    // Those of version 1 are root's.
    let closed: Vec<PathBuf> = host.v1.iter().map(|hierarchy| hierarchy.mount.clone()).collect();
    for (flag, controller) in limits.needs() {
        if lists(&offered, v2::called(controller)) {
            continue;
        }
        let why = match (none.why_not(host, controller, &closed)?, &given) {
            (WhyNot::NotPermitted(group) | WhyNot::Occupied(group), Some(given))
                if group == given.path() =>
            {
                WhyNot::NotGiven(group)
            }
            (why, _) => why,
        };
        return Err(CgroupError::NoController { flag, controller, why });
    }
    let Some(given) = given else { return Ok(()) };
    for (flag, asked, file) in limits.sets() {
        Cgroup::check_set((flag, asked), &given.read(&format!("{file}.effective"))?)?;
    }
    let has_swap = || given.read_if_there("memory.swap.max").map(|file| file.is_some());
    match limits.swap {
        // The top of the tree counts all, and has no such files.
        Some(Swap::Bytes(_)) if given.read_if_there("memory.max")?.is_some() && !has_swap()? => {
            Err(CgroupError::NoSwap)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_limits_are_looked_at_and_no_group_is_made_for_them() {
        let dir = tempfile::tempdir().unwrap();
        let given = dir.path().join("given");
        std::fs::create_dir(&given).unwrap();
        for (file, text) in [
            (dir.path().join(v2::CONTROLLERS), "cpu cpuset memory pids\n"),
            (given.join(v2::CONTROLLERS), "cpuset memory\n"),
            (given.join("cpuset.cpus.effective"), "0-1\n"),
            (given.join("memory.max"), "max\n"),
        ] {
            std::fs::write(file, text).unwrap();
        }
        let told = |delegation, limits: &Limits| {
            let mut host = Host::default();
            (host.v2, host.delegation) = (Some(dir.path().to_path_buf()), delegation);
            look_at(&host, limits).map_err(|error| error.to_string())
        };
        let below = || Delegation::Below(given.clone());
        let memory = Limits { memory_bytes: Some(1 << 20), ..Limits::default() };
        let pids = Limits { pids_max: Some(5), ..Limits::default() };
        let cpus = Limits { cpuset_cpus: Some("1-2".into()), ..Limits::default() };
        let swap = Limits { swap: Some(Swap::Bytes(0)), ..memory.clone() };
        assert_eq!(told(below(), &memory), Ok(()));
        assert_eq!(told(Delegation::Alone(given.clone()), &memory), Ok(()));
        assert_eq!(told(Delegation::Nothing, &Limits::default()), Ok(()));
        for (delegation, limits, words) in [
            (below(), &pids, "--pids-limit needs the pids controller of cgroups: "),
            (below(), &pids, "/given is delegated to this user without it; "),
            (
                Delegation::Alone(given.clone()),
                &pids,
                "/given is delegated to this user without it; ",
            ),
            (below(), &cpus, "--cpuset-cpus `1-2`: a container can have 0-1 here"),
            (below(), &swap, "--memory-swap: this kernel does not count"),
            (Delegation::Nothing, &memory, "no control group above this process is delegated"),
            (Delegation::Occupied(given.clone()), &memory, "and processes are in it"),
        ] {
            let told = told(delegation, limits).unwrap_err();
            assert!(told.contains(words), "{told}");
        }
        assert_eq!(Group::top(&given).unwrap().children().unwrap().len(), 0);
    }
}
