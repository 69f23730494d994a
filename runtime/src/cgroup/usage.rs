//! What a container takes: read from its groups, as whichever version counts it.

use super::container::Cgroup;
use super::error::CgroupError;
use super::group::Group;
use super::v1::{V1Group, counted};
use super::v2::V2Group;

/// What a container takes now, and has taken so far. `None` is what nobody counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time so far, in nanoseconds.
    pub cpu_ns: Option<u64>,
    /// Memory, but for what is kept of files and was not used lately.
    pub memory_bytes: Option<u64>,
    /// The limit of that; none where there is none.
    pub memory_limit_bytes: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Read from disks so far, its file system's server included.
    pub read_bytes: Option<u64>,
    /// Written to disks so far.
    pub written_bytes: Option<u64>,
}

/// What version 1 writes where there is no limit: the greatest number of whole pages.
const NO_LIMIT: u64 = 1 << 62;

impl Cgroup {
    /// What the container takes.
    pub fn usage(&self) -> Result<Usage, CgroupError> {
        let mut usage = Usage::default();
        for group in &self.v1 {
            of_v1(group, &mut usage)?;
        }
        if let Some(group) = &self.v2 {
            of_v2(group, &mut usage)?;
        }
        Ok(usage)
    }
}

fn of_v1(group: &V1Group, usage: &mut Usage) -> Result<(), CgroupError> {
    let own = &group.place.own;
    if group.has("cpuacct") {
        usage.cpu_ns = number(own, "cpuacct.usage")?;
    }
    if group.has("memory") {
        let stat = own.read_if_there("memory.stat")?.unwrap_or_default();
        let idle = counted(&stat, "total_inactive_file").unwrap_or(0);
        let taken = number(own, "memory.usage_in_bytes")?;
        usage.memory_bytes = taken.map(|taken| taken.saturating_sub(idle));
        let limit = number(own, "memory.limit_in_bytes")?;
        usage.memory_limit_bytes = limit.filter(|limit| *limit < NO_LIMIT);
    }
    if group.has("pids") {
        usage.pids = number(own, "pids.current")?;
    }
    if group.has("blkio") {
        let text = own.read_if_there("blkio.throttle.io_service_bytes_recursive")?;
        let (read, written) = of_disks(&text.unwrap_or_default());
        (usage.read_bytes, usage.written_bytes) = (Some(read), Some(written));
    }
    Ok(())
}

fn of_v2(group: &V2Group, usage: &mut Usage) -> Result<(), CgroupError> {
    let Some(limited) = group.limited() else { return Ok(()) };
    // Where version 1 has the controller, this version has no file of it, or only what everything has.
    if usage.cpu_ns.is_none()
        && let Some(stat) = limited.read_if_there("cpu.stat")?
    {
        usage.cpu_ns = counted(&stat, "usage_usec").map(|us| us.saturating_mul(1000));
    }
    if let Some(taken) = number(limited, "memory.current")? {
        let stat = limited.read_if_there("memory.stat")?.unwrap_or_default();
        let idle = counted(&stat, "inactive_file").unwrap_or(0);
        usage.memory_bytes = Some(taken.saturating_sub(idle));
        usage.memory_limit_bytes = number(limited, "memory.max")?;
    }
    if let Some(pids) = number(limited, "pids.current")? {
        usage.pids = Some(pids);
    }
    if let Some(text) = group.place.own.read_if_there("io.stat")? {
        let (read, written) = of_disks_v2(&text);
        (usage.read_bytes, usage.written_bytes) = (Some(read), Some(written));
    }
    Ok(())
}

/// The number in a file; `None` where there is no such file, or a word (`max`).
fn number(group: &Group, file: &str) -> Result<Option<u64>, CgroupError> {
    Ok(group.read_if_there(file)?.and_then(|text| text.trim().parse().ok()))
}

/// Bytes read and written, of lines `8:0 Read 4096`; the total has no device.
fn of_disks(text: &str) -> (u64, u64) {
    let sum = |wanted: &str| {
        let of_line = |line: &str| {
            let mut words = line.split_ascii_whitespace();
            let (_, deed, bytes) = (words.next()?, words.next()?, words.next()?);
            bytes.parse::<u64>().ok().filter(|_| deed == wanted)
        };
        text.lines().filter_map(of_line).fold(0, u64::saturating_add)
    };
    (sum("Read"), sum("Write"))
}

/// The same of lines `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 …`.
fn of_disks_v2(text: &str) -> (u64, u64) {
    let sum = |key: &str| {
        let words = text.split_ascii_whitespace();
        let numbers = words.filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok());
        numbers.fold(0, u64::saturating_add)
    };
    (sum("rbytes="), sum("wbytes="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_disks_were_read_and_written_is_summed_up() {
        let text = "8:0 Read 4096\n8:0 Write 1\n8:0 Sync 9\n8:16 Read 4\n8:16 Total 5\nTotal 9\n";
        assert_eq!(of_disks(text), (4100, 1));
        let text = "8:0 rbytes=4096 wbytes=1 rios=7 wios=1 dbytes=3 dios=0\n8:16 rbytes=4 wbytes=0";
        assert_eq!(of_disks_v2(text), (4100, 1));
    }
}
