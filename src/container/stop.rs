//! `layerfs stop`, `kill` and `restart`: signals for a container's first process.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use layerfs_driver::store::Store;
use layerfs_driver::store::container::{Container, Keep, State};
use layerfs_driver::sys::process::Process;
use layerfs_runtime::{signal_name, signal_named};
use serde_json::Value;

use super::pause::let_end;
use super::rm::started;
use super::shown::Doing;
use super::start::{LOOKS_EACH, each, must_run, start};
use super::sweep::sweep;
use crate::output::Results;
use crate::session::{Outcome, Session};

const STOP_EXAMPLES: &str = "\
EXAMPLES:
  layerfs stop web
  layerfs stop -t 60 db               has a minute to end by itself
  layerfs stop $(layerfs ps -q)       all that run

The first process gets the container's stop signal (--stop-signal, or the image's; SIGTERM), and SIGKILL when the time is over. \
A program that is process 1 and does not ask for the signal never gets it: the kernel keeps it from that one alone.";

const KILL_EXAMPLES: &str = "\
EXAMPLES:
  layerfs kill web
  layerfs kill -s HUP web             the first process reads its configuration anew, for instance";

const RESTART_EXAMPLES: &str = "\
EXAMPLES:
  layerfs restart web
  layerfs restart -t 0 web            without waiting for it";

/// How long a container whose first process is killed may take until all of it is cleared up.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// How long the first process has where nothing else was said, as docker has it.
const STOPS_WITHIN_S: u64 = 10;

/// The words of `layerfs stop`.
#[derive(Debug, Args)]
#[command(after_long_help = STOP_EXAMPLES)]
pub struct StopArgs {
    #[command(flatten)]
    way: Way,
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

/// The words of `layerfs restart`.
#[derive(Debug, Args)]
#[command(after_long_help = RESTART_EXAMPLES)]
pub struct RestartArgs {
    #[command(flatten)]
    way: Way,
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

/// How a container is asked to end.
#[derive(Debug, Args)]
struct Way {
    /// Kill it after so many seconds; -1 waits without end
    #[arg(
        short,
        long,
        visible_alias = "timeout",
        value_name = "SECONDS",
        allow_negative_numbers = true
    )]
    time: Option<i64>,
    /// Send this signal first
    #[arg(short, long, value_name = "SIGNAL")]
    signal: Option<String>,
}

