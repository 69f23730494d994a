//! Control groups: which version, which controllers, and who may use them.

use std::path::Path;

use anyhow::Result;
use layerfs_runtime::cgroup::{Delegation, delegated_to_caller};

use super::facts;
use super::item::{Item, Need, State};
use crate::roots::Who;

/// The controllers behind `--memory`, `--cpus` and `--pids-limit`.
const WANTED: [&str; 3] = ["memory", "cpu", "pids"];
/// What systemd is told to give to users, who by default get the first and the last of these alone.
const GIVEN: [&str; 5] = ["memory", "cpu", "cpuset", "io", "pids"];

/// The hierarchies that are mounted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Hierarchies {
    /// Where version 2 is mounted.
    unified: Option<String>,
    /// Controllers of version 1.
    v1: Vec<String>,
}

/// Version and controllers.
pub fn controllers(who: Who) -> Result<Item> {
    let found = hierarchies(&facts::text("/proc/self/mountinfo")?.unwrap_or_default());
    let offered = |group: &Path| -> Result<String> {
        let file = group.join("cgroup.controllers");
        Ok(facts::text(&file.to_string_lossy())?.unwrap_or_default())
    };
    let v2 = match &found.unified {
        Some(mount) => offered(Path::new(mount))?,
        None => String::new(),
    };
    let item = judge(&found, &v2);
    if who == Who::Root {
        return Ok(item);
    }
    let delegation = match &found.unified {
        Some(mount) => delegated_to_caller(Path::new(mount))?,
        None => Delegation::Nothing,
    };
    let given = match &delegation {
        Delegation::Below(group) | Delegation::Alone(group) => offered(group)?,
        _ => String::new(),
    };
    Ok(users(item, &delegation, &given))
}

/// The same for who is not root, who was given some of it.
fn users(item: Item, delegation: &Delegation, given: &str) -> Item {
    if item.state == State::Missing {
        return item;
    }
    let detail = item.detail.clone();
    match delegation {
        Delegation::Whole => item,
        Delegation::Below(group) | Delegation::Alone(group) => {
            let (there, absent) = parted(|name| given.split_whitespace().any(|word| word == name));
            let group = group.display();
            let there = if there.is_empty() { "nothing".into() } else { there };
            let detail = format!("{detail}; {there} of it delegated to this user by {group}");
            if absent.is_empty() {
                return Item::ok("cgroups", Need::Some, detail);
            }
            item.limited(
                format!("{detail}: no limits of {absent}"),
                format!(
                    "`systemctl edit user@.service` as root: [Service], Delegate={}",
                    GIVEN.join(" ")
                ),
            )
        }
        Delegation::Occupied(_) | Delegation::Nothing => item.limited(
            format!("{detail}, none of it delegated to this user: no limits"),
            "where systemd runs: `systemd-run --user --scope -p Delegate=yes layerfs …`; else as root",
        ),
    }
}

/// Those of the wanted controllers that are there, and those that are not.
fn parted(is_there: impl Fn(&str) -> bool) -> (String, String) {
    let (there, absent): (Vec<&str>, Vec<&str>) =
        WANTED.into_iter().partition(|name| is_there(name));
    (there.join(", "), absent.join(", "))
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
    let has = |name: &str| of_v2.contains(&name) || found.v1.iter().any(|found| found == name);
    let (there, absent) = parted(has);
    let item = Item::ok("cgroups", Need::Some, format!("{version} with {there}"));
    if absent.is_empty() {
        return item;
    }
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

#[cfg(test)]
mod tests {
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
    fn who_is_not_root_has_what_was_delegated() {
        let item = || judge(&hierarchies(UNIFIED), "cpu memory pids");
        let below = Delegation::Below("/c/u".into());
        let whole = users(item(), &below, "memory pids cpu\n");
        assert_eq!((whole.state, whole.cure.is_none()), (State::Ok, true), "{}", whole.detail);
        assert!(whole.detail.ends_with("memory, cpu, pids of it delegated to this user by /c/u"));
        let part = users(item(), &below, "memory pids\n");
        assert_eq!(part.state, State::Limited);
        assert!(part.detail.ends_with("by /c/u: no limits of cpu"), "{}", part.detail);
        for none in [Delegation::Nothing, Delegation::Occupied("/c/u".into())] {
            let none = users(item(), &none, "");
            assert_eq!(none.state, State::Limited);
            assert!(none.cure.unwrap().contains("Delegate=yes"), "{}", none.detail);
        }
        assert_eq!(users(judge(&hierarchies(""), ""), &below, "memory").state, State::Missing);
    }

    #[test]
    fn the_place_of_version_2_is_read_from_its_line() {
        assert_eq!(hierarchies(UNIFIED).unified.as_deref(), Some("/sys/fs/cgroup/unified"));
    }
}
