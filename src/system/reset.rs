//! `layerfs system reset`: removes everything of a store.

use anyhow::{Result, bail};
use clap::Args;
use layerfs_driver::store::Store;

use super::verbs::ask;
use crate::container::rm::{self, Force};
use crate::container::subordinate;
use crate::container::supervise::With;
use crate::container::sweep::sweep;
use crate::output::{Results, message};
use crate::session::{Outcome, Session};

/// The words of `layerfs system reset`.
#[derive(Debug, Args)]
pub struct ResetArgs {
    /// Ask nobody
    #[arg(short, long)]
    force: bool,
}

/// Removes it. Where something can't be removed the others go all the same.
pub fn run(args: &ResetArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let store = session.store()?;
    refuse_mounted(&store)?;
    if !args.force {
        ask(
            "This ends and removes all containers, and removes all images and all volumes with what they hold.",
        )?;
        // Somebody may have mounted one while that was answered.
        refuse_mounted(&store)?;
    }
    sweep(&store, session.roots())?;
    let mut outcome = Outcome::Done;
    let mut told = |done: Result<()>| {
        if let Err(error) = done {
            message::error(&error);
            outcome = Outcome::SomeFailed;
        }
    };
    for container in store.containers()? {
        // All volumes go after them.
        let removed = rm::remove(&store, container.id.hex(), Force::Yes, With::Throwaway);
        told(removed.map(drop));
    }
    let volumes = subordinate::with_all_ids(results, |_| volumes(&store)).unwrap_or_else(|error| {
        told(Err(error));
        Outcome::SomeFailed
    });
    for image in store.images()? {
        told(store.forget(&image).map_err(Into::into));
    }
    store.forget_absent_uppers()?;
    store.collect()?;
    results.flush()?;
    Ok(if volumes == Outcome::Done { outcome } else { volumes })
}

/// Removes them all; those that can't be have their line.
fn volumes(store: &Store) -> Result<Outcome> {
    let (volumes, mut left) = store.volumes()?;
    for volume in volumes {
        left.extend(store.remove_volume(&volume.name).err());
    }
    left.extend(store.sweep_volumes().err());
    Ok(Outcome::of_unread(left))
}

/// Who works in a mount would lose what the image has.
fn refuse_mounted(store: &Store) -> Result<()> {
    for image in store.images()? {
        if let Some(at) = store.mountpoints_of(&image.id)?.first() {
            bail!("image {} is mounted at `{at}`: `layerfs umount {at}` first", image.id.short());
        }
    }
    Ok(())
}
