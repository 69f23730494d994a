//! The tree that a serving process serves: its lower and upper sides, opened and joined.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use layerfs_driver::lower::{DirStack, ImageTree, Lower, ShownIds, StackOptions, WhNames};
use layerfs_driver::store::Store;
use layerfs_driver::store::container::{Living, Stands};
use layerfs_driver::store::image::{Hit, Image};
use layerfs_driver::sys::dir;
use layerfs_driver::sys::file::Symlinks;
use layerfs_driver::sys::host;
use layerfs_driver::sys::standing::MountTable;
use layerfs_driver::union::{Mode, Union, UnionError};
use layerfs_driver::upper::{Durability, Upper, UpperError, UpperOptions};

use super::holder;
use super::serve::{Flag, Ground, ServeArgs};
use crate::output::message;
use crate::session::Session;

/// How long a busy upper is waited for: an unmount returns before the process that served the mount has ended.
const BUSY_MAX: Duration = Duration::from_secs(10);

/// After this long the user is told what is waited for.
const BUSY_QUIET: Duration = Duration::from_secs(1);

/// How often it is looked at meanwhile.
const BUSY_STEP: Duration = Duration::from_millis(20);

/// The tree, and the hold on its image where it is one. A container that is run holds its image itself.
pub fn union(
    args: &ServeArgs,
    session: &Session,
    ground: Ground,
) -> Result<(Union, Option<Living>)> {
    let Some(name) = &args.image else {
        let stack = stack(args)?;
        let union = Union::new(Lower::Dirs(stack), mode(args, ground)?)?;
        if args.mountpoint.is_none() {
            union.dress_root()?;
        }
        return Ok((union, None));
    };
    let store = session.store()?;
    let Hit { image, .. } = store.find(name)?;
    let hold = match &args.mountpoint {
        Some(at) => {
            let own = args.upper.as_deref().zip(args.work.as_deref());
            Some(store.hold(&image, name, Stands { at, own })?)
        }
        None => None,
    };
    let chain = image.chain_id().with_context(|| format!("image `{name}` has no layers"))?;
    let lower = Lower::Image(ImageTree::open(&store, &chain)?);
    let mode = match &hold {
        Some(hold) if args.upper.is_none() && !args.has(Flag::ReadOnly) => {
            throwaway_mode(args, hold)?
        }
        _ => mode(args, ground)?,
    };
    let union = match (Union::new(lower, mode), &args.upper) {
        (Err(error @ UnionError::Upper(_)), Some(upper)) => {
            return Err(naming_the_image(error, &store)).with_context(|| shown(upper));
        }
        (union, _) => union?,
    };
    // What a container has goes with it.
    if hold.is_some()
        && let Some(own) = args.upper.as_deref().zip(args.work.as_deref())
    {
        store.remember_upper(&chain, own)?;
    }
    Ok((union, hold))
}

/// The lower directories as one tree.
pub fn stack(args: &ServeArgs) -> Result<DirStack> {
    let hidden = args.hide.iter().map(|hide| dir::open_path(hide.as_path()));
    let stack = DirStack::open_paths(&args.lower, stack_options(args))?;
    let stack = if args.timeout_ms.is_some() { stack.asking_each_time() } else { stack };
    let stack = stack.hiding(hidden.collect::<Result<Vec<_>, _>>()?)?.taking(args.records())?;
    let stack = stack.with_shown_ids(&shown_ids(args)?, &args.owners.ids()?);
    Ok(stack.doubting(host::doubtful_ids()?))
}

/// Which lower directories already show what the mount is to show. podman gives its mount program both: id-mapped mounts
/// of the layers, and the mapping.
fn shown_ids(args: &ServeArgs) -> Result<Vec<ShownIds>> {
    if args.owners.ids()?.keeps_all() {
        return Ok(Vec::new());
    }
    let table = MountTable::read()?;
    let of = |lower: &std::path::PathBuf| -> Result<ShownIds> {
        let is_mapped = table.is_id_mapped(dir::open_path(lower.as_path())?)?;
        Ok(if is_mapped { ShownIds::Mapped } else { ShownIds::Stored })
    };
    args.lower.iter().map(of).collect()
}

