//! One step: a deed in a process of its own, which may hang or be ended and takes nothing else with it.

use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use layerfs_driver::sys::stream::FileReader;
use layerfs_driver::sys::{dir, file, mount};
use layerfs_runtime::apart::{self, Ended, EndsHere, Forked, Until};

use super::serving;
use crate::output::message;

/// Does `deed` in a process of its own, and answers the seconds that it says. One that takes longer than `limit` has the
/// connections below `mounts` aborted, for which whoever waits goes on, and is ended with all it started.
pub fn run(
    limit: Duration,
    mounts: &Path,
    deed: impl FnOnce() -> Result<Duration>,
) -> Result<Duration> {
    let (reader, writer) = apart::pipe()?;
    let child = match apart::fork_into(apart::NOTHING)? {
        Forked::Child => {
            let _ends = EndsHere { status: 1 };
            drop(reader);
            let said = match deed() {
                Ok(took) => format!("took {}", took.as_nanos()),
                Err(error) => message::line_of(&error),
            };
            let told = file::write_all(&writer, said.as_bytes());
            apart::exit_now(u8::from(told.is_err()));
        }
        Forked::Parent(child) => child,
    };
    drop(writer);
    if !apart::wait_until(&[(reader.as_fd(), Until::Readable)], Some(limit))?[0] {
        abort_below(mounts)?;
        serving::now()?.end()?;
        apart::wait(&child.pidfd)?;
        bail!("hung: it took longer than {} s, and was ended", limit.as_secs());
    }
    let mut said = String::new();
    FileReader::new(reader).read_to_string(&mut said).context("listen to a step")?;
    let ended = apart::wait(&child.pidfd)?;
    match said.strip_prefix("took ").map(str::parse) {
        Some(Ok(nanos)) => Ok(Duration::from_nanos(nanos)),
        _ if said.is_empty() => Err(died(ended)),
        _ => bail!("{said}"),
    }
}

fn died(ended: Ended) -> anyhow::Error {
    anyhow!("the step's process {ended}")
}

/// Ends the FUSE connections of what is mounted at or below a place, so that whoever waits for them goes on.
pub fn abort_below(place: &Path) -> Result<()> {
    for standing in mount::standing()?.iter().filter(|mount| mount.at.starts_with(place)) {
        let device = String::from_utf8_lossy(&standing.device).into_owned();
        let minor = device.split(':').nth(1).unwrap_or_default();
        // Only connections of FUSE have a directory there.
        if let Ok(knobs) = dir::open_path(format!("/sys/fs/fuse/connections/{minor}").as_str()) {
            apart::write_control(&knobs, "abort", "1")?;
        }
    }
    Ok(())
}
