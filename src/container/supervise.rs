//! The process that stands by a container in the background: this program once more, which makes the container, says that its
//! program runs, and lets go of its caller.

use std::cell::Cell;
use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use layerfs_driver::store::container::{Base, Container, Keep};
use layerfs_driver::store::{Store, StoreError};
use layerfs_driver::sys::again::{self, Input};
use layerfs_driver::sys::host::{self, Rights};
use layerfs_driver::sys::{dir, file, signal};
use layerfs_runtime::cgroup::Room;
use layerfs_runtime::spec::Input as ContainerInput;
use layerfs_runtime::{Log, RunError};

use super::asked::{Asked, From, asked_with, read_recorded, refuse_without_terminal};
use super::life::{Before, Life, status_of};
use super::rights;
use super::rm::{self, Force};
use super::run::may_contain;
use super::volume;
use super::volumes::{self, Shown};
use super::words::RunArgs;
use crate::mount::status::{self, Heard};
use crate::output::{message, time};
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs supervise 0123456789abcdef";

/// The words of `layerfs supervise`, which no user says.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct SuperviseArgs {
    /// The container's id
    id: String,
    /// Remove the container where it can't be started
    #[arg(long)]
    first: bool,
}

/// Whether a container has been made to be started now, and goes where it can't be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// It has.
    Yes,
    /// It was there before.
    No,
}

/// Starts the process that stands by the container, and waits until the container's program runs.
pub fn start(container: &Container, first: First, session: &Session) -> Result<()> {
    // Before there are two processes: that one finds it made.
    let _room = (host::rights()? == Rights::User).then(Room::find).transpose()?;
    let mut words = session.words()?;
    words.push("supervise".into());
    words.extend((first == First::Yes).then(|| OsString::from("--first")));
    words.push(container.id.hex().into());
    // Called by another name it would make other words of these.
    let program = Path::new(again::THIS_PROGRAM);
    let mut process = again::start(program, "layerfs", &words, Input::Nothing)
        .context("start the process that stands by the container")?;
    match status::listen(process.said(), |_| {})? {
        Heard::Ready => Ok(()),
        Heard::Failed(words) => {
            process.wait()?;
            Err(refused(&words).into())
        }
        Heard::Nothing => {
            process.wait()?;
            bail!("the process that stands by the container has died")
        }
    }
}

/// The exit status and why, as [`run_in_background`] says them.
fn refused(words: &str) -> RunError {
    let (status, reason) = words.split_once(' ').unwrap_or(("", words));
    RunError::Setup { status: status.parse().unwrap_or(125), reason: reason.to_owned() }
}

/// Stands by the container until it has ended.
pub fn run_in_background(args: &SuperviseArgs, session: &Session) -> Result<Outcome> {
    match supervised(args, session) {
        Ok(status) => Ok(Outcome::Status(status)),
        Err(error) => {
            let status = status_of(&error);
            let told = anyhow!("{status} {}", message::line_of(&error));
            if let Err(refused) = status::tell_failed(&told) {
                tracing::warn!("{error:#} ({refused:#})");
            }
            Ok(Outcome::Status(status))
        }
    }
}

fn supervised(args: &SuperviseArgs, session: &Session) -> Result<u8> {
    may_contain()?;
    layerfs_runtime::close_inherited()?;
    signal::leave_terminal()?;
    // A log that may not grow any more is full, and no reason to end.
    signal::ignore_file_size()?;
    let store = session.store()?;
    let container = store.find_container(&args.id)?;
    let before = match args.first {
        true => Before::Nothing,
        false => Before::Was(container.state.clone()),
    };
    let has_run = Cell::new(false);
    stand_by(&container, before, (session, &store), &has_run).inspect_err(|_| {
        // What was taken is put back by who had it. What has run is there to be looked at, whatever became of it.
        if args.first
            && !has_run.get()
            && let Err(error) = rm::remove(&store, container.id.hex(), Force::No, With::All)
            && !matches!(error.downcast_ref(), Some(StoreError::NoSuchContainer(_)))
        {
            message::error(&error);
        }
    })
}

