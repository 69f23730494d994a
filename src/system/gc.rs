//! `layerfs gc`: removes what nothing uses any more.

use anyhow::Result;
use clap::Args;
use layerfs_driver::store::Collected;
use serde::Serialize;

use crate::container::subordinate;
use crate::container::sweep::{Swept, sweep};
use crate::output::size::{Digits, human};
use crate::output::{Results, message};
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs gc
  layerfs gc --json | jq '.[0].bytes'

Removes layers and file contents that no image and no container uses, and what imports, mounts and throwaway \
containers left that were killed. Images and kept containers are never removed: see `layerfs rmi`, which runs this by \
itself, and `layerfs rm`. It may run beside imports, mounts and containers.";

/// The words of `layerfs gc`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct GcArgs {
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    blobs: u64,
    objects: u64,
    layers: u64,
    trees: u64,
    imports: u64,
    containers: u64,
    bytes: u64,
}

/// Collects, and prints what went.
pub fn run(args: &GcArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let store = session.store()?;
    let Swept { removed: containers, bytes: swept, .. } = sweep(&store, session.roots())?;
    store.forget_absent_uppers()?;
    if let Err(error) = store.sweep_volumes() {
        tracing::debug!("{error}; once more with all ids of the user");
        let swept = subordinate::with_all_ids(results, |_| {
            store.sweep_volumes()?;
            Ok(Outcome::Done)
        })?;
        if swept != Outcome::Done {
            return Ok(swept);
        }
    }
    let Collected { blobs, objects, layers, trees, imports, bytes } = store.collect()?;
    let bytes = bytes + swept;
    for stranger in store.strangers()? {
        message::say(format_args!("{stranger}; `layerfs fsck --repair` sets it aside"));
    }
    if args.json {
        results.json(&[Row { blobs, objects, layers, trees, imports, containers, bytes }])?;
        return Ok(Outcome::Done);
    }
    let kinds = [
        (layers, "layers"),
        (trees, "merged trees"),
        (objects, "file contents"),
        (blobs, "manifests and configurations"),
        (imports, "unfinished imports"),
        (containers, "dead mounts and throwaway containers"),
    ];
    for (count, kind) in kinds.iter().filter(|(count, _)| *count > 0) {
        results.line(format_args!("Deleted {kind}: {count}"))?;
    }
    results.line(format_args!("Total reclaimed space: {}", human(bytes, Digits::Four)))?;
    Ok(Outcome::Done)
}
