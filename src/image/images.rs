//! `layerfs images`: one row for each name of each image.

use anyhow::Result;
use clap::Args;
use layerfs_driver::store::digest::Digest;
use layerfs_driver::store::image::Image;
use layerfs_driver::store::reference::Reference;
use serde::Serialize;
use serde_json::{Value, json};

use super::columns::{self, Ids, NONE};
use super::filter::{self, Filter};
use crate::output::size::{Digits, human};
use crate::output::template::Format;
use crate::output::{Results, Table, time};
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs images
  layerfs images debian                 only the images of one repository
  layerfs images debian:bookworm        only one name
  layerfs images 3f2a9c                 only one image
  layerfs images -q                     only ids, each once
  layerfs images -qf dangling=true      only those without a name
  layerfs images -f 'reference=*:bookworm'
  layerfs images --digests --no-trunc   everything in full
  layerfs images --json | jq -r '.[] | select(.size > 1e9) | .repository'

SIZE counts the contents of all files of all layers. What an image shares with others counts for each of them: see \
`layerfs df` for what the store takes.";

/// The words of `layerfs images`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct ImagesArgs {
    /// Show only the image of this name, id, or beginning of an id; without a tag, all of this repository
    name: Option<String>,
    /// Show all images; taken for docker's sake, there are no hidden ones
    #[arg(short, long)]
    all: bool,
    /// Print only ids
    #[arg(short, long)]
    quiet: bool,
    /// Show only those that fit: `dangling=true` those without a name, `dangling=false` the others, `reference=PATTERN` names with
    /// `*` and `?` in them
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Print ids in full
    #[arg(long)]
    no_trunc: bool,
    /// Add a column with the digest of the manifest
    #[arg(long, conflicts_with = "quiet")]
    digests: bool,
    /// Print `json`, one object a line, or a line such as '{{.Repository}}:{{.Tag}}', under headings after `table `
    #[arg(long, value_name = "TEMPLATE", conflicts_with_all = ["quiet", "json"])]
    format: Option<String>,
    /// Print one JSON array
    #[arg(long, conflicts_with_all = ["quiet", "digests"])]
    json: bool,
}

/// One name of an image, or an image without names.
#[derive(Debug, Serialize)]
struct Row {
    id: Digest,
    repository: Option<String>,
    tag: Option<String>,
    digest: Option<Digest>,
    created: Option<String>,
    imported: String,
    size: u64,
    layers: usize,
    architecture: String,
    os: String,
    variant: Option<String>,
    #[serde(skip)]
    created_secs: Option<i64>,
    /// The repository with the registry's name.
    #[serde(skip)]
    whole: Option<String>,
}

/// Lists the images of the store.
pub fn run(args: &ImagesArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let filters = filter::read(&args.filter)?;
    let mut rows = Vec::new();
    let mut outcome = Outcome::Done;
    if let Some(store) = session.store_if_there()? {
        let listing = store.listing(args.name.as_deref())?;
        rows.extend(listing.images.iter().flat_map(|image| rows_of(image, &filters)));
        tell_apart(&mut rows);
        outcome = Outcome::of_unread(listing.unread);
    }
    // Newest first, as docker lists them; images of one time stay in the store's order.
    rows.sort_by_key(|row: &Row| std::cmp::Reverse(row.created_secs));
    let ids = if args.no_trunc { Ids::Full } else { Ids::Short };
    if let Some(format) = Format::asked(args.format.as_deref())? {
        let fields: Vec<Value> = rows.iter().map(|row| row.fields(ids)).collect();
        format.print(&fields, results)?;
    } else if args.json {
        results.json(&rows)?;
    } else if args.quiet {
        print_ids(&rows, ids, results)?;
    } else {
        results.table(&table_of(&rows, ids, args.digests.then_some("DIGEST")))?;
    }
    Ok(outcome)
}

impl Row {
    /// What a template can say, under docker's names.
    fn fields(&self, ids: Ids) -> Value {
        json!({
            "ID": columns::id(&self.id, ids),
            "Repository": or_none(self.repository.as_ref()),
            "Tag": or_none(self.tag.as_ref()),
            "Digest": self.digest.map_or_else(|| NONE.into(), |digest| digest.to_string()),
            "CreatedAt": or_none(self.created.as_ref()),
            "CreatedSince": columns::age(self.created_secs),
            "Size": human(self.size, Digits::Three),
        })
    }
}

fn rows_of(image: &Image, filters: &[Filter]) -> Vec<Row> {
    let created_secs = columns::created_secs(image);
    let row = |name: Option<&Reference>| Row {
        id: image.id,
        repository: name.map(Reference::familiar_repository),
        whole: name.map(Reference::repository),
        tag: name.and_then(Reference::tag).map(Into::into),
        digest: image.manifests.last().copied(),
        created: created_secs.map(time::rfc3339),
        imported: time::rfc3339(i64::try_from(image.imported_secs).unwrap_or(i64::MAX)),
        size: image.size(),
        layers: image.layers.len(),
        architecture: image.config.architecture.clone(),
        os: image.config.os.clone(),
        variant: image.config.variant.clone(),
        created_secs,
    };
    let nameless = image.names.is_empty().then_some(None);
    let names = image.names.iter().map(Some).chain(nameless);
    names.filter(|name| filter::fits(*name, filters)).map(row).collect()
}

/// Two names that are shown alike are shown whole.
fn tell_apart(rows: &mut [Row]) {
    let mut shown = std::collections::HashMap::new();
    for row in &*rows {
        if let Some(repository) = &row.repository {
            *shown.entry((repository.clone(), row.tag.clone())).or_insert(0) += 1;
        }
    }
    for row in rows {
        let Some(repository) = &row.repository else { continue };
        if shown.get(&(repository.clone(), row.tag.clone())).is_some_and(|count| *count > 1) {
            row.repository.clone_from(&row.whole);
        }
    }
}

fn print_ids(rows: &[Row], ids: Ids, results: &mut Results) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    for row in rows.iter().filter(|row| seen.insert(row.id)) {
        results.line(columns::id(&row.id, ids))?;
    }
    Ok(())
}

fn table_of(rows: &[Row], ids: Ids, digest_heading: Option<&str>) -> Table {
    let headings = ["REPOSITORY", "TAG"].into_iter().chain(digest_heading);
    let headings: Vec<&str> = headings.chain(["IMAGE ID", "CREATED", "SIZE"]).collect();
    let mut table = Table::new(&headings);
    for row in rows {
        let digest = || row.digest.map_or_else(|| NONE.into(), |digest| digest.to_string());
        let mut cells = vec![or_none(row.repository.as_ref()), or_none(row.tag.as_ref())];
        cells.extend(digest_heading.map(|_| digest()));
        cells.extend([
            columns::id(&row.id, ids),
            columns::age(row.created_secs),
            human(row.size, Digits::Three),
        ]);
        table.row(cells);
    }
    table
}

fn or_none(text: Option<&String>) -> String {
    text.cloned().unwrap_or_else(|| NONE.into())
}
