//! `layerfs start`: containers that were made, or have ended, live again.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use layerfs_driver::store::container::{Container, State};
use layerfs_driver::store::{Store, StoreError};
use layerfs_runtime::RunError;
use layerfs_runtime::spec::Input;

use super::run::{ended, may_contain};
use super::shown::{self, Doing};
use super::supervise::{self, First};
use super::sweep::sweep;
use crate::output::{Results, message};
use crate::session::{Misused, Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs start web                   in the background, as `run -d` does
  layerfs start -ai box               here, with its terminal or its streams

A container starts with the words it was made with, and finds what it wrote before. Its output goes to the log, or here with \
--attach.";

/// How long one that has ended may take until all of it is cleared up.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// How long commands that stop and start one container may take turns.
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// How long is waited for an end before it is looked whether the container lives again.
pub const LOOKS_EACH: Duration = Duration::from_millis(200);

/// The words of `layerfs start`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct StartArgs {
    /// Stay with it: its output comes here, its exit status is the command's
    #[arg(short, long)]
    attach: bool,
    /// Pass standard input on, too; goes with --attach
    #[arg(short, long, requires = "attach")]
    interactive: bool,
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

/// Starts each; those that can't be have their line.
pub fn run(args: &StartArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    if !args.attach {
        may_contain()?;
        return each(&args.containers, results, |word| start(word, session));
    }
    let [word] = &args.containers[..] else {
        return Err(Misused::of("--attach: it is possible with one container alone").into());
    };
    let store = session.store()?;
    sweep(&store, session.roots())?;
    let input = if args.interactive { Input::Caller } else { Input::Nothing };
    ended(
        store
            .find_container(word)
            .map_err(anyhow::Error::from)
            .and_then(|container| supervise::start_here(&container, input, session)),
    )
}

/// Starts one in the background. One that runs already is let be.
pub fn start(word: &str, session: &Session) -> Result<()> {
    let store = session.store()?;
    sweep(&store, session.roots())?;
    let mut container = store.find_container(word)?;
    let until = Instant::now() + STARTS_WITHIN;
    loop {
        let Some(found) = at_rest(&store, container)? else { return Ok(()) };
        container = found;
        match supervise::start(&container, First::No, session) {
            // Another command has started it meanwhile, and another one may have it end already.
            Err(error) if is_taken(&error, &container) && Instant::now() < until => {
                container = store.find_container(container.id.hex())?;
            }
            started => {
                return started.with_context(|| format!("start container `{}`", container.name));
            }
        }
    }
}

/// Whether a start is refused since the container runs.
fn is_taken(error: &anyhow::Error, container: &Container) -> bool {
    let taken = StoreError::ContainerRuns(container.name.clone()).to_string();
    matches!(error.downcast_ref(), Some(RunError::Setup { reason, .. }) if *reason == taken)
}

/// The container once nobody runs it; `None` where it runs.
fn at_rest(store: &Store, mut container: Container) -> Result<Option<Container>> {
    let until = Instant::now() + ENDS_WITHIN;
    while container.is_living {
        let runs =
            matches!(Doing::of(&container), Doing::Running { .. }) && shown::has_first(&container);
        if runs || container.state == State::Created {
            return Ok(None);
        }
        // It has ended, and is being cleared up; another command may start it right after.
        let has_let_go = store.wait_for_container(&container, LOOKS_EACH)?;
        if !has_let_go && Instant::now() >= until {
            bail!(
                "container `{}` is ending, and does not come to its end; `layerfs rm -f` removes it",
                container.name
            );
        }
        container = store.find_container(container.id.hex())?;
    }
    Ok(Some(container))
}

/// Does something with each container, and prints the words for those it was done with; the others have their line.
pub fn each(
    words: &[String],
    results: &mut Results,
    deed: impl Fn(&str) -> Result<()>,
) -> Result<Outcome> {
    let mut outcome = Outcome::Done;
    for word in words {
        match deed(word) {
            Ok(()) => {
                results.line(word)?;
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

/// Refuses a container that does not run.
pub fn must_run(name: &str, runs: bool) -> Result<()> {
    if !runs {
        bail!("container `{name}` does not run; `layerfs start {name}` starts it");
    }
    Ok(())
}
