//! The mounts there are, as the kernel lists them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use anyhow::Result;
use layerfs_driver::sys::mount::{self, Mounted};
use serde::Serialize;

use super::dead;
use crate::output::Results;
use crate::output::table::Table;
use crate::session::Outcome;

#[derive(Debug, Serialize)]
struct Row {
    source: String,
    mountpoint: String,
    read_only: bool,
    served: bool,
}

/// Prints every layerfs mount of this mount namespace.
pub fn run(json: bool, results: &mut Results) -> Result<Outcome> {
    let mounted = mount::mounted("fuse.layerfs")?;
    let at = |mount: &Mounted| PathBuf::from(OsStr::from_bytes(&mount.at));
    let dead = dead::are_dead(mounted.iter().map(at).collect());
    let rows: Vec<Row> = mounted
        .into_iter()
        .zip(dead)
        .map(|(mount, is_dead)| Row {
            source: String::from_utf8_lossy(&mount.source).into_owned(),
            mountpoint: String::from_utf8_lossy(&mount.at).into_owned(),
            read_only: mount.read_only,
            served: !is_dead,
        })
        .collect();
    if json {
        results.json(&rows)?;
        return Ok(Outcome::Done);
    }
    let mut table = Table::new(&["SOURCE", "MOUNTPOINT", "MODE"]);
    for row in rows {
        let mode = match (row.served, row.read_only) {
            (false, _) => "dead",
            (true, true) => "ro",
            (true, false) => "rw",
        };
        table.row([row.source, row.mountpoint, mode.into()]);
    }
    results.table(&table)?;
    Ok(Outcome::Done)
}
