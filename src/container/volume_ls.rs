//! `layerfs volume ls`: one row for each volume.

use std::collections::HashSet;

use anyhow::{Context, Result};
use clap::Args;
use layerfs_driver::store::{Store, Volume};
use serde_json::{Value, json};

use crate::filters::{self, Pattern};
use crate::output::template::Format;
use crate::output::{Results, Table, time};
use crate::session::{Outcome, Session};

/// The words of `layerfs volume ls`.
#[derive(Debug, Args)]
pub struct VolumeLsArgs {
    /// Print only names
    #[arg(short, long)]
    quiet: bool,
    /// Show only those that fit; of one key any value, of several keys and of labels all
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Print `json`, one object a line, or a line such as '{{.Name}} {{.Mountpoint}}', under headings after `table `
    #[arg(long, value_name = "TEMPLATE", conflicts_with_all = ["quiet", "json"])]
    format: Option<String>,
    /// Print one JSON array
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
}

/// What a volume is chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Dangling,
    Name,
    Label,
}

const KEYS: [(&str, Key); 3] =
    [("dangling", Key::Dangling), ("name", Key::Name), ("label", Key::Label)];

/// A word of `--filter`.
#[derive(Clone, Debug)]
enum Filter {
    /// Whether no container names it.
    Dangling(bool),
    Name(Pattern),
    Label(String),
}

/// Lists the volumes of the store.
pub fn run(args: &VolumeLsArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let filters = filters::read(&args.filter, &KEYS, |key, said| {
        Ok(match key {
            Key::Dangling => Filter::Dangling(filters::yes_or_no(said)?),
            Key::Name => Filter::Name(Pattern::read(said)?),
            Key::Label => Filter::Label(said.to_owned()),
        })
    })?;
    let format = Format::asked(args.format.as_deref())?;
    let (volumes, unread) = match session.store_if_there()? {
        Some(store) => {
            let (volumes, unread) = store.volumes()?;
            (chosen(volumes, &filters, &store)?, unread)
        }
        None => (Vec::new(), Vec::new()),
    };
    if let Some(format) = format {
        format.print(&volumes.iter().map(fields).collect::<Vec<_>>(), results)?;
    } else if args.json {
        results.json(&volumes.iter().map(row).collect::<Vec<_>>())?;
    } else if args.quiet {
        volumes.iter().try_for_each(|volume| results.line(&volume.name))?;
    } else {
        let mut table = Table::new(&["DRIVER", "VOLUME NAME"]);
        volumes.into_iter().for_each(|volume| table.row(["local".into(), volume.name]));
        results.table(&table)?;
    }
    Ok(Outcome::of_unread(unread))
}

/// Those that fit.
fn chosen(mut volumes: Vec<Volume>, filters: &[Filter], store: &Store) -> Result<Vec<Volume>> {
    let named: HashSet<String> = match filters.iter().any(|one| one.key() == Key::Dangling) {
        true => {
            let containers = store.containers();
            let containers = containers.context(
                "--filter dangling: any volume may be used by a container that can't be read, which `layerfs fsck --repair` mends or \
                 sets aside",
            )?;
            containers.into_iter().flat_map(|one| one.volumes).collect()
        }
        false => HashSet::new(),
    };
    let key = |filter: &Filter| Some(filter.key()).filter(|key| *key != Key::Label);
    volumes.retain(|volume| filters::fit(filters, key, |filter| filter.fits(volume, &named)));
    Ok(volumes)
}

impl Filter {
    fn key(&self) -> Key {
        match self {
            Filter::Dangling(_) => Key::Dangling,
            Filter::Name(_) => Key::Name,
            Filter::Label(_) => Key::Label,
        }
    }

    /// Whether a volume fits; containers name those in `named`.
    fn fits(&self, volume: &Volume, named: &HashSet<String>) -> bool {
        match self {
            Filter::Dangling(wanted) => named.contains(&volume.name) != *wanted,
            Filter::Name(pattern) => pattern.fits(&volume.name),
            Filter::Label(said) => filters::has_label(labels(volume), said),
        }
    }
}

fn labels(volume: &Volume) -> impl Iterator<Item = (&str, &str)> {
    volume.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

fn row(volume: &Volume) -> Value {
    json!({
        "name": volume.name,
        "created": time::rfc3339_ms(volume.created_ms),
        "labels": volume.labels,
        "path": volume.path.to_string_lossy(),
    })
}

/// What a template can say, under docker's names.
fn fields(volume: &Volume) -> Value {
    let labels: Vec<String> =
        labels(volume).map(|(name, value)| format!("{name}={value}")).collect();
    json!({
        "Name": volume.name,
        "Driver": "local",
        "Scope": "local",
        "Mountpoint": volume.path.to_string_lossy(),
        "Labels": labels.join(","),
        "CreatedAt": time::rfc3339_ms(volume.created_ms),
    })
}
