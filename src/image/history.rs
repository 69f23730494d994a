//! `layerfs history`: the steps that made an image, and what each added.

use anyhow::Result;
use clap::Args;
use layerfs_driver::store::digest::Digest;
use layerfs_driver::store::image::Image;
use serde::Serialize;

use super::columns::{self, Ids};
use super::steps::{Step, steps};
use crate::output::size::{Digits, human};
use crate::output::text::cut;
use crate::output::{Results, Table, time};
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs history debian:bookworm
  layerfs history --no-trunc debian:bookworm      whole commands
  layerfs history --json debian:bookworm | jq -r '.[] | select(.layer) | \"\\(.size) \\(.layer) \\(.created_by)\"'

The newest step comes first, and carries the image's id: no other step has one. A step that only changed the \
configuration made no layer, and its size is 0B.";

/// What docker shows for a step that has no image of its own.
const MISSING: &str = "<missing>";

/// Characters of a command that are shown, as docker cuts it.
const COMMAND_LEN_MAX: usize = 45;

/// The words of `layerfs history`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct HistoryArgs {
    /// Name, id, or the beginning of an id
    image: String,
    /// Print only ids
    #[arg(short, long)]
    quiet: bool,
    /// Print ids and commands in full
    #[arg(long)]
    no_trunc: bool,
    /// Print one JSON array
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    id: Option<Digest>,
    created: Option<String>,
    created_by: String,
    author: String,
    comment: String,
    empty_layer: bool,
    layer: Option<Digest>,
    size: u64,
    #[serde(skip)]
    created_secs: Option<i64>,
}

/// Shows the history of an image, newest step first.
pub fn run(args: &HistoryArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let image = session.store()?.find(&args.image)?.image;
    let rows = rows_of(&image);
    let ids = if args.no_trunc { Ids::Full } else { Ids::Short };
    if args.json {
        results.json(&rows)?;
    } else if args.quiet {
        rows.iter().try_for_each(|row| results.line(shown_id(row, ids)))?;
    } else {
        results.table(&table_of(&rows, ids))?;
    }
    Ok(Outcome::Done)
}

fn rows_of(image: &Image) -> Vec<Row> {
    let steps = steps(&image.config.history, &image.layers);
    let mut rows: Vec<Row> = steps.iter().rev().map(row_of).collect();
    if let Some(newest) = rows.first_mut() {
        newest.id = Some(image.id);
    }
    rows
}

fn row_of(step: &Step) -> Row {
    let history = step.history;
    let created = history.and_then(|history| history.created.as_deref());
    let created_secs = created.and_then(time::parse_rfc3339);
    Row {
        id: None,
        created: created_secs.map(time::rfc3339),
        created_by: history.map(|history| history.created_by.clone()).unwrap_or_default(),
        author: history.map(|history| history.author.clone()).unwrap_or_default(),
        comment: history.map(|history| history.comment.clone()).unwrap_or_default(),
        empty_layer: step.layer.is_none(),
        layer: step.layer.map(|layer| layer.diff_id),
        size: step.layer.map_or(0, |layer| layer.size),
        created_secs,
    }
}

fn shown_id(row: &Row, ids: Ids) -> String {
    row.id.map_or_else(|| MISSING.into(), |id| columns::id(&id, ids))
}

fn table_of(rows: &[Row], ids: Ids) -> Table {
    let mut table = Table::new(&["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"]);
    for row in rows {
        let command = match ids {
            Ids::Short => cut(&row.created_by, COMMAND_LEN_MAX),
            Ids::Full => row.created_by.clone(),
        };
        table.row([
            shown_id(row, ids),
            columns::age(row.created_secs),
            command,
            human(row.size, Digits::Three),
            row.comment.clone(),
        ]);
    }
    table
}
