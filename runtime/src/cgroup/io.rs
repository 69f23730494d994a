//! Limits of reading from and writing to disks, as both versions write them.

use super::error::CgroupError;
use super::group::Group;

/// What is counted of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoKind {
    /// Bytes that are read.
    ReadBytes,
    /// Bytes that are written.
    WriteBytes,
    /// Reads.
    ReadOps,
    /// Writes.
    WriteOps,
}

/// How much of a disk a container may use in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoLimit {
    /// The disk: major and minor number.
    pub device: (u32, u32),
    /// What is counted.
    pub kind: IoKind,
    /// How many a second.
    pub per_second: u64,
}

impl IoKind {
    /// The flag that asks for such a limit.
    pub fn flag(self) -> &'static str {
        match self {
            IoKind::ReadBytes => "--device-read-bps",
            IoKind::WriteBytes => "--device-write-bps",
            IoKind::ReadOps => "--device-read-iops",
            IoKind::WriteOps => "--device-write-iops",
        }
    }

    fn v1_file(self) -> &'static str {
        match self {
            IoKind::ReadBytes => "blkio.throttle.read_bps_device",
            IoKind::WriteBytes => "blkio.throttle.write_bps_device",
            IoKind::ReadOps => "blkio.throttle.read_iops_device",
            IoKind::WriteOps => "blkio.throttle.write_iops_device",
        }
    }

    fn v2_key(self) -> &'static str {
        match self {
            IoKind::ReadBytes => "rbps",
            IoKind::WriteBytes => "wbps",
            IoKind::ReadOps => "riops",
            IoKind::WriteOps => "wiops",
        }
    }
}

/// Writes them into a group of version 1.
pub fn apply_v1(group: &Group, limits: &[IoLimit]) -> Result<(), CgroupError> {
    for limit in limits {
        let (major, minor) = limit.device;
        let line = format!("{major}:{minor} {}", limit.per_second);
        keep(group, limit.kind.v1_file(), &line, |kept| kept.lines().any(|kept| kept == line))?;
    }
    Ok(())
}

/// Writes them into a group of version 2.
pub fn apply_v2(group: &Group, limits: &[IoLimit]) -> Result<(), CgroupError> {
    for limit in limits {
        let (major, minor) = limit.device;
        let (own, word) =
            (format!("{major}:{minor} "), format!("{}={}", limit.kind.v2_key(), limit.per_second));
        let is_kept = |kept: &str| {
            let line = kept.lines().find_map(|line| line.strip_prefix(&own));
            line.is_some_and(|words| words.split(' ').any(|kept| kept == word))
        };
        keep(group, "io.max", &format!("{own}{word}"), is_kept)?;
    }
    Ok(())
}

fn keep(
    group: &Group,
    file: &str,
    line: &str,
    is_kept: impl Fn(&str) -> bool,
) -> Result<(), CgroupError> {
    group.tell(file, line)?;
    let kept = group.read(file)?;
    if is_kept(&kept) {
        return Ok(());
    }
    let (asked, kept) = (line.to_owned(), kept.trim().replace('\n', "; "));
    Err(CgroupError::NotKept { file: group.path().join(file), asked, kept })
}

/// Files for the weight, of which a kernel has the one of its scheduler: what stands before the number, and the most of it
/// where 1000 is the most that is asked for.
const V1_WEIGHTS: [(&str, u64); 2] = [("blkio.bfq.weight", 1_000), ("blkio.weight", 1_000)];
const V2_WEIGHTS: [(&str, u64); 2] = [("io.bfq.weight", 1_000), ("io.weight", 10_000)];

/// Writes the weight against other containers, 10 to 1000, where this kernel has a file for it. Answers whether it has.
pub fn apply_weight(groups: &[&Group], weight: u64, version: u8) -> Result<bool, CgroupError> {
    let files = if version == 1 { V1_WEIGHTS } else { V2_WEIGHTS };
    let mut has = false;
    for (file, most) in files {
        for group in groups {
            let Some(before) = group.read_if_there(file)? else { continue };
            has = true;
            // 10 to 1000 becomes 1 to 10000, as runtimes do it.
            let scaled = if most == 10_000 { 1 + (weight - 10) * 9_999 / 990 } else { weight };
            let is_default = before.starts_with("default ");
            let line = if is_default { format!("default {scaled}") } else { scaled.to_string() };
            keep(group, file, &line, |kept| kept.lines().any(|kept| kept == line))?;
        }
    }
    Ok(has)
}

/// Writes the weight of who was given none.
pub fn reset_weight(groups: &[&Group], version: u8) -> Result<(), CgroupError> {
    let files = if version == 1 { V1_WEIGHTS } else { V2_WEIGHTS };
    for (file, _) in files {
        for group in groups {
            let Some(before) = group.read_if_there(file)? else { continue };
            let usual = if file == "blkio.weight" { "500" } else { "100" };
            let is_default = before.starts_with("default ");
            group
                .tell(file, &if is_default { format!("default {usual}") } else { usual.into() })?;
        }
    }
    Ok(())
}
