//! Control groups: which version, which controllers, and who may use them.

use layerfs_driver::sys::SysError;

use super::facts;
use super::item::{Item, Need};
use crate::roots::Who;

/// The controllers behind `--memory`, `--cpus` and `--pids-limit`.
const WANTED: [&str; 3] = ["memory", "cpu", "pids"];

/// The hierarchies that are mounted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Hierarchies {
    /// Where version 2 is mounted.
    unified: Option<String>,
    /// Controllers of version 1.
    v1: Vec<String>,
}

/// Version and controllers.
pub fn controllers(who: Who) -> Result<Item, SysError> {
    let found = hierarchies(&facts::text("/proc/self/mountinfo")?.unwrap_or_default());
    let v2 = match &found.unified {
        Some(mount) => facts::text(&format!("{mount}/cgroup.controllers"))?.unwrap_or_default(),
        None => String::new(),
    };
    let item = judge(&found, &v2);
    if who == Who::Root || item.cure.is_some() {
        return Ok(item);
    }
    let whose = if is_delegated(found.unified.as_deref())? {
        "delegated to this user, which containers do not use yet"
    } else {
        "not delegated to this user"
    };
    let detail = format!("{}, {whose}: no limits without root", item.detail);
    Ok(item.limited(detail, "run containers with limits as root"))
}

fn judge(found: &Hierarchies, v2: &str) -> Item {
    let has_v1 = !found.v1.is_empty();
    let version = match (&found.unified, has_v1) {
        (Some(_), false) => "v2",
        (Some(_), true) => "hybrid",
        (None, true) => "v1",
        (None, false) => {
            return Item::ok("cgroups", Need::Some, "").missing(
                "not mounted: containers run without limits",
                "`mount -t cgroup2 none /sys/fs/cgroup` as root",
            );
        }
    };
    let of_v2: Vec<&str> = v2.split_whitespace().collect();
    let has =
        |name: &&str| of_v2.contains(name) || found.v1.iter().any(|controller| controller == name);
    let (there, absent): (Vec<&str>, Vec<&str>) =
        WANTED.iter().copied().partition(|name| has(name));
    let item = Item::ok("cgroups", Need::Some, format!("{version} with {}", there.join(", ")));
    if absent.is_empty() {
        return item;
    }
    let absent = absent.join(", ");
    item.limited(
        format!("{version} without {absent}: no limits of that kind"),
        format!(
            "boot with a kernel that has {absent}, without cgroup_disable= on its command line"
        ),
    )
}

/// Reads `/proc/self/mountinfo`: the file system's type follows ` - `, its options come last.
fn hierarchies(mountinfo: &str) -> Hierarchies {
    let mut found = Hierarchies::default();
    for line in mountinfo.lines() {
        let Some((mount, filesystem)) = line.split_once(" - ") else { continue };
        let mount = mount.split(' ').nth(4).unwrap_or_default();
        let mut fields = filesystem.split(' ');
        match fields.next() {
            Some("cgroup2") if found.unified.is_none() => found.unified = Some(mount.to_owned()),
            Some("cgroup") => {
                let options = fields.next_back().unwrap_or_default().split(',');
                let controllers = options
                    .filter(|option| *option != "rw" && *option != "ro" && !option.contains('='));
                found.v1.extend(controllers.map(String::from));
            }
            _ => {}
        }
    }
    found
}

/// Whether the control group of this process belongs to its user.
fn is_delegated(unified: Option<&str>) -> Result<bool, SysError> {
    let own = facts::text("/proc/self/cgroup")?.unwrap_or_default();
    let own = own.lines().find_map(|line| line.strip_prefix("0::"));
    let (Some(mount), Some(own)) = (unified, own) else { return Ok(false) };
    let owner = facts::stat(&format!("{mount}{own}"))?.map(|stat| stat.st_uid);
    Ok(owner.is_some() && owner == facts::user_id()?)
}

#[cfg(test)]
mod tests {
    use super::super::item::State;
    use super::*;

    const V1: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
";
    const UNIFIED: &str =
        "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn the_three_layouts_are_told_apart() {
        let hybrid = format!("{V1}{UNIFIED}");
        let rows = [
            (V1, "", "v1 with memory, cpu, pids", State::Ok),
            (&hybrid, "", "hybrid with memory, cpu, pids", State::Ok),
            (UNIFIED, "cpuset cpu io memory pids\n", "v2 with memory, cpu, pids", State::Ok),
            (
                UNIFIED,
                "cpuset cpu pids\n",
                "v2 without memory: no limits of that kind",
                State::Limited,
            ),
            ("", "", "not mounted: containers run without limits", State::Missing),
        ];
        for (mountinfo, v2, detail, state) in rows {
            let item = judge(&hierarchies(mountinfo), v2);
            assert_eq!((item.detail.as_str(), item.state), (detail, state));
            assert_eq!(item.cure.is_some(), state != State::Ok);
        }
    }

    #[test]
    fn the_place_of_version_2_is_read_from_its_line() {
        assert_eq!(hierarchies(UNIFIED).unified.as_deref(), Some("/sys/fs/cgroup/unified"));
    }
}
