//! `layerfs update`: other limits for containers that are there.

use anyhow::{Context, Result, bail};
use clap::Args;
use layerfs_driver::store::Store;
use layerfs_driver::store::container::Container;
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
    let mut words = words_of(&container)?;
    let before = words.limits.adjustable();
    let after = before.changed_by(said);
    let old = before.limits().unwrap_or_default();
    let new = after.limits()?;
    words.limits.adjust(after);
    let mut details = container.details.clone();
    show_limits(details.entry("HostConfig").or_insert(Value::Null), &new);
    let noted = || Ok(store.change_container(&container, (details, recorded(&words)?))?);
    let deed = || format!("container `{}`", container.name);
    match Doing::of(&container) {
        Doing::Running { .. } => {
            subordinate::refuse_without_groups(&container, &Cgroup::find(container.id.hex())?)?;
            of_running(&container, (&old, &new), noted).with_context(deed)
        }
        Doing::Created { .. } if container.is_living => {
            bail!("container `{}` is being started; try again", container.name)
        }
        Doing::Created { .. } | Doing::Exited { .. } => {
            // So long nobody starts it.
            let _held = store.hold_container(&container)?;
            let id = container.id.hex();
            Cgroup::sweep(id)?;
            // Whether this machine can do it shows where it is done.
            Cgroup::create(id, &new).with_context(deed)?.remove()?;
            noted()
        }
    }
}

fn of_running(
    container: &Container,
    (old, new): (&Limits, &Limits),
    noted: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let mut cgroup = Cgroup::find(container.id.hex())?;
    cgroup.update(old, new)?;
    noted().inspect_err(|_| {
        if let Err(error) = cgroup.update(new, old) {
            tracing::error!("it keeps its new limits until it ends: {error}");
        }
    })
}
