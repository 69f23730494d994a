//! `layerfs wait`: until containers have ended.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use layerfs_driver::store::{Store, StoreError};

use super::exits;
use super::shown::Doing;
use crate::output::{Results, message};
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs wait job                    prints its exit status when it has ended";

/// How long is waited at once.
const STEP: Duration = Duration::from_secs(3600);

/// How often it is looked whether one that nobody has started runs.
const IDLE_STEP: Duration = Duration::from_millis(50);

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

fn wait(store: &Store, word: &str, session: &Session) -> Result<u8> {
    let mut container = store.find_container(word)?;
    loop {
        if let Doing::Exited { code, .. } = Doing::of(&container) {
            return Ok(code);
        }
        if container.is_living {
            store.wait_for_container(&container, STEP)?;
        } else {
            // tidy: allow(sleep) whoever starts it tells nobody
            std::thread::sleep(IDLE_STEP);
        }
        container = match store.find_container(container.id.hex()) {
            Err(StoreError::NoSuchContainer(_)) => {
                return exits::of(session, &container.id).with_context(|| {
                    format!("container `{}` is gone, and nobody noted how it ended", container.name)
                });
            }
            found => found?,
        };
    }
}
