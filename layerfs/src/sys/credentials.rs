//! What a process of others may do, as `/proc` tells it: its groups and its capabilities.

use std::sync::OnceLock;

use super::file::{self, Symlinks};
use super::host::{self, FIRST_USER_NAMESPACE};

/// Bytes of `/proc/PID/status`: 65,536 groups, and lines of less.
const STATUS_MAX_BYTES: u64 = 1024 * 1024;

/// A capability, by the kernel's number (`linux/capability.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// To change what belongs to others.
    Fowner = 3,
    /// To keep set-id bits of what is changed, and to set those of groups of others.
    Fsetid = 4,
    /// To administrate the machine.
    SysAdmin = 21,
}

/// What a process may do beside what its user and its group may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    groups: Vec<u32>,
    capabilities: u64,
}

impl Credentials {
    /// Those of the thread `id`, which waits for an answer and reaches file systems as this user and this group; `None` where
    /// that is not told, or told of another one.
    pub fn of(id: u32, ids: (u32, u32)) -> Option<Self> {
        if id == 0 || !is_proc_ours() {
            return None;
        }
        let status = file::open_read_path(format!("/proc/{id}/status").as_str());
        let status = status.and_then(|status| file::read_all(status, STATUS_MAX_BYTES)).ok()?;
        let credentials = Credentials::parse(&String::from_utf8_lossy(&status), ids)?;
        // Capabilities of a user namespace are none to what does not belong to it.
        let namespace = format!("/proc/{id}/ns/user");
        let namespace = file::stat_at(rustix::fs::CWD, namespace.as_str(), Symlinks::Follow);
        match namespace {
            Ok(stat) if stat.st_ino == FIRST_USER_NAMESPACE => Some(credentials),
            _ => Some(Credentials { capabilities: 0, ..credentials }),
        }
    }

    /// Whether the process has that capability of the whole machine.
    pub fn has(&self, capability: Capability) -> bool {
        self.capabilities & 1 << capability as u64 != 0
    }

    /// Its groups, but for the one that what it makes has.
    pub fn groups(&self) -> &[u32] {
        &self.groups
    }

    fn parse(status: &str, (uid, gid): (u32, u32)) -> Option<Self> {
        let line = |word: &str| status.lines().find_map(|line| line.strip_prefix(word));
        // Four of each: real, effective, saved, and of file systems.
        let is_fs = |word: &str, id: u32| {
            let last = line(word)?.split_ascii_whitespace().nth(3)?;
            (last.parse() == Ok(id)).then_some(())
        };
        is_fs("Uid:", uid)?;
        is_fs("Gid:", gid)?;
        let groups = line("Groups:")?.split_ascii_whitespace().map(str::parse);
        let capabilities = u64::from_str_radix(line("CapEff:")?.trim(), 16).ok()?;
        Some(Credentials { groups: groups.collect::<Result<_, _>>().ok()?, capabilities })
    }
}

/// Whether the numbers in `/proc` are those by which this process knows others.
fn is_proc_ours() -> bool {
    static OURS: OnceLock<bool> = OnceLock::new();
    *OURS.get_or_init(|| {
        let target = super::dir::read_link(rustix::fs::CWD, "/proc/self");
        target.is_ok_and(|target| target[..] == *host::process_id().to_string().as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tsh\nUmask:\t0022\nUid:\t1\t2\t3\t1000\nGid:\t5\t6\t7\t8\nGroups:\t10 2000 \n\
        CapInh:\t0000000000000000\nCapPrm:\t000001ffffffffff\nCapEff:\t0000000000000010\n";

    #[test]
    fn groups_and_capabilities_are_read_of_who_asks_and_of_no_other() {
        let read = Credentials::parse(STATUS, (1000, 8)).unwrap();
        assert_eq!(read.groups(), [10, 2000]);
        assert!(read.has(Capability::Fsetid));
        assert!(!read.has(Capability::Fowner) && !read.has(Capability::SysAdmin));
        for ids in [(1, 8), (1000, 5)] {
            assert_eq!(Credentials::parse(STATUS, ids), None);
        }
        assert_eq!(Credentials::parse("", (0, 0)), None);
        assert_eq!(Credentials::parse(&STATUS.replace("10 2000", "ten"), (1000, 8)), None);
    }

    #[test]
    fn those_of_this_process_are_found() {
        let ids = host::own_ids();
        assert!(Credentials::of(host::process_id(), ids).is_some());
        assert_eq!(Credentials::of(host::process_id(), (ids.0 + 1, ids.1)), None);
        assert_eq!(Credentials::of(0, ids), None);
    }
}
