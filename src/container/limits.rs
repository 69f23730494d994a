//! The words for limits, as numbers.

use anyhow::{Context, Result, bail};
use clap::Args;
use layerfs_driver::sys::file::{self, FileType};
use layerfs_runtime::cgroup::{self, IoKind, IoLimit, Limits, Swap, words};
use layerfs_runtime::spec::ResourceLimit;
use serde::{Deserialize, Serialize};

use super::ulimits;
use crate::mount::bounds::Bounds;

/// What a container may take, and may be told otherwise while it runs.
#[derive(Clone, Debug, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(default)]
#[command(next_help_heading = "Limits")]
pub struct AdjustableArgs {
    /// Memory: bytes, or a number with k, m or g, such as 50m; no swap beyond it
    #[arg(short, long, value_name = "SIZE", allow_negative_numbers = true)]
    memory: Option<String>,
    /// Memory and swap together; -1 for any swap, the same as --memory for none, which is usual
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    memory_swap: Option<String>,
    /// Memory that is left to it where memory is short
    #[arg(long, value_name = "SIZE")]
    memory_reservation: Option<String>,
    /// Processors that it may run on, such as 0-2,5
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes that its memory may come from
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Weight against other containers where a disk is busy, 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    blkio_weight: Option<String>,
    /// Processors, in part or several, such as 0.5
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<String>,
    /// Weight against other containers where processors are short; 1024 is usual
    #[arg(short, long, value_name = "WEIGHT")]
    cpu_shares: Option<String>,
    /// Processes and threads; -1 for any number
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pids_limit: Option<String>,
}

/// What a container may take.
#[derive(Clone, Debug, Default, Args, Serialize, Deserialize)]
#[serde(default)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    #[command(flatten)]
    #[serde(flatten)]
    adjustable: AdjustableArgs,
    /// Bytes a second that it may read from a disk, such as /dev/sda:10m
    #[arg(long, value_name = "DEVICE:RATE")]
    device_read_bps: Vec<String>,
    /// Bytes a second that it may write to a disk
    #[arg(long, value_name = "DEVICE:RATE")]
    device_write_bps: Vec<String>,
    /// Reads a second that it may make on a disk
    #[arg(long, value_name = "DEVICE:RATE")]
    device_read_iops: Vec<String>,
    /// Writes a second that it may make on a disk
    #[arg(long, value_name = "DEVICE:RATE")]
    device_write_iops: Vec<String>,
    /// A file of the container's cgroup and what is written there, such as memory.oom.group=1; version 2 alone has it
    #[arg(long, value_name = "FILE=VALUE")]
    cgroup_conf: Vec<String>,
    /// A limit of each process, such as nofile=1024:4096 or core=0; -1 for none
    #[arg(long, value_name = "NAME=SOFT[:HARD]", allow_hyphen_values = true)]
    ulimit: Vec<String>,
    /// How soon the kernel ends its processes where memory runs out: -1000 never, 1000 first
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(i16).range(-1000..=1000))]
    oom_score_adj: Option<i16>,
    /// Bytes that /dev/shm has room for
    #[arg(long, value_name = "SIZE", default_value = "64m")]
    shm_size: String,
    /// How much its own files may take, such as size=10g, and how many there may be; more is refused as on a full disk
    #[arg(long, value_name = "size=SIZE|inodes=NUMBER")]
    storage_opt: Vec<String>,
}

impl LimitArgs {
    /// What was said of memory.
    pub fn memory_word(&self) -> Option<&str> {
        self.adjustable.memory.as_deref()
    }

    /// How soon its processes are ended where memory runs out.
    pub fn oom_score_adj(&self) -> Option<i16> {
        self.oom_score_adj
    }

    /// Limits of each process.
    pub fn of_processes(&self) -> Result<Vec<ResourceLimit>> {
        self.ulimit.iter().map(|said| ulimits::read(said)).collect()
    }

    /// Bytes that `/dev/shm` has room for.
    pub fn shm_bytes(&self) -> Result<u64> {
        // A record of one that could not say it.
        let said = if self.shm_size.is_empty() { "64m" } else { &self.shm_size };
        words::bytes(said).with_context(|| format!("--shm-size `{}`", self.shm_size))
    }

