//! `layerfs layers`: what each layer of an image holds and takes.

use anyhow::Result;
use clap::Args;
use layerfs_driver::store::digest::Digest;
use serde::Serialize;

use super::columns::{self, Ids};
use crate::output::size::{Digits, human};
use crate::output::{Results, Table};
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs layers debian:bookworm
  layerfs layers --no-trunc 3f2a9c
  layerfs layers -q --no-trunc debian      only the diff ids
  layerfs layers --json debian | jq 'map(.own_bytes) | add'

The lowest layer comes first. SIZE counts the contents of its files; FILES its names, whiteouts included; OWN is what only \
this layer uses, SHARED what other layers of the store use too: removing the layer would free OWN.";

/// The words of `layerfs layers`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct LayersArgs {
    /// Name, id, or the beginning of an id
    image: String,
    /// Print only diff ids
    #[arg(short, long)]
    quiet: bool,
    /// Print digests in full
    #[arg(long)]
    no_trunc: bool,
    /// Print one JSON array
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    diff_id: Digest,
    size: u64,
    files: u64,
    own_bytes: u64,
    shared_bytes: u64,
}

/// Lists the layers of an image, lowest first.
pub fn run(args: &LayersArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let store = session.store()?;
    let image = store.find(&args.image)?.image;
    let rows = store.layer_usage(&image)?.into_iter().map(|layer| Row {
        diff_id: layer.diff_id,
        size: layer.size,
        files: layer.files,
        own_bytes: layer.own_bytes,
        shared_bytes: layer.shared_bytes,
    });
    let rows: Vec<Row> = rows.collect();
    let ids = if args.no_trunc { Ids::Full } else { Ids::Short };
    if args.json {
        results.json(&rows)?;
    } else if args.quiet {
        rows.iter().try_for_each(|row| results.line(columns::id(&row.diff_id, ids)))?;
    } else {
        results.table(&table_of(&rows, ids))?;
    }
    Ok(Outcome::Done)
}

fn table_of(rows: &[Row], ids: Ids) -> Table {
    let mut table = Table::new(&["DIFF ID", "SIZE", "FILES", "OWN", "SHARED"]);
    for row in rows {
        table.row([
            columns::id(&row.diff_id, ids),
            human(row.size, Digits::Three),
            row.files.to_string(),
            human(row.own_bytes, Digits::Three),
            human(row.shared_bytes, Digits::Three),
        ]);
    }
    table
}
