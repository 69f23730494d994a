//! Which hierarchies this machine has and what each is good for, read from the kernel's own tables.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use layerfs_driver::sys::file;
use layerfs_driver::sys::mount::unescape;

use super::delegated::Delegation;
use super::error::{CgroupError, WhyNot};

/// More is no table of mounts.
const TABLE_MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Every controller that version 1 ever had: what else stands among a mount's options is an option.
const CONTROLLERS: [&str; 14] = [
    "cpuset",
    "cpu",
    "cpuacct",
    "blkio",
    "memory",
    "devices",
    "freezer",
    "net_cls",
    "perf_event",
    "net_prio",
    "hugetlb",
    "pids",
    "rdma",
    "misc",
];

/// A hierarchy of version 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Its controllers; more than one where they are mounted together.
    pub controllers: Vec<&'static str>,
}

/// The hierarchies in which groups can be made: version 2 alone, version 1 alone, or both side by side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Those of version 1, in the order of the mount table. Named ones without a controller belong to others.
    pub v1: Vec<Hierarchy>,
    /// Where version 2 is mounted.
    pub v2: Option<PathBuf>,
    /// What of version 2's tree is the caller's to use.
    pub delegation: Delegation,
    read_only: Vec<(&'static str, PathBuf)>,
    known: Vec<(String, bool)>,
}

impl Host {
    /// This machine, as this process's mount namespace shows it.
    pub fn read() -> Result<Host, CgroupError> {
        let text = |path: &str| -> Result<Vec<u8>, CgroupError> {
            let failed = CgroupError::call("read", Path::new(path));
            match file::open_read_path(path) {
                Err(error) if error.is_absent() => Ok(Vec::new()),
                opened => {
                    let file = opened.map_err(&failed)?;
                    file::read_all(file, TABLE_MAX_BYTES).map_err(failed)
                }
            }
        };
        Ok(Host::from_tables(&text("/proc/self/mountinfo")?, &text("/proc/cgroups")?))
    }

    /// Below which group of version 2 the caller's groups are made. Who was given none is refused by the kernel.
    pub fn top(&self) -> Option<&Path> {
        self.given().or(self.v2.as_deref())
    }

    /// The group that was given to the caller, who is not root; what is noted of a container.
    pub fn given(&self) -> Option<&Path> {
        match &self.delegation {
            Delegation::Below(group) => Some(group),
            _ => None,
        }
    }

    /// The same from the texts of `/proc/self/mountinfo` and `/proc/cgroups`.
    pub fn from_tables(mountinfo: &[u8], cgroups: &[u8]) -> Host {
        let mounts: Vec<Mount> =
            mountinfo.split(|byte| *byte == b'\n').filter_map(Mount::parse).collect();
        let mut host = Host { known: known(cgroups), ..Host::default() };
        for mount in mounts.iter().filter(|mount| !mount.is_hidden(&mounts)) {
            match mount.kind {
                b"cgroup2" if mount.read_only => {
                    host.read_only.push(("", mount.at.clone()));
                }
                b"cgroup2" if host.v2.is_none() => host.v2 = Some(mount.at.clone()),
                b"cgroup" => host.add_v1(mount),
                _ => {}
            }
        }
        host
    }

    fn add_v1(&mut self, mount: &Mount) {
        let is_option = |name: &str| {
            mount.super_options.split(|byte| *byte == b',').any(|word| word == name.as_bytes())
        };
        let controllers: Vec<&'static str> =
            CONTROLLERS.into_iter().filter(|name| is_option(name)).collect();
        // A second mount of a hierarchy leads to the same groups.
        let is_there = self.v1.iter().any(|other| other.controllers == controllers);
        if mount.read_only {
            self.read_only.extend(controllers.iter().map(|name| (*name, mount.at.clone())));
        } else if !controllers.is_empty() && !is_there {
            self.v1.push(Hierarchy { mount: mount.at.clone(), controllers });
        }
    }

    /// Why no mounted, writable hierarchy of version 1 has `controller`, where version 2 has it not either.
    pub fn why_absent(&self, controller: &str) -> WhyNot {
        let read_only =
            self.read_only.iter().find(|(name, _)| *name == controller || name.is_empty());
        if let Some((_, mount)) = read_only {
            return WhyNot::ReadOnly(mount.clone());
        }
        match self.known.iter().find(|(name, _)| name == controller) {
            Some((_, true)) => WhyNot::NotMounted,
            Some((_, false)) => WhyNot::SwitchedOff,
            // Newer kernels list only what version 1 may still use: there the table can't tell.
            None if self.v2.is_none() && self.known.is_empty() => WhyNot::NotMounted,
            None => WhyNot::NotBuilt,
        }
    }
}

/// `/proc/cgroups`: name, hierarchy, number of groups, whether it is enabled.
fn known(table: &[u8]) -> Vec<(String, bool)> {
    let table = String::from_utf8_lossy(table);
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    let rows = lines.filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        Some((fields.next()?.to_owned(), fields.nth(2)? == "1"))
    });
    rows.collect()
}

/// A line of `mountinfo` (proc(5)): ID PARENT DEVICE ROOT AT OPTIONS [TAGS] - KIND SOURCE OPTIONS.
struct Mount<'a> {
    id: &'a [u8],
    parent: &'a [u8],
    at: PathBuf,
    kind: &'a [u8],
    read_only: bool,
    super_options: &'a [u8],
}

