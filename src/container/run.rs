//! `layerfs run`: a command in a container of its own.

use anyhow::{Context, Result, bail};
use layerfs_driver::store::Store;
use layerfs_driver::store::container::{Container, Keep};
use layerfs_driver::sys::host::{self, Rights};
use layerfs_driver::sys::{dir, file};

use super::asked::{asked, new_container, refuse_without_terminal};
use super::life::{Before, Life, status_of};
use super::sealed;
use super::supervise::{self, First};
use super::sweep::sweep;
use super::words::RunArgs;
use crate::output::{Results, message};
use crate::session::{Misused, Outcome, Session};

/// Runs the command, and answers as it ended; in the background it answers when it runs.
pub fn run(args: &RunArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    ended(contain(args, session, results))
}

/// Makes a container that `layerfs start` starts.
pub fn create(args: &RunArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let made = may_contain().and_then(|()| {
        let made = prepare(args, session)?;
        results.line(made.id.hex())?;
        Ok(0)
    });
    ended(made)
}

/// What a container came to, as the exit status of the command.
pub fn ended(ended: Result<u8>) -> Result<Outcome> {
    match ended {
        Ok(status) => Ok(Outcome::Status(status)),
        Err(error) if error.is::<Misused>() => Err(error),
        Err(error) => {
            message::error(&error);
            Ok(Outcome::Status(status_of(&error)))
        }
    }
}

/// Said before anything is tried: the first call that is refused would not say it.
pub fn may_contain() -> Result<()> {
    match host::rights()? {
        Rights::Root | Rights::User => sealed::make_sure(),
        Rights::Namespace(_) => bail!(
            "root of a user namespace runs no containers; run `layerfs` outside of it, as the user who made it, or as root of the \
             machine"
        ),
    }
}

fn contain(args: &RunArgs, session: &Session, results: &mut Results) -> Result<u8> {
    may_contain()?;
    if args.detach {
        let made = prepare(args, session)?;
        supervise::start(&made, First::Yes, session)?;
        results.line(made.id.hex())?;
        return Ok(0);
    }
    let store = store(args, session)?;
    refuse_without_terminal((args.tty, args.interactive))?;
    let asked = asked(args, &store)?;
    sweep(&store, session.roots())?;
    let living = store.create_container(new_container(args, &asked)?)?;
    if let Err(error) = note_id(args, living.id().hex()) {
        living.discard()?;
        return Err(error);
    }
    let life = Life { args, asked: &asked, session, store: &store, before: Before::Nothing };
    life.live(living, None, || {})
}

/// A container on a directory needs no image, and may be the first that is kept there.
fn store(args: &RunArgs, session: &Session) -> Result<Store> {
    if args.rootfs.is_some() { session.store_to_fill() } else { session.store() }
}

/// Makes a container that nobody runs yet. It is kept until it runs, whatever becomes of it then.
fn prepare(args: &RunArgs, session: &Session) -> Result<Container> {
    let store = store(args, session)?;
    let asked = asked(args, &store)?;
    sweep(&store, session.roots())?;
    let mut new = new_container(args, &asked)?;
    new.keep = Keep::Kept;
    let living = store.create_container(new)?;
    if let Err(error) = note_id(args, living.id().hex()) {
        living.discard()?;
        return Err(error);
    }
    let id = living.id().hex().to_owned();
    living.set_aside()?;
    Ok(store.find_container(&id)?)
}

/// Writes the id where `--cidfile` says; a file that is there is another container's.
fn note_id(args: &RunArgs, id: &str) -> Result<()> {
    let Some(path) = &args.cidfile else { return Ok(()) };
    dir::open_path(".")
        .and_then(|here| file::create_new(&here, path.as_path(), 0o644))
        .and_then(|file| file::write_all(&file, id.as_bytes()))
        .with_context(|| format!("--cidfile `{}`: it has to be a new file", path.display()))
}
