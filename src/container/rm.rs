//! `layerfs rm`: removes containers with what they wrote.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use layerfs_driver::store::container::{Container, State};
use layerfs_driver::store::{Store, StoreError};
use layerfs_driver::sys::process::Process;

use super::sweep::sweep;
use crate::output::{Results, message};
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs rm web                      a container that has ended
  layerfs rm -f web                   one that runs, too: its processes are killed
  layerfs rm $(layerfs ps -aq)        all that have ended; those that run have a line

What a container wrote goes with it. With --force a container that is not there is told, and is no failure.";

/// How long the command that runs a container may take to clear up once its first process is killed.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// The words of `layerfs rm`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct RmArgs {
    /// Kill the processes of containers that run; an absent container is no failure
    #[arg(short, long)]
    force: bool,
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

/// Whether a container that runs is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Force {
    Yes,
    No,
}

/// Removes each container; those that can't be have their line.
pub fn run(args: &RmArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let store = session.store()?;
    sweep(&store)?;
    let force = if args.force { Force::Yes } else { Force::No };
    let mut outcome = Outcome::Done;
    for word in &args.containers {
        match remove(&store, word, force) {
            Ok(()) => {
                results.line(word)?;
                results.flush()?;
            }
            Err(error) => {
                let absent = matches!(error.downcast_ref(), Some(StoreError::NoSuchContainer(_)));
                message::error(&error);
                if !(absent && force == Force::Yes) {
                    outcome = Outcome::SomeFailed;
                }
            }
        }
    }
    Ok(outcome)
}

fn remove(store: &Store, word: &str, force: Force) -> Result<()> {
    let container = store.find_container(word)?;
    if force == Force::Yes && container.is_living {
        end(store, &container)?;
    }
    Ok(store.remove_container(&container)?)
}

/// Kills the first process, with which the others go, and waits until the command that ran it has cleared up.
fn end(store: &Store, container: &Container) -> Result<()> {
    let name = &container.name;
    match container.state {
        State::Created => bail!("container `{name}` is only being started: try again in a moment"),
        State::Running { pid, pid_start_ticks, .. } => {
            if let Some(first) = Process::find(pid, pid_start_ticks)? {
                first.kill()?;
            }
        }
        State::Exited(_) => {}
    }
    if store.wait_for_container(container, ENDS_WITHIN)? {
        return Ok(());
    }
    bail!(
        "container `{name}`: its first process is killed, and the command that ran it has not ended within {} s: end \
         that command, then try again",
        ENDS_WITHIN.as_secs()
    )
}
