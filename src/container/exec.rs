//! `layerfs exec`: a further command in a container that runs.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use layerfs_driver::store::container::{Container, State};
use layerfs_driver::store::oci::RunConfig;
use layerfs_driver::sys::process::Process;
use layerfs_runtime::capability::Capabilities;
use layerfs_runtime::cgroup::Cgroup;
use layerfs_runtime::spec::{ExecSpec, Input, Lifetime, ResourceLimit, Streams};
use layerfs_runtime::{ExecRequest, RunError, Signals};
use serde_json::Value;

use super::asked::refuse_without_terminal;
use super::life::{exit_status, status_of};
use super::process::{Said, process, read_environment};
use super::run::may_contain;
use super::shown::Doing;
use super::{rights, rm, ulimits};
use crate::output::message;
use crate::session::{Misused, Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs exec web ps aux
  layerfs exec -it web sh
  layerfs exec -u postgres -w /var/lib/postgresql -e PGDATABASE=shop db psql
  layerfs exec -d web sh -c 'while sleep 60; do date >>/tmp/log; done'

The command has the container's namespaces, limits, rights and variables, and no others. It ends with the container, and, \
unless it was started with -d, with this command.

The exit status is that of the command, 128 and the signal's number where a signal ended it, 125 where it could not be \
started, 126 where it can't be executed, 127 where there is no such command.";

/// The words of `layerfs exec`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
#[command(override_usage = "layerfs exec [OPTIONS] CONTAINER COMMAND...")]
pub struct ExecArgs {
    /// Pass standard input on; with --detach there is none, as docker has it
    #[arg(short, long)]
    interactive: bool,
    /// Give it a terminal of its own
    #[arg(short, long, conflicts_with = "detach")]
    tty: bool,
    /// Do not wait for its end; it has no input, and nobody sees what it prints
    #[arg(short, long)]
    detach: bool,
    /// Set a variable; without a value, the caller's own
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<OsString>,
    /// Set the variables that a file has a line each for; those of --env come after them
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Start in this directory, which has to be there; the default is the container's
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Run as this user; the default is the container's
    #[arg(short, long, value_name = "NAME|UID[:GROUP|GID]")]
    user: Option<String>,
    /// Not there: a process has the rights that its container was made with
    #[arg(long, hide = true)]
    privileged: bool,
    /// Name, id, or the beginning of the id of a container, then the command and its words
    #[arg(value_name = "CONTAINER COMMAND", required = true, num_args = 2.., trailing_var_arg = true)]
    words: Vec<OsString>,
}

/// Runs the command, and answers as it ended.
pub fn run(args: &ExecArgs, session: &Session) -> Result<Outcome> {
    match may_enter(args).and_then(|()| enter(args, session)) {
        Ok(status) => Ok(Outcome::Status(status)),
        Err(error) if error.is::<Misused>() => Err(error),
        Err(error) => {
            message::error(&error);
            Ok(Outcome::Status(status_of(&error)))
        }
    }
}

fn may_enter(args: &ExecArgs) -> Result<()> {
    if args.privileged {
        bail!(
            "--privileged: a process has the rights that its container was made with; `layerfs run --cap-add` gives a container more"
        );
    }
    may_contain()
}

fn enter(args: &ExecArgs, session: &Session) -> Result<u8> {
    let store = session.store()?;
    let (word, words) = args.words.split_first().context("a container is needed")?;
    let word = word.to_str().context("the container's name is not UTF-8")?;
    let container = rm::started(&store, store.find_container(word)?)?;
    let first = first_process(&container)?;
    let cgroup = Cgroup::find(container.id.hex(), container.groups_below.as_deref())?;
    let named = || format!("container `{}`", container.name);
    if cgroup.is_paused()? {
        return Err(RunError::Paused).with_context(named);
    }
    let spec = spec(args, words, &container, first.pid())?;
    let lifetime = spec.lifetime;
    let request = ExecRequest {
        spec: &spec,
        cgroup: &cgroup,
        first_pid: first.pid(),
        first: first.as_fd(),
        signals: Signals::take()?,
    };
    let inside = layerfs_runtime::exec(request).map_err(|error| match error {
        // Its words are about the command, and name it.
        RunError::Setup { .. } => error.into(),
        error => anyhow::Error::from(error).context(named()),
    })?;
    let ended = inside.supervise()?;
    // Of one that goes on it is only the way in that has ended.
    Ok(if lifetime == Lifetime::OfContainer { 0 } else { exit_status(ended) })
}

/// The container's first process, held so that its number stays its own.
pub(super) fn first_process(container: &Container) -> Result<Process> {
    let name = &container.name;
    if let State::Running { pid, pid_start_ticks, .. } = container.state
        && let Some(first) = Process::find(pid, pid_start_ticks)?
    {
        return Ok(first);
    }
    match Doing::of(container) {
        Doing::Created { .. } => bail!("container `{name}` does not run yet"),
        Doing::Running { .. } => bail!("container `{name}` is ending"),
        Doing::Exited { .. } => {
            bail!("container `{name}` does not run; `layerfs start {name}` starts it")
        }
    }
}

fn spec(
    args: &ExecArgs,
    words: &[OsString],
    container: &Container,
    first_pid: u32,
) -> Result<ExecSpec> {
    let mut environment = read_environment(&args.env_file)?;
    environment.extend_from_slice(&args.env);
    let input = match (args.interactive, args.detach) {
        (true, false) => Input::Caller,
        _ => Input::Nothing,
    };
    refuse_without_terminal((args.tty, args.interactive))?;
    let said = Said {
        words,
        entrypoint: Some(""),
        environment: &environment,
        unset: &[],
        directory: args.workdir.as_deref(),
        user: args.user.as_deref(),
    };
    let streams = if args.tty { Streams::Terminal } else { Streams::Caller };
    let (capabilities, filters) = rights::of(container)?;
    Ok(ExecSpec {
        process: process(&said, &config_of(container), &container.hostname, streams)?,
        capabilities,
        filters,
        resource_limits: as_far_as_can_be(limits_of(container, first_pid)?)?,
        input,
        streams,
        lifetime: if args.detach { Lifetime::OfContainer } else { Lifetime::OfCaller },
    })
}

/// What the container's record says of its first process, as an image would say it.
fn config_of(container: &Container) -> RunConfig {
    let config = container.details.get("Config").unwrap_or(&Value::Null);
    let text = |key: &str| config[key].as_str().unwrap_or_default().to_owned();
    let lines = config["Env"].as_array().into_iter().flatten();
    RunConfig {
        env: lines.filter_map(|line| line.as_str().map(str::to_owned)).collect(),
        working_dir: text("WorkingDir"),
        user: text("User"),
        ..RunConfig::default()
    }
}

/// The limits that the first process began with: those of the process that stands by it, and what the container's words say. It
/// may have changed its own since, and root of the container those of others.
fn limits_of(container: &Container, first_pid: u32) -> Result<Vec<ResourceLimit>> {
    let mut limits = layerfs_runtime::limits_of(layerfs_runtime::parent_of(first_pid)?)?;
    for said in ulimits::noted_of(container) {
        match limits.iter_mut().find(|limit| limit.resource == said.resource) {
            Some(limit) => *limit = said,
            None => limits.push(said),
        }
    }
    Ok(limits)
}

/// The limits that are wanted, but for what this one may not raise: that is the caller's.
fn as_far_as_can_be(mut limits: Vec<ResourceLimit>) -> Result<Vec<ResourceLimit>> {
    let held = layerfs_runtime::held_capabilities()?;
    if Capabilities::named("SYS_RESOURCE").is_some_and(|one| held.has(one)) {
        return Ok(limits);
    }
    let least = |one: Option<u64>, other: Option<u64>| match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    for limit in &mut limits {
        limit.hard = least(limit.hard, layerfs_runtime::hard_limit(limit.resource));
        limit.soft = least(limit.soft, limit.hard);
    }
    Ok(limits)
}