fn stack_options(args: &ServeArgs) -> StackOptions {
    let (space, redirects) = (args.space(), args.redirects());
    StackOptions { space, redirects, wh_names: WhNames::Whiteouts }
}

/// The writable side: the user's directories. Under a mount that refuses changes they are shown all the same.
fn mode(args: &ServeArgs, ground: Ground) -> Result<Mode> {
    let (Some(upper), Some(work)) = (&args.upper, &args.work) else { return Ok(Mode::ReadOnly) };
    let durability =
        if args.has(Flag::Volatile) { Durability::Volatile } else { Durability::Synced };
    let options = args.upper_options(durability);
    let opened = open_upper((upper, work), options, || ground.refuse_without_caller());
    let bounded = opened.and_then(|opened| bounded(opened, args));
    Ok(Mode::Writable(bounded.with_context(|| shown(upper))?))
}

/// Opens an upper with its work directory; one in use is waited for, as long as `go_on` says nothing against it.
pub fn open_upper(
    (upper, work): (&Path, &Path),
    options: UpperOptions,
    go_on: impl Fn() -> Result<()>,
) -> Result<Upper> {
    let begun = Instant::now();
    let mut is_told = false;
    loop {
        let root = dir::open_path(upper)?;
        let work = dir::open_path(work)?;
        match Upper::open(root, &work, options) {
            Err(busy @ UpperError::Busy(_)) if begun.elapsed() < BUSY_MAX => {
                go_on()?;
                if !is_told && begun.elapsed() > BUSY_QUIET {
                    is_told = true;
                    let holder = holder_of(&busy, (upper, &work));
                    message::say(format_args!(
                        "waiting at most {} s: {busy}{holder}",
                        BUSY_MAX.as_secs()
                    ));
                }
                // tidy: allow(sleep) a lock is waited for without end or not at all: flock knows no time limit
                std::thread::sleep(BUSY_STEP);
            }
            Err(busy @ UpperError::Busy(_)) => {
                let holder = holder_of(&busy, (upper, &work));
                return Err(anyhow!("{busy}{holder}"));
            }
            opened => return Ok(opened?),
        }
    }
}

/// Who holds the directory that is busy.
fn holder_of(busy: &UpperError, (upper, work): (&Path, &OwnedFd)) -> String {
    let held = match busy {
        UpperError::Busy("work") => dir::open(work, "layerfs", Symlinks::Stop),
        _ => dir::open_path(upper),
    };
    held.map_or_else(|_| String::new(), |held| holder::told(&held))
}

fn shown(upper: &Path) -> String {
    format!("upper directory `{}`", upper.display())
}

/// Says of an upper of another image which that is, where the store has it: nothing lists chain ids.
fn naming_the_image(error: UnionError, store: &Store) -> anyhow::Error {
    let UnionError::Upper(UpperError::OtherImage { made, .. }) = &error else {
        return error.into();
    };
    let images = store.images().unwrap_or_else(|unread| {
        tracing::debug!("which image the upper is of is not known: {unread}");
        Vec::new()
    });
    let is_made = |image: &&Image| image.chain_id().is_some_and(|chain| chain.short() == *made);
    let Some(image) = images.iter().find(is_made) else {
        return anyhow::anyhow!(
            "it holds changes of an image that this store does not have, whose layers have the chain id {made}: mount it over \
             that, or take another upper"
        );
    };
    let name = image.names.first().map_or_else(|| image.id.short(), ToString::to_string);
    anyhow::anyhow!("it holds changes of image `{name}`: mount it over that, or take another upper")
}

/// A writable side that goes with the mount, and need not survive a crash.
fn throwaway_mode(args: &ServeArgs, hold: &Living) -> Result<Mode> {
    let options = args.upper_options(Durability::Volatile);
    let opened = Upper::open(hold.make_dir("upper")?, &hold.make_dir("work")?, options)?;
    Ok(Mode::Writable(bounded(opened, args)?))
}

/// The same upper, as far as the mount may fill it.
fn bounded(upper: Upper, args: &ServeArgs) -> Result<Upper> {
    match args.bounds.is_any() {
        true => Ok(upper.bounded(args.bounds.of_upper())?),
        false => Ok(upper),
    }
}
