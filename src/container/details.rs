//! What a container's record says beside the rest, under docker's keys: what runs in it, within which limits, and what of the
//! host it sees. `docs/json.md` lists the keys.

use std::ffi::CString;

use layerfs_runtime::cgroup::{Cpus, Limits};
use layerfs_runtime::spec::{Access, Process, ResourceLimit, Sysctl, Volume};
use serde_json::{Map, Value, json};

use super::network::{self, Wanted};
use super::security::SecurityArgs;
use super::ulimits;

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
    /// Which network it sees.
    pub network: &'a Wanted,
    /// What can be done to its root.
    pub root: Access,
    /// What of the host it sees.
    pub volumes: &'a [Volume],
    /// Settings of the kernel.
    pub sysctls: &'a [Sysctl],
    /// File systems in memory, as they were said.
    pub tmpfs: &'a [String],
    /// Bytes that `/dev/shm` has room for.
    pub shm_bytes: u64,
    /// Limits of its processes.
    pub resource_limits: &'a [ResourceLimit],
    /// What was said of its rights.
    pub security: &'a SecurityArgs,
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
        });
        let host = json!({
            "Memory": self.limits.memory_bytes.unwrap_or(0),
            "NanoCpus": self.limits.cpus.map_or(0, nano_cpus),
            "CpuShares": self.limits.cpu_shares.unwrap_or(0),
            "PidsLimit": self.limits.pids_max,
            "NetworkMode": self.network.mode.word(),
            "PortBindings": network::shown::bindings(&self.network.ports),
            "ReadonlyRootfs": self.root == Access::ReadOnly,
            "Sysctls": sysctls(self.sysctls),
            "Tmpfs": in_memory(self.tmpfs),
            "ShmSize": self.shm_bytes,
            "Ulimits": self.resource_limits.iter().map(ulimit).collect::<Vec<_>>(),
            "CapAdd": some(self.security.added()),
            "CapDrop": some(self.security.dropped()),
            "SecurityOpt": some(self.security.options()),
            "Binds": self.volumes.iter().map(bind).collect::<Vec<_>>(),
        });
        Map::from_iter([("Config".to_owned(), config), ("HostConfig".to_owned(), host)])
    }
}

fn nano_cpus(cpus: Cpus) -> u64 {
    cpus.quota_us.saturating_mul(NANO_CPUS_OF_QUOTA_US)
}

/// Docker's way: none is `null`.
fn some(words: &[String]) -> Option<&[String]> {
    (!words.is_empty()).then_some(words)
}

fn bind(volume: &Volume) -> String {
    let access = if volume.access == Access::ReadOnly { "ro" } else { "rw" };
    format!("{}:{}:{access}", volume.source.display(), volume.target.display())
}

/// Docker's way: options by target, `null` for none.
fn in_memory(said: &[String]) -> Option<Map<String, Value>> {
    let one = |words: &String| {
        let (target, options) = words.split_once(':').unwrap_or((words, ""));
        (target.to_owned(), json!(options))
    };
    (!said.is_empty()).then(|| said.iter().map(one).collect())
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
