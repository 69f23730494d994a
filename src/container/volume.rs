//! `layerfs volume`: directories that outlive containers.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use layerfs_driver::store::container::ContainerId;
use layerfs_driver::store::{Gone, Store, StoreError};
use layerfs_driver::sys::host;
use serde_json::json;

use super::start::each;
use super::subordinate;
use super::volume_ls::{self, VolumeLsArgs};
use crate::output::template::Format;
use crate::output::{Results, message, time};
use crate::session::{Outcome, Session};
use crate::system::ask;

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs volume create data
  layerfs run --rm -v data:/var/lib/data debian:bookworm sh -c 'date >> /var/lib/data/log'
  layerfs volume ls
  layerfs volume ls -qf dangling=true that no container names
  layerfs volume rm data
  layerfs volume prune -af            all that no container names, without being asked

A volume is made where a container names one that is not there yet, and filled with what the image has at its place, unless \
`nocopy` is said. It stays when its containers go. One that nobody named (`run -v /srv`, or the image says so) goes with its container \
by `run --rm` and `rm -v`.";

/// The label of a volume that nobody named.
const ANONYMOUS: &str = "layerfs.volume.anonymous";

/// The words of `layerfs volume`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct VolumeArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a volume
    Create {
        /// Note a word about it
        #[arg(short, long, value_name = "NAME[=VALUE]")]
        label: Vec<String>,
        /// Its name; one is invented where none is said
        name: Option<String>,
    },
    /// List volumes
    #[command(visible_alias = "list")]
    Ls(VolumeLsArgs),
    /// Show all that is known of volumes, as JSON
    Inspect {
        /// Print a line of each, such as '{{.Mountpoint}}', or `json`
        #[arg(short, long, value_name = "TEMPLATE")]
        format: Option<String>,
        /// Their names
        #[arg(value_name = "VOLUME", required = true)]
        volumes: Vec<String>,
    },
    /// Remove volumes, with what they hold
    #[command(visible_alias = "remove")]
    Rm {
        /// An absent volume is no failure
        #[arg(short, long)]
        force: bool,
        /// Their names
        #[arg(value_name = "VOLUME", required = true)]
        volumes: Vec<String>,
    },
    /// Remove volumes that nobody named and no container shows
    Prune {
        /// Those that have names, too
        #[arg(short, long)]
        all: bool,
        /// Do not ask
        #[arg(short, long)]
        force: bool,
    },
}

/// Does what was said.
pub fn run(args: &VolumeArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    match &args.verb {
        Verb::Create { label, name } => {
            let store = session.store_to_fill()?;
            let (name, mut labels) = match name {
                Some(name) => (name.clone(), BTreeMap::new()),
                None => (invented()?, unnamed()),
            };
            labels.extend(labels_of(label)?);
            results.line(store.make_volume(&name, labels)?.name)?;
            Ok(Outcome::Done)
        }
        Verb::Ls(args) => volume_ls::run(args, session, results),
        Verb::Inspect { format, volumes } => {
            let format = Format::asked(format.as_deref())?;
            inspect(&session.store()?, volumes, format, results)
        }
        Verb::Rm { force, volumes } => subordinate::with_all_ids(results, |results| {
            let store = session.store()?;
            each(volumes, results, |name| match store.remove_volume(name) {
                Err(StoreError::NoSuchVolume(_)) if *force => Ok(()),
                removed => Ok(removed?),
            })
        }),
        Verb::Prune { all, force } => {
            let (which, words) = match all {
                true => (Which::All, "all volumes that no container shows"),
                false => (Which::Unnamed, "volumes that nobody named and no container shows"),
            };
            if !force {
                ask(&format!("This removes {words}."))?;
            }
            subordinate::with_all_ids(results, |results| prune(&session.store()?, which, results))
        }
    }
}

/// Labels as they are said.
pub fn labels_of(said: &[String]) -> Result<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    for word in said {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        if name.is_empty() {
            bail!("--label `{word}`: a name is missing");
        }
        labels.insert(name.to_owned(), value.to_owned());
    }
    Ok(labels)
}

