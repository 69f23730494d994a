//! What a container's record says beside the rest, under docker's keys: what runs in it, within which limits, and what of the
//! host it sees. `docs/json.md` lists the keys.

use std::collections::BTreeMap;
use std::ffi::CString;

use layerfs_driver::store::container::Keep;
use layerfs_runtime::cgroup::{Cpus, Limits, Swap, words};
use layerfs_runtime::spec::{Access, Process, ResourceLimit, Sysctl};
use serde_json::{Map, Value, json};

use super::devices;
use super::network::{self, Wanted};
use super::rights::RIGHTS;
use super::security::SecurityArgs;
use super::ulimits;
use super::volumes::{self, Mounted};
use super::words::UsersWord;
use crate::mount::bounds;

/// Billionths of a processor in a microsecond of each period of 100 ms.
const NANO_CPUS_OF_QUOTA_US: u64 = 10_000;

/// What is noted of a container when it is made.
#[derive(Debug)]
pub struct Noted<'a> {
    /// What runs, with the image's words where the user said none.
    pub process: &'a Process,
    /// How many of its words are the entrypoint.
    pub entrypoint_len: usize,
    /// Whether it has a terminal of its own.
    pub terminal: bool,
    /// Its limits.
    pub limits: &'a Limits,
    /// How soon its processes are ended where memory runs out.
    pub oom_score_adj: Option<i16>,
    /// How much its own files may take, as it was said.
    pub storage: &'a [String],
    /// Limits of disks, in their words, by docker's keys.
    pub disks: [(&'static str, &'a [String]); 4],
    /// Whose users its own are.
    pub users: UsersWord,
    /// Which network it sees.
    pub network: &'a Wanted,
    /// Whether its first process is one of ours.
    pub init: bool,
    /// What can be done to its root.
    pub root: Access,
    /// What of the host it sees.
    pub volumes: &'a [Mounted],
    /// Settings of the kernel.
    pub sysctls: &'a [Sysctl],
    /// File systems in memory, as they were said.
    pub tmpfs: &'a [String],
    /// Bytes that `/dev/shm` has room for.
    pub shm_bytes: u64,
    /// Limits of its processes.
    pub resource_limits: &'a [ResourceLimit],
    /// Labels: the image's, and those that were said.
    pub labels: BTreeMap<String, String>,
    /// The signal by which it is asked to end, by its name.
    pub stop_signal: String,
    /// How many seconds it has then.
    pub stop_timeout: Option<i64>,
    /// What becomes of it when it ends.
    pub keep: Keep,
    /// What was said of its rights.
    pub security: &'a SecurityArgs,
    /// What came of that.
    pub rights: Value,
}

impl Noted<'_> {
    /// The words of the first process.
    pub fn command(&self) -> Vec<String> {
        texts(&self.process.words)
    }

    /// `Config` and `HostConfig`. The name of the machine stands in the record itself.
    pub fn details(&self) -> Map<String, Value> {
        let words = self.command();
        let (entrypoint, cmd) = words.split_at(self.entrypoint_len.min(words.len()));
        let mut environment = texts(&self.process.environment);
        // It is the container's, and known only when that is made.
        environment.retain(|line| line != "HOSTNAME=");
        let config = json!({
            "Cmd": some(cmd),
            "Entrypoint": some(entrypoint),
            "Env": environment,
            "WorkingDir": self.process.directory.to_string_lossy(),
            "User": self.process.user,
            "Tty": self.terminal,
            "Labels": self.labels,
            "StopSignal": self.stop_signal,
            "StopTimeout": self.stop_timeout,
        });
        // As docker has it: of those that nobody named, `Mounts` alone tells.
        let named = self.volumes.iter().filter(|mounted| !mounted.is_anonymous);
        let host = json!({
            "OomScoreAdj": self.oom_score_adj.unwrap_or(0),
            "NetworkMode": self.network.mode.word(),
            "PortBindings": network::shown::bindings(&self.network.ports),
            "UsernsMode": match self.users {
                UsersWord::Auto => "auto",
                UsersWord::Host => "host",
            },
            "Init": self.init,
            "AutoRemove": self.keep == Keep::Throwaway,
            "ReadonlyRootfs": self.root == Access::ReadOnly,
            "Sysctls": sysctls(self.sysctls),
            "Tmpfs": in_memory(self.tmpfs),
            "ShmSize": self.shm_bytes,
            "StorageOpt": storage(self.storage),
            "CgroupConf": group_files(self.limits),
            "Ulimits": self.resource_limits.iter().map(ulimit).collect::<Vec<_>>(),
            "Devices": self.security.device_words().iter().map(|said| device(said)).collect::<Vec<_>>(),
            "Privileged": self.security.is_privileged(),
            "CapAdd": some(self.security.added()),
            "CapDrop": some(self.security.dropped()),
            "SecurityOpt": some(self.security.options()),
            "Binds": named.map(volumes::words).collect::<Vec<_>>(),
        });
        let mounts = self.volumes.iter().map(shown).collect();
        let mut host = host;
        show_limits(&mut host, self.limits);
        for (key, said) in self.disks {
            host[key] = json!(
                some(said).map(|said| said.iter().map(|said| rate(said)).collect::<Vec<_>>())
            );
        }
        Map::from_iter([
            ("Config".to_owned(), config),
            ("HostConfig".to_owned(), host),
            ("Mounts".to_owned(), Value::Array(mounts)),
            (RIGHTS.to_owned(), self.rights.clone()),
        ])
    }
}

