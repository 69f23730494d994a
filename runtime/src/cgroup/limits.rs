//! What a container may take at most, as numbers that the kernel understands.

use super::io::IoLimit;
use crate::spec::DeviceKind;

/// The period over which a share of processor time is measured out, in microseconds.
pub const PERIOD_US: u64 = 100_000;

/// The limits of one container; `None` is no limit of that kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Swap beside it, where the kernel counts swap; none where nothing is said.
    pub swap: Option<Swap>,
    /// Memory in bytes that is left to it where memory is short and others have more than theirs.
    pub memory_reservation_bytes: Option<u64>,
    /// Processors that it may run on, as the kernel lists them: `0-2,5`.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes that its memory may come from.
    pub cpuset_mems: Option<String>,
    /// The weight against other containers where a disk is busy; 10 to 1000.
    pub io_weight: Option<u64>,
    /// What it may use of disks.
    pub io: Vec<IoLimit>,
    /// Processor time.
    pub cpus: Option<Cpus>,
    /// The weight against other containers when processors are short; 2 to 262144, 1024 is usual.
    pub cpu_shares: Option<u64>,
    /// Processes and threads.
    pub pids_max: Option<u64>,
    /// Devices that it may use beside the usual ones.
    pub devices: Vec<DeviceRule>,
    /// Files of version 2 of cgroups, each with what is written there, over what the others say.
    pub files: Vec<(String, String)>,
    /// Whether it has the right to make nodes of the host's devices, so that somebody else has to refuse it to open them.
    pub makes_devices: bool,
}

/// What a container may do with a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRule {
    /// Which kind it is of.
    pub kind: DeviceKind,
    /// Its numbers; any where there are none.
    pub numbers: Option<(u32, u32)>,
    /// Some of `rwm`: read it, write to it, make nodes of it.
    pub access: String,
}

impl DeviceRule {
    /// Whether something of it is refused.
    fn refuses(&self) -> bool {
        !"rwm".chars().all(|one| self.access.contains(one))
    }
}

impl Limits {
    /// The controllers that these limits need, each with the flag that asks for it.
    pub fn needs(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let rows = [
            (self.memory_bytes.is_some(), "--memory", "memory"),
            (self.memory_reservation_bytes.is_some(), "--memory-reservation", "memory"),
            (self.cpuset_cpus.is_some(), "--cpuset-cpus", "cpuset"),
            (self.cpuset_mems.is_some(), "--cpuset-mems", "cpuset"),
            (self.io_weight.is_some(), "--blkio-weight", "blkio"),
            (self.cpus.is_some(), "--cpus", "cpu"),
            (self.cpu_shares.is_some(), "--cpu-shares", "cpu"),
            (self.pids_max.is_some(), "--pids-limit", "pids"),
        ];
        // Where nothing is refused nobody has to refuse it.
        let refused = self.devices.iter().any(DeviceRule::refuses);
        let of_devices = [
            (refused, "--device with less than rwm", "devices"),
            (
                self.makes_devices && self.guards_devices(),
                "--cap-add MKNOD with --userns host",
                "devices",
            ),
        ];
        let of_disks = self.io.iter().map(|limit| (true, limit.kind.flag(), "blkio"));
        rows.into_iter()
            .chain(of_disks)
            .chain(of_devices)
            .filter(|(asked, ..)| *asked)
            .map(|(_, flag, controller)| (flag, controller))
    }
}

impl Limits {
    /// Whether it is refused any device.
    pub(super) fn guards_devices(&self) -> bool {
        let is_free = |kind| {
            let any =
                |rule: &DeviceRule| rule.kind == kind && rule.numbers.is_none() && !rule.refuses();
            self.devices.iter().any(any)
        };
        !(is_free(DeviceKind::Character) && is_free(DeviceKind::Block))
    }

    /// Those processors and memory nodes that are named: the flag, the list, the kernel's file for it.
    pub(super) fn sets(&self) -> impl Iterator<Item = (&'static str, &str, &'static str)> {
        let rows = [
            ("--cpuset-cpus", &self.cpuset_cpus, "cpuset.cpus"),
            ("--cpuset-mems", &self.cpuset_mems, "cpuset.mems"),
        ];
        rows.into_iter().filter_map(|(flag, list, file)| Some((flag, list.as_deref()?, file)))
    }
}

/// Swap beside the memory of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// As much as there is.
    Any,
    /// So many bytes, at most.
    Bytes(u64),
}

impl Limits {
    /// Memory and swap together as version 1 counts them: `None` without a limit of memory, -1 for any swap.
    pub(super) fn memory_and_swap(&self) -> Option<String> {
        let memory = self.memory_bytes?;
        Some(match self.swap {
            None => memory.to_string(),
            Some(Swap::Any) => "-1".into(),
            Some(Swap::Bytes(swap)) => memory.saturating_add(swap).to_string(),
        })
    }

    /// Swap alone as version 2 counts it.
    pub(super) fn swap_alone(&self) -> String {
        match self.swap {
            None => "0".into(),
            Some(Swap::Any) => "max".into(),
            Some(Swap::Bytes(swap)) => swap.to_string(),
        }
    }
}

/// Processor time: `quota_us` in each period of [`PERIOD_US`]; 150,000 is one and a half processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpus {
    /// Microseconds of processor time a period; at least 1,000, the kernel's least.
    pub quota_us: u64,
}

/// Version 2's weight (1 to 10000) for version 1's shares (2 to 262144), on the curve that keeps the three fixed points
/// 2 → 1, 1024 → 100, 262144 → 10000.
pub fn weight_of_shares(shares: u64) -> u64 {
    const SHARES: (u64, u64) = (2, 262_144);
    match shares {
        ..=2 => return 1,
        262_144.. => return 10_000,
        _ => {}
    }
    // Between 2 and 2^18 a u32 is exact, and so is its f64.
    let shares = u32::try_from(shares.clamp(SHARES.0, SHARES.1)).unwrap_or(1024);
    let log = f64::from(shares).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    let weight = 10_f64.powf(exponent).ceil();
    // The least whole number that is not below it: no cast of a float is needed, nor allowed.
    (1..=10_000).find(|whole: &u32| f64::from(*whole) >= weight).map_or(10_000, u64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_weights_at_the_fixed_points_and_in_order() {
        for (shares, weight) in [(2, 1), (1024, 100), (262_144, 10_000), (0, 1), (u64::MAX, 10_000)]
        {
            assert_eq!(weight_of_shares(shares), weight, "{shares}");
        }
        let weights: Vec<u64> = (1..18).map(|n| weight_of_shares(1 << n)).collect();
        assert!(weights.is_sorted() && weights[0] == 1, "{weights:?}");
    }
}
