//! The mounts there are, as the kernel lists them.

use anyhow::Result;
use layerfs_driver::sys::mount;
use serde::Serialize;

use crate::output::Results;
use crate::output::table::Table;
use crate::session::Outcome;

#[derive(Debug, Serialize)]
struct Row {
    source: String,
    mountpoint: String,
    read_only: bool,
}

/// Prints every layerfs mount of this mount namespace.
pub fn run(json: bool, results: &mut Results) -> Result<Outcome> {
    let mounted = mount::mounted("fuse.layerfs")?;
    let rows: Vec<Row> = mounted
        .into_iter()
        .map(|mount| Row {
            source: String::from_utf8_lossy(&mount.source).into_owned(),
            mountpoint: String::from_utf8_lossy(&mount.at).into_owned(),
            read_only: mount.read_only,
        })
        .collect();
    if json {
        results.json(&rows)?;
        return Ok(Outcome::Done);
    }
    let mut table = Table::new(&["SOURCE", "MOUNTPOINT", "MODE"]);
    for row in rows {
        table.row([row.source, row.mountpoint, if row.read_only { "ro" } else { "rw" }.into()]);
    }
    results.table(&table)?;
    Ok(Outcome::Done)
}
