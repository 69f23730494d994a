//! `layerfs rm`: removes containers with what they wrote.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use layerfs_driver::store::container::{Container, Keep, State};
use layerfs_driver::store::{Store, StoreError};
use layerfs_driver::sys::process::Process;
use layerfs_runtime::cgroup::Cgroup;

use super::pause::let_end;
use super::supervise::{With, anonymous_of};
use super::sweep::sweep;
use super::volume;
use crate::output::{Results, message};
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs rm web                      a container that has ended
  layerfs rm -f web                   one that runs, too: its processes are killed
  layerfs rm $(layerfs ps -aq)        all that have ended; those that run have a line

What a container wrote goes with it; volumes stay, but with --volumes those that nobody named. With --force a container that is not there is told, and is no failure.";

/// How long the command that runs a container may take to clear up once its first process is killed.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
/// How long a container that is only being started may take until it says which process is its first.
const STARTS_WITHIN: Duration = Duration::from_secs(10);
/// How often it is asked meanwhile.
const START_STEP: Duration = Duration::from_millis(10);

/// The words of `layerfs rm`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct RmArgs {
    /// Kill the processes of containers that run; an absent container is no failure
    #[arg(short, long)]
    force: bool,
    /// Remove the volumes of these containers, too, that nobody named
    #[arg(short, long)]
    volumes: bool,
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

/// Whether a container that runs is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// It is.
    Yes,
    /// It is left.
    No,
}

/// Removes each container; those that can't be have their line.
pub fn run(args: &RmArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let store = session.store()?;
    sweep(&store, session.roots())?;
    let force = if args.force { Force::Yes } else { Force::No };
    let mut outcome = Outcome::Done;
    let with = if args.volumes { With::All } else { With::Throwaway };
    for word in &args.containers {
        match remove(&store, word, force, with) {
            Ok(volumes) => {
                if volumes != Outcome::Done {
                    outcome = volumes;
                }
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

/// Removes one and its volumes that go with it, and answers what became of those.
pub fn remove(store: &Store, word: &str, force: Force, with: With) -> Result<Outcome> {
    let container = match store.find_container(word) {
        Err(error @ (StoreError::Damaged { .. } | StoreError::NewerRecord { .. })) => {
            let stay = format!(
                "container `{word}`: what it is, and which volumes are its, can't be told while a record can't be read; `layerfs fsck \
                 --repair` mends that or sets it aside, and `layerfs volume prune` removes volumes then that nobody named"
            );
            return Err(anyhow::Error::from(error).context(stay));
        }
        found => found?,
    };
    if force == Force::Yes && container.is_living {
        end(store, &started(store, container.clone())?)?;
    }
    // Before anything of it is touched: whoever starts it meanwhile would lose what runs.
    let held = match store.hold_container(&container) {
        Err(StoreError::NoSuchContainer(_)) => None,
        Err(StoreError::ContainerRuns(name)) => return Err(StoreError::ContainerLives(name).into()),
        held => Some(held?),
    };
    if held.is_some() {
        // Groups that could not be removed when it ended, or that were made to try limits.
        Cgroup::sweep(container.id.hex(), container.groups_below.as_deref())?;
    }
    let names = anonymous_of(&container, with);
    let Some(held) = held else {
        // Whoever was first may have left them.
        return volume::take_anonymous(store, &container.id, &names).remove(store);
    };
    // Whoever clears up after this process, should that be killed, removes what is left of it and of them.
    if container.keep == Keep::Kept && !names.is_empty() {
        store.give_up_container(&container, &held)?;
    }
    let going = volume::take_anonymous(store, &container.id, &names);
    store.remove_held_container(&container, held)?;
    going.remove(store)
}

/// The container once it says which process is its first: its program may run a moment before that.
pub fn started(store: &Store, mut container: Container) -> Result<Container> {
    let until = Instant::now() + STARTS_WITHIN;
    while container.is_living && container.state == State::Created && Instant::now() < until {
        // tidy: allow(sleep) a state is a file that is replaced: nothing tells of it
        std::thread::sleep(START_STEP);
        container = match store.find_container(container.id.hex()) {
            Err(StoreError::NoSuchContainer(_)) => break,
            found => found?,
        };
    }
    Ok(container)
}

/// Kills the first process, with which the others go, and waits until the command that ran it has cleared up.
fn end(store: &Store, container: &Container) -> Result<()> {
    let name = &container.name;
    match container.state {
        State::Created if container.is_living => bail!(
            "container `{name}`: it is being started, and its first process is not known after {} s: end the command \
             that starts it, then try again",
            STARTS_WITHIN.as_secs()
        ),
        State::Idle | State::Created => {}
        State::Running { pid, pid_start_ticks, .. } => {
            if let Some(first) = Process::find(pid, pid_start_ticks)? {
                first.kill()?;
                let_end(container)?;
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