fn stand_by(
    container: &Container,
    before: Before,
    (session, store): (&Session, &Store),
    has_run: &Cell<bool>,
) -> Result<u8> {
    let null = file::open_device("/dev/null")?;
    let words = words_of(container)?;
    let mut asked = asked_again(&words, container, store)?;
    // Nobody's input comes here. Who wants some has it open, as docker has it.
    asked.input = if words.interactive { ContainerInput::Open } else { ContainerInput::Nothing };
    // All paths are whole: the caller's directory is the caller's.
    dir::enter("/")?;
    let living = store.start_container(container, asked.keep)?;
    let life = Life { args: &words, asked: &asked, session, store, before };
    let log = match Log::open(living.dir(), time::now).context("open the log") {
        Ok(log) => log,
        // Of a throwaway that is dropped the volumes would stay.
        Err(error) => {
            life.put_back(living, &error);
            return Err(error);
        }
    };
    life.live(living, Some(log), || {
        has_run.set(true);
        let told = status::tell_ready();
        let left = layerfs_runtime::leave_streams(&null);
        if let Err(error) = told.and(left.map_err(anyhow::Error::from)) {
            tracing::debug!("let go of the caller: {error:#}");
        }
    })
}

/// The words that a container was made with.
pub fn words_of(container: &Container) -> Result<RunArgs> {
    read_recorded(&container.said, &container.name)
}

/// Which containers have their volumes go with them that nobody named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With {
    /// Every one.
    All,
    /// One that is not to be kept, also where it is still there because it could not be started.
    Throwaway,
}

/// The volumes of a container that nobody named, where they go with it. One of an earlier version, whose words say nothing of that, has
/// none.
pub fn anonymous_of(container: &Container, with: With) -> Vec<String> {
    if container.said.is_null() {
        return Vec::new();
    }
    let words = match words_of(container) {
        Ok(words) => words,
        Err(error) => {
            tracing::debug!("{error:#}");
            if !container.volumes.is_empty() {
                message::say(format_args!(
                    "container `{}`: which of its volumes nobody named can't be read, so they stay ({}); `layerfs volume prune` removes \
                     those that nobody named",
                    container.name,
                    volume::quoted(&container.volumes)
                ));
            }
            return Vec::new();
        }
    };
    if with == With::All || container.keep == Keep::Throwaway || words.rm {
        words.shown.iter().filter_map(Shown::anonymous).map(str::to_owned).collect()
    } else {
        Vec::new()
    }
}

/// What a container's words ask for, the image called as it was when it was made.
fn asked_again<'a>(words: &'a RunArgs, container: &Container, store: &Store) -> Result<Asked<'a>> {
    // A profile is what it was when the container was made.
    let rights = rights::noted_of(container).map_or_else(|| words.security.rights(), Ok);
    let unmoved = words.rootfs.as_ref().map_or(Ok(()), |path| {
        volumes::unmoved(Path::new(path), &format!("--rootfs `{}`", path.display())).map(drop)
    });
    let asked = unmoved.and(rights).and_then(|rights| asked_with(words, store, rights));
    let mut asked =
        asked.with_context(|| format!("container `{}` can't be started", container.name))?;
    if let (From::Image { called, .. }, Base::Image { called: was, .. }) =
        (&mut asked.from, &container.base)
    {
        called.clone_from(was);
    }
    Ok(asked)
}

/// Has a container live again with the caller's own streams.
pub fn start_here(container: &Container, input: ContainerInput, session: &Session) -> Result<u8> {
    may_contain()?;
    let store = session.store()?;
    let words = RunArgs { interactive: input == ContainerInput::Caller, ..words_of(container)? };
    let asked = asked_again(&words, container, &store)?;
    refuse_without_terminal((words.tty, words.interactive))?;
    let living = store.start_container(container, asked.keep)?;
    let before = Before::Was(container.state.clone());
    Life { args: &words, asked: &asked, session, store: &store, before }.live(living, None, || {})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_has_its_status_and_its_reason() {
        let said = refused("127 no such command: x");
        assert!(
            matches!(said, RunError::Setup { status: 127, ref reason } if reason == "no such command: x")
        );
        assert!(matches!(refused("strange"), RunError::Setup { status: 125, .. }));
    }
}
