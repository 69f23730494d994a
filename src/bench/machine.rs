//! What figures hold for: this machine, its kernel, and how the command was called.

use anyhow::Result;
use layerfs_driver::sys::host;
use layerfs_runtime::cgroup;

use crate::output::time;

/// Where and when it is measured.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Release of the kernel and the kernel's name of the machine.
    pub kernel: String,
    /// How many processors the command may use.
    pub processors: u64,
    /// When it began.
    pub date: String,
    /// The words of the command.
    pub command: String,
}

/// Looks at this machine.
pub fn look() -> Result<Machine> {
    let (release, machine) = host::kernel();
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    Ok(Machine {
        kernel: format!("{release} {machine}"),
        processors: u64::from(cgroup::processors()?),
        date: time::rfc3339(i64::try_from(host::now_secs()).unwrap_or(i64::MAX)),
        command: format!("layerfs {}", words.join(" ")),
    })
}