impl<'a> Mount<'a> {
    fn parse(line: &'a [u8]) -> Option<Mount<'a>> {
        let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let dash = words.iter().position(|word| *word == b"-")?;
        let super_options = *words.get(dash + 3)?;
        let is_read_only =
            |options: &[u8]| options.split(|byte| *byte == b',').any(|option| option == b"ro");
        Some(Mount {
            id: words[0],
            parent: words.get(1)?,
            at: PathBuf::from(OsString::from_vec(unescape(words.get(4)?))),
            kind: words.get(dash + 1)?,
            read_only: is_read_only(words.get(5)?) || is_read_only(super_options),
            super_options,
        })
    }

    /// Whether another mount lies on it, or on a directory on the way to it. The order of the table does not tell which
    /// came first, but parents do: a mount that carried the other would be its parent.
    fn is_hidden(&self, all: &[Mount<'a>]) -> bool {
        if self.others(all).any(|other| other.parent == self.id && other.at == self.at) {
            return true;
        }
        let mut here = self;
        // No chain of parents is longer than the table.
        for _ in 0..all.len() {
            let covers =
                |other: &Mount| other.parent == here.parent && here.at.starts_with(&other.at);
            if here.others(all).any(covers) {
                return true;
            }
            let Some(parent) = here.others(all).find(|other| other.id == here.parent) else {
                break;
            };
            here = parent;
        }
        false
    }

    fn others<'t>(&self, all: &'t [Mount<'a>]) -> impl Iterator<Item = &'t Mount<'a>> {
        let id = self.id;
        all.iter().filter(move |other| other.id != id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "#subsys_name\thierarchy\tnum_cgroups\tenabled
memory\t4\t11\t1
cpu\t1\t1\t1
pids\t8\t1\t0
";

    const HYBRID: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
31 22 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:7 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
42 22 0:32 / /mnt/same\\040again rw,relatime - cgroup cgroup rw,memory
";

    fn host(mounts: &str) -> Host {
        Host::from_tables(mounts.as_bytes(), TABLE.as_bytes())
    }

    fn hierarchy(mount: &str, controllers: &[&'static str]) -> Hierarchy {
        Hierarchy { mount: PathBuf::from(mount), controllers: controllers.to_vec() }
    }

    #[test]
    fn a_hybrid_host_has_both_and_named_hierarchies_are_left_alone() {
        let host = host(HYBRID);
        let v1 = [
            hierarchy("/sys/fs/cgroup/cpu,cpuacct", &["cpu", "cpuacct"]),
            hierarchy("/sys/fs/cgroup/memory", &["memory"]),
        ];
        assert_eq!(host.v1, v1);
        assert_eq!(host.v2.as_deref(), Some(Path::new("/sys/fs/cgroup/unified")));
    }

    #[test]
    fn a_host_of_version_1_or_2_alone_has_only_that() {
        let v1 = host(&HYBRID.replace("cgroup2", "tmpfs"));
        assert!(v1.v2.is_none() && v1.v1.len() == 2);
        let v2 = host("25 22 0:23 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n");
        assert_eq!(v2.v2.as_deref(), Some(Path::new("/sys/fs/cgroup")));
        assert!(v2.v1.is_empty());
        assert_eq!(host(""), Host { known: known(TABLE.as_bytes()), ..Host::default() });
    }

    #[test]
    fn what_is_mounted_over_is_not_there() {
        // As an initial RAM disk leaves it: /sys was mounted before the root that it was moved to.
        let order = "21 24 0:20 / /sys rw - sysfs sysfs rw\n24 1 8:1 / / rw - ext4 /dev/vda rw\n";
        let cgroups = "25 21 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let at = |host: Host| host.v2.map(|path| path.display().to_string());
        assert_eq!(at(host(&format!("{order}{cgroups}"))).as_deref(), Some("/sys/fs/cgroup"));
        for cover in [
            "26 25 0:40 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n",
            "26 21 0:40 / /sys/fs rw - tmpfs tmpfs rw\n",
            "26 24 0:40 / /sys rw - tmpfs tmpfs rw\n",
        ] {
            assert_eq!(at(host(&format!("{order}{cgroups}{cover}"))), None, "{cover}");
            assert_eq!(at(host(&format!("{cover}{cgroups}{order}"))), None, "{cover}");
        }
        let again = "26 25 0:40 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n27 26 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert!(at(host(&format!("{order}{cgroups}{again}"))).is_some());
        let beside = "26 24 0:40 / /sy rw - tmpfs tmpfs rw\n";
        assert!(at(host(&format!("{order}{cgroups}{beside}"))).is_some());
    }

    #[test]
    fn a_missing_controller_is_told_with_its_reason() {
        let mut read_only = HYBRID.replace("/memory rw,", "/memory ro,");
        read_only =
            read_only.lines().filter(|line| !line.contains("again")).collect::<Vec<_>>().join("\n");
        let mount = PathBuf::from("/sys/fs/cgroup/memory");
        assert_eq!(host(&read_only).why_absent("memory"), WhyNot::ReadOnly(mount));
        assert_eq!(host("").why_absent("memory"), WhyNot::NotMounted);
        assert_eq!(host("").why_absent("pids"), WhyNot::SwitchedOff);
        assert_eq!(host("").why_absent("blkio"), WhyNot::NotBuilt);
        assert_eq!(Host::default().why_absent("blkio"), WhyNot::NotMounted);
        let v2 = "25 22 0:23 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup2 rw\n";
        let mount = PathBuf::from("/sys/fs/cgroup");
        assert_eq!(host(v2).why_absent("memory"), WhyNot::ReadOnly(mount));
    }
}
