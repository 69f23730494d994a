//! The words for limits, as numbers.

use anyhow::{Context, Result};
use clap::Args;
use layerfs_runtime::cgroup::{self, Limits, words};
use layerfs_runtime::spec::ResourceLimit;
use serde::{Deserialize, Serialize};

use super::ulimits;

/// What a container may take.
#[derive(Clone, Debug, Args, Serialize, Deserialize)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Memory: bytes, or a number with k, m or g, such as 50m; no swap beyond it
    #[arg(short, long, value_name = "SIZE")]
    memory: Option<String>,
    /// Processors, in part or several, such as 0.5
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<String>,
    /// Weight against other containers where processors are short; 1024 is usual
    #[arg(short, long, value_name = "WEIGHT")]
    cpu_shares: Option<String>,
    /// Processes and threads; -1 for any number
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pids_limit: Option<String>,
    /// A limit of each process, such as nofile=1024:4096 or core=0; -1 for none
    #[arg(long, value_name = "NAME=SOFT[:HARD]", allow_hyphen_values = true)]
    ulimit: Vec<String>,
    /// Bytes that /dev/shm has room for
    #[arg(long, value_name = "SIZE", default_value = "64m")]
    shm_size: String,
}

impl LimitArgs {
    /// What was said of memory.
    pub fn memory_word(&self) -> Option<&str> {
        self.memory.as_deref()
    }

    /// Limits of each process.
    pub fn of_processes(&self) -> Result<Vec<ResourceLimit>> {
        self.ulimit.iter().map(|said| ulimits::read(said)).collect()
    }

    /// Bytes that `/dev/shm` has room for.
    pub fn shm_bytes(&self) -> Result<u64> {
        words::bytes(&self.shm_size).with_context(|| format!("--shm-size `{}`", self.shm_size))
    }

    /// The limits; a word that is none is named with its option.
    pub fn limits(&self) -> Result<Limits> {
        let read = |option: &str, word: &Option<String>, read: &dyn Fn(&str) -> Read| match word {
            Some(word) => read(word).with_context(|| format!("{option} `{word}`")),
            None => Ok(None),
        };
        Ok(Limits {
            memory_bytes: read("--memory", &self.memory, &words::memory)?,
            cpus: match &self.cpus {
                Some(word) => words::cpus(word, cgroup::processors()?)
                    .with_context(|| format!("--cpus `{word}`"))?,
                None => None,
            },
            cpu_shares: read("--cpu-shares", &self.cpu_shares, &words::cpu_shares)?,
            pids_max: read("--pids-limit", &self.pids_limit, &words::pids)?,
        })
    }
}

type Read = Result<Option<u64>, words::WordError>;
