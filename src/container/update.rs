//! `layerfs update`: other limits for containers that are there.

use anyhow::{Context, Result, bail};
use clap::Args;
use layerfs_driver::store::container::Container;
use layerfs_driver::store::{Store, StoreError};
use layerfs_runtime::cgroup::{Cgroup, Limits};
use serde_json::Value;

use super::asked::recorded;
use super::details::show_limits;
use super::limits::AdjustableArgs;
use super::shown::Doing;
use super::start::each;
use super::subordinate;
use super::supervise::words_of;
use super::sweep::sweep;
use super::words::RunArgs;
use crate::output::Results;
use crate::session::{Misused, Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs update --memory 200m web
  layerfs update --cpus 0.5 --pids-limit 100 $(layerfs ps -q)
  layerfs update --memory 0 --cpus 0 --pids-limit -1 web      no limit any more

Of a container that runs they hold at once, of another from its next start on. Where one of them can't hold here, all stay as \
they were. What is not said stays as it is; --cpuset-cpus '' lets it run on all processors again.";

/// The words of `layerfs update`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct UpdateArgs {
    #[command(flatten)]
    limits: AdjustableArgs,
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", required = true, help_heading = None::<&str>)]
    containers: Vec<String>,
}

/// Has other limits hold for each.
pub fn run(args: &UpdateArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    if args.limits == AdjustableArgs::default() {
        return Err(Misused::of("no limit is said: `layerfs update --help` lists them").into());
    }
    let store = session.store()?;
    sweep(&store, session.roots())?;
    each(&args.containers, results, |word| update(&store, word, &args.limits))
}

fn update(store: &Store, word: &str, said: &AdjustableArgs) -> Result<()> {
    let container = store.find_container(word)?;
    let deed = || format!("container `{}`", container.name);
    match Doing::of(&container) {
        Doing::Running { .. } => {
            let cgroup = Cgroup::find(container.id.hex(), container.groups_below.as_deref())?;
            subordinate::refuse_without_groups(&container, &cgroup)?;
            cgroup.wait_to_update()?;
            // What another one changed until now is what this one begins with.
            let now = store.find_container(container.id.hex())?;
            if now.state != container.state {
                return Err(StoreError::ContainerChanged(now.name).into());
            }
            of_running(store, &now, cgroup, &Other::of(&now, said)?).with_context(deed)
        }
        Doing::Created { .. } if container.is_living => {
            bail!("container `{}` is being started; try again", container.name)
        }
        Doing::Created { .. } | Doing::Exited { .. } => {
            // So long nobody starts it.
            let _held = store.hold_container(&container)?;
            let other = Other::of(&container, said)?;
            let id = container.id.hex();
            Cgroup::sweep(id, container.groups_below.as_deref())?;
            Cgroup::try_limits(id, &other.limits).with_context(deed)?;
            other.note(store, &container)
        }
    }
}

/// What a container has when its limits are others.
struct Other {
    words: RunArgs,
    limits: Limits,
}

impl Other {
    fn of(container: &Container, said: &AdjustableArgs) -> Result<Other> {
        let mut words = words_of(container)?;
        let after = words.limits.adjustable().changed_by(said);
        let limits = after.limits()?;
        words.limits.adjust(after);
        Ok(Other { words, limits })
    }

    fn note(&self, store: &Store, container: &Container) -> Result<()> {
        let mut details = container.details.clone();
        show_limits(details.entry("HostConfig").or_insert(Value::Null), &self.limits);
        Ok(store.change_container(container, (details, recorded(&self.words)?))?)
    }
}

fn of_running(
    store: &Store,
    container: &Container,
    mut cgroup: Cgroup,
    other: &Other,
) -> Result<()> {
    let old = words_of(container)?.limits.adjustable().limits().context(
        "the limits that it has can't be read any more, so that others could not be taken back",
    )?;
    cgroup.update(&old, &other.limits)?;
    other.note(store, container).inspect_err(|_| {
        if let Err(error) = cgroup.update(&other.limits, &old) {
            tracing::error!("it keeps its new limits until it ends: {error}");
        }
    })
}
