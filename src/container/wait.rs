//! `layerfs wait`: until containers have ended.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use layerfs_driver::store::container::Container;
use layerfs_driver::store::{Store, StoreError};

use super::exits::{self, Awaited};
use super::shown::{DIED, Doing, has_first};
use super::sweep::sweep;
use crate::output::{Results, message};
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs wait job                    prints its exit status when it has ended

One that nobody has started yet is not waited for: 0 is printed.";

/// How long is waited at once.
const STEP: Duration = Duration::from_secs(3600);

/// The words of `layerfs wait`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct WaitArgs {
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

/// Waits for each in turn, and prints its exit status.
pub fn run(args: &WaitArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let store = session.store()?;
    let mut outcome = Outcome::Done;
    for word in &args.containers {
        match wait(&store, word, session) {
            Ok(status) => {
                results.line(status)?;
                results.flush()?;
            }
            Err(error) => {
                message::error(&error);
                outcome = Outcome::SomeFailed;
            }
        }
    }
    Ok(outcome)
}

/// The exit status of one that has ended.
fn wait(store: &Store, word: &str, session: &Session) -> Result<u8> {
    let container = store.find_container(word)?;
    if let Some(status) = known(&container) {
        return Ok(status);
    }
    let awaited = Awaited::of(session.roots(), &container.id);
    let status = ended((store, session), word, &container, &awaited);
    exits::forget(store, session.roots(), &container.id);
    status
}

fn ended(
    (store, session): (&Store, &Session),
    word: &str,
    container: &Container,
    awaited: &Awaited,
) -> Result<u8> {
    let (mut was_there, mut unswept) = (false, None);
    loop {
        let found = match store.find_container(container.id.hex()) {
            Err(StoreError::NoSuchContainer(_)) => {
                // It went before there was anything to tell it by.
                let unknown = || StoreError::NoSuchContainer(word.into());
                // Nobody noted it: the process that stood by it was killed, and the container with it.
                let died = was_there.then_some(DIED);
                return Ok(awaited.status().or(died).ok_or_else(unknown)?);
            }
            found => found?,
        };
        if let Some(status) = known(&found) {
            return Ok(status);
        }
        was_there = true;
        // Nobody stands by it, and a paused one does not end by itself.
        if found.is_dead() {
            if unswept.as_ref() == Some(&found.state) {
                bail!(
                    "container `{word}`: the command that ran it died, and its first process is killed and does not end; try \
                     again when it has"
                );
            }
            // Who only looks at it may keep a sweep from it: the next one finds it.
            if sweep(store, session.roots())?.failed > 0 {
                // What is left of it may be something else than its program.
                if !has_first(&found) {
                    return Ok(DIED);
                }
                unswept = Some(found.state);
            }
            continue;
        }
        store.wait_for_container(&found, STEP)?;
    }
}

/// How it ended, where it runs no more. One that was never started has not failed: nothing of it runs.
fn known(container: &Container) -> Option<u8> {
    match Doing::of(container) {
        Doing::Exited { code, .. } => Some(code),
        Doing::Created { code, .. } if !container.is_living => Some(code),
        _ => None,
    }
}
