//! `layerfs pause` and `unpause`: containers that stand still, and go on.

use anyhow::{Result, bail};
use clap::Args;
use layerfs_driver::store::Store;
use layerfs_driver::store::container::Container;
use layerfs_runtime::cgroup::Cgroup;

use super::exec::first_process;
use super::shown::Doing;
use super::start::each;
use super::subordinate;
use super::sweep::sweep;
use crate::output::Results;
use crate::session::{Outcome, Session};

const PAUSE_EXAMPLES: &str = "\
EXAMPLES:
  layerfs pause web                   none of its processes gets a processor
  layerfs pause $(layerfs ps -q)      all that run
  layerfs ps --filter status=paused

Nothing of it is told to its processes: clocks and connections go on without them. What they hold in memory stays there. \
`stop`, `kill` and `rm -f` let them go on, to end.";

const UNPAUSE_EXAMPLES: &str = "\
EXAMPLES:
  layerfs unpause web
  layerfs unpause $(layerfs ps -q --filter status=paused)";

/// The words of `layerfs pause`.
#[derive(Debug, Args)]
#[command(after_long_help = PAUSE_EXAMPLES)]
pub struct PauseArgs {
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

/// The words of `layerfs unpause`.
#[derive(Debug, Args)]
#[command(after_long_help = UNPAUSE_EXAMPLES)]
pub struct UnpauseArgs {
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

/// Has each stand still.
pub fn run(args: &PauseArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let store = session.store()?;
    sweep(&store, session.roots())?;
    each(&args.containers, results, |word| {
        let (container, cgroup) = running(&store, word)?;
        if cgroup.is_paused()? {
            bail!("container `{}` is paused already", container.name);
        }
        Ok(cgroup.pause()?)
    })
}

/// Lets each go on.
pub fn unpause(args: &UnpauseArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let store = session.store()?;
    sweep(&store, session.roots())?;
    each(&args.containers, results, |word| {
        let (container, cgroup) = running(&store, word)?;
        if !cgroup.is_paused()? {
            bail!("container `{}` is not paused", container.name);
        }
        Ok(cgroup.unpause()?)
    })
}

fn running(store: &Store, word: &str) -> Result<(Container, Cgroup)> {
    let container = store.find_container(word)?;
    first_process(&container)?;
    let cgroup = Cgroup::find(container.id.hex(), container.groups_below.as_deref())?;
    subordinate::refuse_without_groups(&container, &cgroup)?;
    Ok((container, cgroup))
}

/// Whether it runs and was paused.
pub fn is_paused(container: &Container) -> bool {
    if !matches!(Doing::of(container), Doing::Running { .. }) {
        return false;
    }
    let asked = Cgroup::find(container.id.hex(), container.groups_below.as_deref())
        .and_then(|cgroup| cgroup.is_paused());
    asked.unwrap_or_else(|error| {
        tracing::debug!("whether container {} is paused: {error}", container.name);
        false
    })
}

/// Lets a container go on to its end: who stands still hears no signal, and does not even die by one.
pub fn let_end(container: &Container) -> Result<()> {
    Ok(Cgroup::find(container.id.hex(), container.groups_below.as_deref())?.unpause()?)
}
