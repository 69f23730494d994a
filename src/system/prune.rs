//! `layerfs system prune`: removes what nobody uses and few will miss.

use anyhow::Result;
use clap::Args;
use layerfs_driver::store::{Store, StoreError};

use super::verbs::ask;
use crate::container::rm::{self, Force};
use crate::container::supervise::With;
use crate::container::sweep::sweep;
use crate::container::{subordinate, volume};
use crate::image::rmi;
use crate::output::size::{Digits, human};
use crate::output::{Results, message};
use crate::session::{Outcome, Session};

/// The words of `layerfs system prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// All images that nothing uses, and not only those without names
    #[arg(short, long)]
    all: bool,
    /// Ask nobody
    #[arg(short, long)]
    force: bool,
    /// Volumes, too, that nobody named and no container shows
    #[arg(long)]
    volumes: bool,
}

/// Removes it, and prints what went.
pub fn run(args: &PruneArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let store = session.store()?;
    if !args.force {
        let images =
            if args.all { "all images that no container uses" } else { "images without names" };
        let volumes = if args.volumes { ", volumes that nobody named" } else { "" };
        ask(&format!("This removes all containers that do not run, {images}{volumes}."))?;
    }
    sweep(&store, session.roots())?;
    // Whatever others wrote to in a volume is measured, too.
    subordinate::with_all_ids(results, |results| prune(args, &store, results))
}

fn prune(args: &PruneArgs, store: &Store, results: &mut Results) -> Result<Outcome> {
    let before = size(store)?;
    let mut outcome = containers(store, results)?;
    if args.volumes && volume::prune(store, volume::Which::Unnamed, results)? != Outcome::Done {
        outcome = Outcome::SomeFailed;
    }
    let which = if args.all { rmi::Which::All } else { rmi::Which::Unnamed };
    rmi::prune(store, which, results)?;
    store.collect()?;
    let free = human(before.saturating_sub(size(store)?), Digits::Four);
    results.line(format_args!("Total reclaimed space: {free}"))?;
    Ok(outcome)
}

/// Bytes of all images, of all that containers wrote, and of volumes.
fn size(store: &Store) -> Result<u64> {
    let usage = store.usage()?;
    Ok(usage.image_bytes() + usage.container_bytes + usage.volume_bytes)
}

fn containers(store: &Store, results: &mut Results) -> Result<Outcome> {
    let mut outcome = Outcome::Done;
    for container in store.containers()?.into_iter().filter(|one| !one.is_living) {
        match rm::remove(store, container.id.hex(), Force::No, With::Throwaway) {
            Ok(volumes) => {
                if volumes != Outcome::Done {
                    outcome = volumes;
                }
                results.line(&container.id)?;
            }
            Err(error) => match error.downcast_ref() {
                // One that was started meanwhile stays, and one that is gone by now is gone.
                Some(StoreError::ContainerLives(_) | StoreError::NoSuchContainer(_)) => {}
                _ => {
                    message::error(&error);
                    outcome = Outcome::SomeFailed;
                }
            },
        }
    }
    Ok(outcome)
}