    /// How much its own files may take.
    pub fn bounds(&self) -> Result<Bounds> {
        Bounds::of_words(&self.storage_opt)
    }

    /// The words of that.
    pub fn storage_words(&self) -> &[String] {
        &self.storage_opt
    }

    /// The limits; a word that is none is named with its option.
    pub fn limits(&self) -> Result<Limits> {
        Ok(Limits { io: self.io()?, files: self.files()?, ..self.adjustable.limits()? })
    }

    /// Those that can be told otherwise while it runs.
    pub fn adjustable(&self) -> &AdjustableArgs {
        &self.adjustable
    }

    /// Has others hold.
    pub fn adjust(&mut self, adjustable: AdjustableArgs) {
        self.adjustable = adjustable;
    }

    /// What is written to files of its group.
    pub fn files(&self) -> Result<Vec<(String, String)>> {
        self.cgroup_conf.iter().map(|said| group_file(said)).collect()
    }

    fn io(&self) -> Result<Vec<IoLimit>> {
        let said = [
            (IoKind::ReadBytes, &self.device_read_bps),
            (IoKind::WriteBytes, &self.device_write_bps),
            (IoKind::ReadOps, &self.device_read_iops),
            (IoKind::WriteOps, &self.device_write_iops),
        ];
        let each =
            said.into_iter().flat_map(|(kind, said)| said.iter().map(move |said| (kind, said)));
        each.map(|(kind, said)| io_limit(kind, said)).collect()
    }

    /// The words of those limits of disks, by docker's keys: each a device and a rate.
    pub fn io_words(&self) -> [(&'static str, &[String]); 4] {
        [
            ("BlkioDeviceReadBps", &self.device_read_bps),
            ("BlkioDeviceWriteBps", &self.device_write_bps),
            ("BlkioDeviceReadIOps", &self.device_read_iops),
            ("BlkioDeviceWriteIOps", &self.device_write_iops),
        ]
    }
}

impl AdjustableArgs {
    /// These, with those that were said in place of theirs.
    pub fn changed_by(&self, said: &AdjustableArgs) -> AdjustableArgs {
        let of = |said: &Option<String>, before: &Option<String>| said.clone().or(before.clone());
        let is_lifted = matches!(said.memory.as_deref().map(words::memory), Some(Ok(None)));
        AdjustableArgs {
            memory: of(&said.memory, &self.memory),
            memory_swap: match is_lifted {
                // It goes with a limit of memory alone.
                true => said.memory_swap.clone(),
                false => of(&said.memory_swap, &self.memory_swap),
            },
            memory_reservation: of(&said.memory_reservation, &self.memory_reservation),
            cpuset_cpus: of(&said.cpuset_cpus, &self.cpuset_cpus),
            cpuset_mems: of(&said.cpuset_mems, &self.cpuset_mems),
            blkio_weight: of(&said.blkio_weight, &self.blkio_weight),
            cpus: of(&said.cpus, &self.cpus),
            cpu_shares: of(&said.cpu_shares, &self.cpu_shares),
            pids_limit: of(&said.pids_limit, &self.pids_limit),
        }
    }

    /// The limits but those of single disks; a word that is none is named with its option.
    pub fn limits(&self) -> Result<Limits> {
        let read = |option: &str, word: &Option<String>, read: &dyn Fn(&str) -> Read| match word {
            Some(word) => read(word).with_context(|| format!("{option} `{word}`")),
            None => Ok(None),
        };
        let memory_bytes = read("--memory", &self.memory, &words::memory)?;
        let list = |option: &str, word: &Option<String>| match word {
            Some(word) => words::list(word).with_context(|| format!("{option} `{word}`")),
            None => Ok(None),
        };
        Ok(Limits {
            memory_bytes,
            swap: self.swap(memory_bytes)?,
            memory_reservation_bytes: read(
                "--memory-reservation",
                &self.memory_reservation,
                &words::memory,
            )?,
            cpuset_cpus: list("--cpuset-cpus", &self.cpuset_cpus)?,
            cpuset_mems: list("--cpuset-mems", &self.cpuset_mems)?,
            io_weight: read("--blkio-weight", &self.blkio_weight, &words::io_weight)?,
            io: Vec::new(),
            files: Vec::new(),
            devices: Vec::new(),
            makes_devices: false,
            cpus: match &self.cpus {
                Some(word) => words::cpus(word, cgroup::processors()?)
                    .with_context(|| format!("--cpus `{word}`"))?,
                None => None,
            },
            cpu_shares: read("--cpu-shares", &self.cpu_shares, &words::cpu_shares)?,
            pids_max: read("--pids-limit", &self.pids_limit, &words::pids)?,
        })
    }