/// Notes limits in a `HostConfig`.
pub fn show_limits(host: &mut Value, limits: &Limits) {
    host["Memory"] = json!(limits.memory_bytes.unwrap_or(0));
    host["MemorySwap"] = json!(swap(limits));
    host["MemoryReservation"] = json!(limits.memory_reservation_bytes.unwrap_or(0));
    host["CpusetCpus"] = json!(limits.cpuset_cpus.as_deref().unwrap_or(""));
    host["CpusetMems"] = json!(limits.cpuset_mems.as_deref().unwrap_or(""));
    host["BlkioWeight"] = json!(limits.io_weight.unwrap_or(0));
    host["NanoCpus"] = json!(limits.cpus.map_or(0, nano_cpus));
    host["CpuShares"] = json!(limits.cpu_shares.unwrap_or(0));
    host["PidsLimit"] = json!(limits.pids_max);
}

/// Docker's way: memory and swap together, 0 for no limit of memory, -1 for any swap.
fn swap(limits: &Limits) -> i64 {
    let Some(memory) = limits.memory_bytes else { return 0 };
    let both = match limits.swap {
        None => memory,
        Some(Swap::Any) => return -1,
        Some(Swap::Bytes(swap)) => memory.saturating_add(swap),
    };
    i64::try_from(both).unwrap_or(i64::MAX)
}

/// Podman's way: what was written by the file, `null` for none.
fn group_files(limits: &Limits) -> Option<Map<String, Value>> {
    let files = limits.files.iter().map(|(file, value)| (file.clone(), json!(value)));
    (!limits.files.is_empty()).then(|| files.collect())
}

/// A device and a rate, which were read before.
fn rate(said: &str) -> Value {
    let (path, rate) = said.rsplit_once(':').unwrap_or((said, ""));
    json!({"Path": path, "Rate": words::bytes(rate).unwrap_or(0)})
}

fn nano_cpus(cpus: Cpus) -> u64 {
    cpus.quota_us.saturating_mul(NANO_CPUS_OF_QUOTA_US)
}

fn shown(mounted: &Mounted) -> Value {
    let volume = &mounted.volume;
    json!({
        "Type": if mounted.name.is_some() { "volume" } else { "bind" },
        "Name": mounted.name,
        "Source": volume.source.to_string_lossy(),
        "Destination": volume.target.to_string_lossy(),
        "RW": volume.access == Access::ReadWrite,
    })
}

fn device(said: &str) -> Value {
    let (host, inside, access) = devices::parts(said);
    json!({"PathOnHost": host, "PathInContainer": inside, "CgroupPermissions": access})
}

/// Docker's way: none is `null`.
fn some(words: &[String]) -> Option<&[String]> {
    (!words.is_empty()).then_some(words)
}

/// Docker's way: options by target, `null` for none.
fn in_memory(said: &[String]) -> Option<Map<String, Value>> {
    let one = |words: &String| {
        let (target, options) = words.split_once(':').unwrap_or((words, ""));
        (target.to_owned(), json!(options))
    };
    (!said.is_empty()).then(|| said.iter().map(one).collect())
}

/// Docker's way: words by name, `null` for none; the last of a name counts.
fn storage(said: &[String]) -> Option<Map<String, Value>> {
    let one = |(name, word): (&str, &str)| (name.to_owned(), json!(word));
    (!said.is_empty()).then(|| bounds::pairs(said).map(one).collect())
}

/// Docker's way: values by name, `null` for none.
fn sysctls(sysctls: &[Sysctl]) -> Option<Map<String, Value>> {
    let one = |sysctl: &Sysctl| (sysctl.path.replace('/', "."), json!(sysctl.value));
    (!sysctls.is_empty()).then(|| sysctls.iter().map(one).collect())
}

/// -1 is no limit.
fn ulimit(limit: &ResourceLimit) -> Value {
    let number = |number: Option<u64>| number.map_or(json!(-1), |number| json!(number));
    json!({"Name": ulimits::name_of(limit), "Soft": number(limit.soft), "Hard": number(limit.hard)})
}

fn texts(lines: &[CString]) -> Vec<String> {
    lines.iter().map(|line| line.to_string_lossy().into_owned()).collect()
}
