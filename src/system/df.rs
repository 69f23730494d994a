//! `layerfs df`: what the store takes on disk.

use anyhow::Result;
use clap::Args;
use layerfs_driver::store::Usage;
use serde::Serialize;

use crate::container::subordinate;
use crate::output::size::{Digits, human, percent};
use crate::output::{Results, Table};
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs df
  layerfs df --json | jq 'map(select(.type == \"images\" or .type == \"containers\").size) | add'

The first two rows add up to what `du` counts; the rows below say what the images consist of. ACTIVE are images \
that containers or mounts use, and containers that run; RECLAIMABLE is what removing all others would free.";

/// The words of `layerfs df`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct DfArgs {
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    #[serde(rename = "type")]
    kind: &'static str,
    /// `None` where counting says nothing.
    total: Option<u64>,
    /// `None` for parts.
    active: Option<u64>,
    size: u64,
    /// `None` for parts of images.
    reclaimable: Option<u64>,
}

/// Prints the usage of the store.
pub fn run(args: &DfArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let store = session.store()?;
    match store.usage() {
        Ok(usage) => print(args, &usage, results),
        Err(error) => {
            tracing::debug!("{error}; once more with all ids of the user");
            subordinate::with_all_ids(results, |results| print(args, &store.usage()?, results))
        }
    }
}

fn print(args: &DfArgs, usage: &Usage, results: &mut Results) -> Result<Outcome> {
    let rows = rows_of(usage);
    if args.json {
        results.json(&rows)?;
    } else {
        results.table(&table_of(&rows))?;
    }
    Ok(Outcome::Done)
}

fn rows_of(usage: &Usage) -> Vec<Row> {
    let part = |kind, total, size| Row { kind, total, active: None, size, reclaimable: None };
    vec![
        Row {
            kind: "images",
            total: Some(usage.images),
            active: Some(usage.active_images),
            size: usage.image_bytes(),
            reclaimable: Some(usage.reclaimable_bytes),
        },
        Row {
            kind: "containers",
            total: Some(usage.containers),
            active: Some(usage.living_containers),
            size: usage.container_bytes,
            reclaimable: Some(usage.dead_container_bytes),
        },
        part("objects", Some(usage.objects), usage.object_bytes),
        part("layers", Some(usage.layers), usage.index_bytes),
        part("trees", Some(usage.trees), usage.tree_bytes),
        part("blobs", None, usage.blob_bytes),
        part("other", None, usage.other_bytes),
    ]
}

/// What a row is called in the table.
fn heading(kind: &str) -> &str {
    match kind {
        "images" => "Images",
        "containers" => "Containers",
        "objects" => "  File contents",
        "layers" => "  Layer indexes",
        "trees" => "  Merged trees",
        "blobs" => "  Manifests and configurations",
        _ => "  Other",
    }
}

fn table_of(rows: &[Row]) -> Table {
    let mut table = Table::new(&["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]);
    let count = |count: Option<u64>| count.map(|count| count.to_string()).unwrap_or_default();
    for row in rows {
        let reclaimable = row.reclaimable.map(|bytes| match percent(bytes, row.size) {
            0 if row.size == 0 => human(bytes, Digits::Four),
            share => format!("{} ({share}%)", human(bytes, Digits::Four)),
        });
        table.row([
            heading(row.kind).into(),
            count(row.total),
            count(row.active),
            human(row.size, Digits::Four),
            reclaimable.unwrap_or_default(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_parts_add_up_to_the_images() {
        let usage = Usage {
            images: 2,
            layers: 3,
            trees: 2,
            objects: 10,
            object_bytes: 5000,
            index_bytes: 400,
            tree_bytes: 30,
            blob_bytes: 2,
            other_bytes: 1,
            active_images: 1,
            reclaimable_bytes: 2716,
            containers: 3,
            living_containers: 1,
            container_bytes: 4000,
            dead_container_bytes: 1000,
        };
        let rows = rows_of(&usage);
        assert_eq!(rows[0].size, 5433);
        assert_eq!(rows[2..].iter().map(|row| row.size).sum::<u64>(), 5433);
        let lines = table_of(&rows).lines();
        assert!(lines[1].ends_with("2.716kB (49%)"), "{}", lines[1]);
        let words: Vec<&str> = lines[2].split_whitespace().collect();
        assert_eq!(words, ["Containers", "3", "1", "4kB", "1kB", "(25%)"]);
    }
}