/// The words of `layerfs kill`.
#[derive(Debug, Args)]
#[command(after_long_help = KILL_EXAMPLES)]
pub struct KillArgs {
    /// Send this signal
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL")]
    signal: String,
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

/// The number of SIGKILL.
const KILL: i32 = 9;

/// Stops each; those that can't be have their line.
pub fn run(args: &StopArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let store = session.store()?;
    sweep(&store, session.roots())?;
    each(&args.containers, results, |word| stop(&store, word, &args.way))
}

/// Sends each a signal.
pub fn kill(args: &KillArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let store = session.store()?;
    sweep(&store, session.roots())?;
    let signal = number(&args.signal)?;
    each(&args.containers, results, |word| {
        let container = started(&store, store.find_container(word)?)?;
        let Some(first) = first_process(&container)? else {
            return must_run(&container.name, false);
        };
        first.send(signal)?;
        if signal != KILL {
            return Ok(());
        }
        // What can't be refused is over when this is.
        let_end(&container)?;
        settled(&store, &container, ENDS_WITHIN)
    })
}

/// Stops each and starts it again.
pub fn restart(args: &RestartArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let store = session.store()?;
    sweep(&store, session.roots())?;
    each(&args.containers, results, |word| {
        let container = store.find_container(word)?;
        if container.keep == Keep::Throwaway {
            bail!(
                "container `{}` goes when it ends (--rm), and can't be started again",
                container.name
            );
        }
        stop(&store, word, &args.way)?;
        start(word, session)
    })
}

/// Asks the first process to end, kills it when it has had its time, and waits until all is cleared up. One that does not
/// run is no failure.
fn stop(store: &Store, word: &str, way: &Way) -> Result<()> {
    let container = started(store, store.find_container(word)?)?;
    let Some(first) = first_process(&container)? else {
        return settled(store, &container, ENDS_WITHIN);
    };
    let (signal, patience) = asked(&container, way)?;
    first.send(signal)?;
    let_end(&container)?;
    // What is longer than time can be counted is without end.
    let until = patience.and_then(|patience| Instant::now().checked_add(patience));
    loop {
        let left =
            until.map_or(ENDS_WITHIN, |until| until.saturating_duration_since(Instant::now()));
        if store.wait_for_container(&container, left.min(LOOKS_EACH))? {
            return Ok(());
        }
        if lives_anew(store, &container)? {
            return Ok(());
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            first.kill()?;
            let_end(&container)?;
            return settled(store, &container, ENDS_WITHIN);
        }
    }
}

/// The signal and how long it has; `None` for without end.
fn asked(container: &Container, way: &Way) -> Result<(i32, Option<Duration>)> {
    let config = |key: &str| container.details.get("Config").and_then(|config| config.get(key));
    let noted = config("StopSignal").and_then(Value::as_str).filter(|word| !word.is_empty());
    let signal = number(way.signal.as_deref().or(noted).unwrap_or("TERM"))?;
    let noted = config("StopTimeout").and_then(Value::as_i64);
    let secs = way.time.or(noted).map_or(Ok(STOPS_WITHIN_S), u64::try_from);
    Ok((signal, secs.ok().map(Duration::from_secs)))
}

/// The signal's number, by its name or as one.
pub fn number(word: &str) -> Result<i32> {
    match signal_named(word) {
        Some(number) => Ok(number),
        None => bail!("`{word}` is no signal; `kill -l` lists them, such as TERM or 15"),
    }
}

/// The signal's name with SIG, as docker shows it.
pub fn name_of(word: &str) -> Result<String> {
    let number = number(word)?;
    signal_name(number).with_context(|| format!("signal {number} has no name"))
}

/// The container's first process, where it runs.
fn first_process(container: &Container) -> Result<Option<Process>> {
    match (&container.state, Doing::of(container)) {
        (State::Running { pid, pid_start_ticks, .. }, Doing::Running { .. }) => {
            Ok(Process::find(*pid, *pid_start_ticks)?)
        }
        _ => Ok(None),
    }
}

/// Whether what was asked to end is over, and another command has started the container again: the lock passes from one to the other.
fn lives_anew(store: &Store, container: &Container) -> Result<bool> {
    let first = |of: &Container| match of.state {
        State::Running { pid, pid_start_ticks, .. } => Some((pid, pid_start_ticks)),
        _ => None,
    };
    let now = store.find_container(container.id.hex())?;
    Ok(first(&now).is_some() && first(&now) != first(container))
}

/// Waits until nobody holds the container any more.
fn settled(store: &Store, container: &Container, within: Duration) -> Result<()> {
    let until = Instant::now() + within;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if store.wait_for_container(container, left.min(LOOKS_EACH))?
            || lives_anew(store, container)?
        {
            return Ok(());
        }
        if left.is_zero() {
            break;
        }
    }
    bail!(
        "container `{}`: the process that stands by it has not ended within {} s: it is being started, or stuck; look at \
         `layerfs ps -a`",
        container.name,
        within.as_secs()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_known_by_name_and_number() {
        for word in ["TERM", "SIGTERM", "term", "15"] {
            assert_eq!(number(word).unwrap(), 15, "{word}");
        }
        assert_eq!(number("RTMIN+3").unwrap(), number("SIGRTMAX-27").unwrap());
        assert_eq!(name_of("SIGRTMIN+3").unwrap(), "SIGRTMIN+3");
        for word in ["", "SIG", "0", "99", "-1", "x", "RTMIN+99", "RTMAX+1", "32"] {
            assert!(number(word).unwrap_err().to_string().contains("kill -l"), "{word}");
        }
        assert_eq!(name_of("1").unwrap(), "SIGHUP");
    }
}