    /// Swap beside the memory.
    fn swap(&self, memory_bytes: Option<u64>) -> Result<Option<Swap>> {
        let Some(word) = &self.memory_swap else { return Ok(None) };
        let shown = || format!("--memory-swap `{word}`");
        let Some(memory) = memory_bytes else {
            bail!("{}: it goes with --memory alone, which it is added up with", shown());
        };
        if word == "-1" {
            return Ok(Some(Swap::Any));
        }
        let both = words::bytes(word).with_context(shown)?;
        match both.checked_sub(memory) {
            Some(swap) => Ok(Some(Swap::Bytes(swap))),
            None => bail!("{}: memory and swap together are less than --memory alone", shown()),
        }
    }
}

/// Files that options write, some of which hold only where groups above have more in theirs.
const OF_OPTIONS: [(&str, &str); 11] = [
    ("memory.max", "--memory"),
    ("memory.swap.max", "--memory-swap"),
    ("memory.low", "--memory-reservation"),
    ("memory.min", "--memory-reservation"),
    ("cpu.max", "--cpus"),
    ("cpu.weight", "--cpu-shares"),
    ("cpuset.cpus", "--cpuset-cpus"),
    ("cpuset.mems", "--cpuset-mems"),
    ("pids.max", "--pids-limit"),
    ("io.max", "--device-read-bps and its like"),
    ("io.weight", "--blkio-weight"),
];

/// A file of a controller, and what is to stand there. Those of the groups themselves are not the caller's to write.
fn group_file(said: &str) -> Result<(String, String)> {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let Some((file, value)) = said.split_once('=') else {
        bail!("--cgroup-conf `{said}`: write FILE=VALUE, such as memory.oom.group=1");
    };
    if let Some((_, option)) = OF_OPTIONS.into_iter().find(|(known, _)| *known == file) {
        bail!(
            "--cgroup-conf `{said}`: `{file}` is written by {option}, which `update` and `inspect` know; say that"
        );
    }
    if value.is_empty() {
        bail!("--cgroup-conf `{said}`: there is no value");
    }
    let is_file = file.split_once('.').is_some_and(|(controller, _)| {
        !matches!(controller, "" | "cgroup") && file.bytes().all(is_of_name)
    });
    if !is_file {
        bail!("--cgroup-conf `{said}`: `{file}` is no file of a controller, such as memory.high");
    }
    Ok((file.to_owned(), value.to_owned()))
}

fn io_limit(kind: IoKind, said: &str) -> Result<IoLimit> {
    let shown = || format!("{} `{said}`", kind.flag());
    let Some((path, rate)) = said.rsplit_once(':') else {
        bail!("{}: write DEVICE:RATE, such as /dev/sda:10m", shown());
    };
    let stat = file::stat_path(path).with_context(shown)?;
    if file::type_of(&stat) != FileType::BlockDevice {
        bail!("{}: `{path}` is no block device; `lsblk -p` lists them", shown());
    }
    let per_second = match kind {
        IoKind::ReadBytes | IoKind::WriteBytes => words::byte_rate(rate),
        IoKind::ReadOps | IoKind::WriteOps => words::rate(rate),
    };
    let per_second = per_second.with_context(shown)?;
    Ok(IoLimit { device: file::device_numbers(&stat), kind, per_second })
}

type Read = Result<Option<u64>, words::WordError>;
