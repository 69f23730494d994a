//! `layerfs rmi`: takes names and images away, and frees what only they used.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use clap::Args;
use layerfs_driver::store::container::{Base, Container};
use layerfs_driver::store::digest::Digest;
use layerfs_driver::store::image::Image;
use layerfs_driver::store::{Store, StoreError};
use layerfs_driver::sys::mount;

use super::uppers;
use crate::output::results::ResultsError;
use crate::output::{Results, message};
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs rmi debian:12                  takes the name; the image too, if it was its last
  layerfs rmi 3f2a9c                     removes an image that has at most one name
  layerfs rmi -f 3f2a9c                  removes an image with all its names
  layerfs rmi -f $(layerfs images -q)    removes all images

An image that a container uses stays. With --force its names go all the same, and the image too, unless a container \
that runs uses it; what the container needs of it is kept until the container is removed, but that can't be started again. With --force an image that is \
not there is told, and is no failure. An image that is mounted goes on being so. One that an upper directory (`layerfs mount \
--upper`) has data or a renamed directory in stays, too, unless --force is said: of an upper that was moved, or that an earlier \
layerfs mounted last, nothing is known. Words that mean several names remove none.";

/// The words of `layerfs rmi`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct RmiArgs {
    /// Remove an image with all its names, also where containers that ended use it
    #[arg(short, long)]
    force: bool,
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

/// Whether an image with several names may go by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Force {
    Yes,
    No,
}

/// Removes each image or name, then frees the space.
pub fn run(args: &RmiArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let store = session.store()?;
    let force = if args.force { Force::Yes } else { Force::No };
    let mut outcome = Outcome::Done;
    let mut layers = BTreeSet::new();
    for words in &args.images {
        match remove(&store, words, force, results) {
            Ok(gone) => layers.extend(gone),
            Err(error) if error.is::<ResultsError>() => return Err(error),
            Err(error) => {
                let absent = matches!(error.downcast_ref(), Some(StoreError::NoSuchImage(_)));
                message::error(&error);
                if !(absent && force == Force::Yes) {
                    outcome = Outcome::SomeFailed;
                }
            }
        }
    }
    if !layers.is_empty() {
        free(&store, layers, results)
            .context("the images are gone, their space is not free yet: `layerfs gc` frees it")?;
    }
    Ok(outcome)
}

/// Which of the images that nothing uses are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// Those without names.
    Unnamed,
}

/// Removes images that no container, no mount and no upper directory uses, and prints them. Their space is not free yet.
pub fn prune(store: &Store, which: Which, results: &mut Results) -> Result<()> {
    for image in store.images()? {
        let is_meant = which == Which::All || image.names.is_empty();
        let is_used = || -> Result<bool> {
            Ok(keeper(store, &image, Force::No)?.is_some()
                || !store.mountpoints_of(&image.id)?.is_empty()
                || uppers::needing(store, &image)?.is_some())
        };
        if is_meant && !is_used()? {
            store.forget(&image)?;
            told_gone(&image, results)?;
        }
    }
    Ok(())
}

/// Takes away what the words mean. Answers the layers of an image that went.
fn remove(store: &Store, words: &str, force: Force, results: &mut Results) -> Result<Vec<Digest>> {
    let hit = store.find(words)?;
    let (image, named) = (&hit.image, hit.name(words)?);
    if let Some(name) = named
        && image.names.len() > 1
    {
        store.untag(image, name)?;
        results.line(format_args!("Untagged: {name}"))?;
        return Ok(Vec::new());
    } else if image.names.len() > 1 && force == Force::No {
        return Err(
            StoreError::SeveralNames { id: image.id.short(), count: image.names.len() }.into()
        );
    }
    match keeper(store, image, force)? {
        None => {}
        // By name, what docker does too: the name goes, the image stays for its container.
        Some(keeper) if force == Force::Yes && named.is_some() && keeper.is_living => {
            for name in &image.names {
                store.untag(image, name)?;
                results.line(format_args!("Untagged: {name}"))?;
            }
            return Ok(Vec::new());
        }
        Some(keeper) => bail!("{}", in_use(image, &keeper)),
    }
    let needing = match (uppers::needing(store, image), force) {
        (Ok(None), _) => None,
        (Ok(Some(needing)), Force::No) => {
            let called = named.map_or_else(|| image.id.short(), ToString::to_string);
            bail!("{}", needing.refusal(image, &called));
        }
        (Ok(Some(needing)), Force::Yes) => Some(needing.farewell(image)),
        (Err(error), Force::No) => {
            bail!("{}; --force removes it all the same", message::line_of(&error))
        }
        (Err(error), Force::Yes) => Some(message::line_of(&error)),
    };
    let mut mountpoints = store.mountpoints_of(&image.id)?;
    if !mountpoints.is_empty() {
        // A process that served one may still be ending.
        let mounted = mount::mounted("fuse.layerfs")?;
        mountpoints.retain(|at| mounted.iter().any(|mount| mount.at == at.as_bytes()));
    }
    store.forget(image)?;
    told_gone(image, results)?;
    needing.into_iter().for_each(message::say);
    for at in mountpoints {
        message::say(format_args!(
            "image {} is still mounted at `{at}`, which works until it is unmounted; to mount its --upper again, import \
             the image again first",
            image.id.short()
        ));
    }
    Ok(image.layers.iter().map(|layer| layer.diff_id).collect())
}

/// The container for whose sake the image stays: one that runs, or without force any that has it.
fn keeper(store: &Store, image: &Image, force: Force) -> Result<Option<Container>> {
    let mut users = store.containers()?;
    users.retain(|one| matches!(&one.base, Base::Image { id, .. } if *id == image.id));
    let living = users.iter().position(|one| one.is_living);
    Ok(match (living, force) {
        (Some(at), _) => Some(users.swap_remove(at)),
        (None, Force::No) => users.pop(),
        (None, Force::Yes) => None,
    })
}

fn in_use(image: &Image, keeper: &Container) -> String {
    let (id, name) = (image.id.short(), &keeper.name);
    if keeper.is_living {
        return format!(
            "image {id} is being used by running container `{name}`: `layerfs rm -f {name}` ends and removes that"
        );
    }
    format!(
        "image {id} is being used by stopped container `{name}`: remove that with `layerfs rm {name}`, or the image \
         all the same with --force"
    )
}

fn told_gone(image: &Image, results: &mut Results) -> Result<()> {
    for name in &image.names {
        results.line(format_args!("Untagged: {name}"))?;
    }
    results.line(format_args!("Deleted: {}", image.id))?;
    Ok(results.flush()?)
}

/// Frees what nothing uses any more, and tells which of these layers went.
fn free(store: &Store, layers: BTreeSet<Digest>, results: &mut Results) -> Result<()> {
    store.collect()?;
    for layer in layers {
        // Another image has it, or a container or a mount.
        if !store.has_layer(&layer)? {
            results.line(format_args!("Deleted: {layer}"))?;
        }
    }
    Ok(())
}