/// A name for a volume that nobody names.
pub fn invented() -> Result<String> {
    let mut name = String::new();
    for _ in 0..4 {
        name.push_str(&format!("{:016x}", host::random_u64()?));
    }
    Ok(name)
}

/// The labels of a volume that nobody named.
pub fn unnamed() -> BTreeMap<String, String> {
    BTreeMap::from([(ANONYMOUS.to_owned(), String::new())])
}

/// Volumes that go with their container: out of their place already, so that nobody has to know of them any more.
#[derive(Debug)]
#[must_use]
pub struct Going {
    gone: Vec<Gone>,
    outcome: Outcome,
}

/// Takes volumes that nobody named out of their place, before the record of their container goes: that is the only list of them. The
/// caller holds the container. One that another container shows by its name stays; what can't be taken is told, and is an unnamed
/// volume still.
pub fn take_anonymous(store: &Store, own: &ContainerId, names: &[String]) -> Going {
    let (mut gone, mut left) = (Vec::new(), Vec::new());
    if !names.is_empty()
        && let Err(error) = know_users(store)
    {
        let stay = format!("{} of the container: left to `layerfs volume prune`", quoted(names));
        message::error(&error.context(stay));
        return Going { gone, outcome: Outcome::SomeFailed };
    }
    for name in names {
        match store.take_volume_of(own, name) {
            Ok(taken) => gone.push(taken),
            Err(StoreError::VolumeUsed { .. } | StoreError::NoSuchVolume(_)) => {}
            Err(error) => left.push(error),
        }
    }
    Going { gone, outcome: Outcome::of_unread(left) }
}

/// Refuses to say which volumes are used where one container can't be read: each may be one of its.
fn know_users(store: &Store) -> Result<()> {
    store.containers().map(drop).context(
        "any may be used by a container that can't be read, which `layerfs fsck --repair` mends or sets aside",
    )
}

/// The names of volumes, as messages show them.
pub fn quoted(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("{} {}", if names.len() == 1 { "volume" } else { "volumes" }, quoted.join(", "))
}

impl Going {
    /// Removes what they hold, with all ids that their files may belong to. What can't be removed is told, and left to `gc`.
    pub fn remove(self, store: &Store) -> Result<Outcome> {
        if self.gone.is_empty() {
            return Ok(self.outcome);
        }
        let removed = subordinate::with_all_ids(&mut Results::new(), |_| {
            Ok(Outcome::of_unread(store.remove_volumes_gone(&self.gone)))
        })?;
        Ok(if removed == Outcome::Done { self.outcome } else { removed })
    }
}

fn inspect(
    store: &Store,
    names: &[String],
    format: Option<Format>,
    results: &mut Results,
) -> Result<Outcome> {
    let (mut found, mut outcome) = (Vec::new(), Outcome::Done);
    for name in names {
        match store.find_volume(name) {
            Ok(volume) => found.push(json!({
                "CreatedAt": time::rfc3339_ms(volume.created_ms),
                "Driver": "local",
                "Labels": volume.labels,
                "Mountpoint": volume.path.to_string_lossy(),
                "Name": volume.name,
                "Options": null,
                "Scope": "local",
            })),
            Err(error) => {
                message::error(&error.into());
                outcome = Outcome::SomeFailed;
            }
        }
    }
    match format {
        Some(format) => format.print(&found, results)?,
        None => results.json(&found)?,
    }
    Ok(outcome)
}

/// Which of those that no container shows are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// Those that nobody named.
    Unnamed,
}

/// Removes volumes that no container shows, and prints their names. Those that can't be removed have their line.
pub fn prune(store: &Store, which: Which, results: &mut Results) -> Result<Outcome> {
    let (volumes, mut left) = store.volumes()?;
    know_users(store).context("no volume is removed")?;
    for volume in volumes {
        if which == Which::Unnamed && !volume.labels.contains_key(ANONYMOUS) {
            continue;
        }
        match store.remove_volume(&volume.name) {
            // One that is used stays, and one that is gone by now is gone.
            Err(StoreError::VolumeUsed { .. } | StoreError::NoSuchVolume(_)) => {}
            Err(error) => left.push(error),
            Ok(()) => results.line(&volume.name)?,
        }
    }
    Ok(Outcome::of_unread(left))
}
