//! `layerfs wait`: until containers have ended.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use layerfs_driver::store::{Store, StoreError};

use super::exits;
use super::shown::{DIED, Doing};
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

/// The exit status of one that has ended. One that was never started has not failed: nothing of it runs.
fn wait(store: &Store, word: &str, session: &Session) -> Result<u8> {
    let mut container = store.find_container(word)?;
    loop {
        match Doing::of(&container) {
            Doing::Exited { code, .. } => return Ok(code),
            Doing::Created if !container.is_living => return Ok(0),
            _ => {}
        }
        store.wait_for_container(&container, STEP)?;
        container = match store.find_container(container.id.hex()) {
            // Nobody noted it: the process that stood by it was killed, and the container with it.
            Err(StoreError::NoSuchContainer(_)) => {
                return Ok(exits::of(session, &container.id).unwrap_or(DIED));
            }
            found => found?,
        };
    }
}
