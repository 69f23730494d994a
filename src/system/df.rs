//! `layerfs df`: what the store takes on disk.

use anyhow::Result;
use clap::Args;
use layerfs_driver::store::Usage;
use serde::Serialize;
use serde_json::{Value, json};

use crate::container::subordinate;
use crate::output::size::{Digits, human, percent};
use crate::output::template::Format;
use crate::output::{Results, Table};
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs df
  layerfs df --format '{{.Type}}: {{.Size}}, of which {{.Reclaimable}} can be had back'
  layerfs df --json | jq 'map(select(.active != null).size) | add'

The first three rows add up to what `du` counts; the rows below say what the images consist of. ACTIVE are images \
that containers or mounts use, containers that run, and volumes that containers name; RECLAIMABLE is what removing all others would free.";

/// The words of `layerfs df`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct DfArgs {
    /// Print `json`, one object a line, or a line such as '{{.Type}} {{.Size}}', under headings after `table `; parts of images have none
    #[arg(long, value_name = "TEMPLATE", conflicts_with = "json")]
    format: Option<String>,
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
    let format = Format::asked(args.format.as_deref())?;
    let print = |usage: &Usage, results: &mut Results| print((args, &format), usage, results);
    let store = session.store()?;
    match store.usage() {
        Ok(usage) => print(&usage, results),
        Err(error) => {
            tracing::debug!("{error}; once more with all ids of the user");
            subordinate::with_all_ids(results, |results| print(&store.usage()?, results))
        }
    }
}

fn print(
    (args, format): (&DfArgs, &Option<Format>),
    usage: &Usage,
    results: &mut Results,
) -> Result<Outcome> {
    let rows = rows_of(usage);
    if let Some(format) = format {
        format.print(&rows.iter().filter_map(Row::fields).collect::<Vec<_>>(), results)?;
    } else if args.json {
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
        Row {
            kind: "volumes",
            total: Some(usage.volumes),
            active: Some(usage.active_volumes),
            size: usage.volume_bytes,
            reclaimable: Some(usage.unused_volume_bytes),
        },
        part("objects", Some(usage.objects), usage.object_bytes),
        part("layers", Some(usage.layers), usage.index_bytes),
        part("trees", Some(usage.trees), usage.tree_bytes),
        part("blobs", None, usage.blob_bytes),
        part("other", None, usage.other_bytes),
    ]
}

impl Row {
    /// What a template can say, under docker's names; docker has no parts of images.
    fn fields(&self) -> Option<Value> {
        Some(json!({
            "Type": heading(self.kind),
            "TotalCount": self.total?.to_string(),
            "Active": self.active?.to_string(),
            "Size": human(self.size, Digits::Four),
            "Reclaimable": self.reclaimable()?,
        }))
    }

    fn reclaimable(&self) -> Option<String> {
        self.reclaimable.map(|bytes| match percent(bytes, self.size) {
            0 if self.size == 0 => human(bytes, Digits::Four),
            share => format!("{} ({share}%)", human(bytes, Digits::Four)),
        })
    }
}

/// What a row is called in the table.
fn heading(kind: &str) -> &str {
    match kind {
        "images" => "Images",
        "containers" => "Containers",
        "volumes" => "Local Volumes",
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
        table.row([
            heading(row.kind).into(),
            count(row.total),
            count(row.active),
            human(row.size, Digits::Four),
            row.reclaimable().unwrap_or_default(),
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
            volumes: 2,
            active_volumes: 1,
            volume_bytes: 900,
            unused_volume_bytes: 300,
        };
        let rows = rows_of(&usage);
        assert_eq!(rows[0].size, 5433);
        assert_eq!(rows[3..].iter().map(|row| row.size).sum::<u64>(), 5433);
        let lines = table_of(&rows).lines();
        assert!(lines[1].ends_with("2.716kB (49%)"), "{}", lines[1]);
        let words: Vec<&str> = lines[2].split_whitespace().collect();
        assert_eq!(words, ["Containers", "3", "1", "4kB", "1kB", "(25%)"]);
        let words: Vec<&str> = lines[3].split_whitespace().collect();
        assert_eq!(words, ["Local", "Volumes", "2", "1", "900B", "300B", "(33%)"]);
        let templates: Vec<Value> = rows.iter().filter_map(Row::fields).collect();
        assert_eq!(templates.len(), 3);
        assert_eq!(templates[2]["Reclaimable"], "300B (33%)");
    }
}
