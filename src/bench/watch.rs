//! Who watches over whom: the command over the keeper, the keeper over the lab and all that is started there.
//!
//! 1. The keeper is process 1 of its namespace, and the mounts are its namespace's: with it all processes end, and all mounts.
//! 2. It dies with the command, however that ends.
//! 3. Asked to end, it ends the lab first, and takes away what no namespace holds: control groups of containers.
//! 4. It has a session of its own, so that Ctrl-C reaches the command alone.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use layerfs_driver::store::Store;
use layerfs_driver::sys::stream::FileReader;
use layerfs_driver::sys::{deep, dir, host, signal};
use layerfs_runtime::apart::{self, Attributes, Child, Ended, EndsHere, Forked, Until};

use super::contender;
use super::lab::{self, Asked};
use super::serving;
use super::step;
use super::tell::{Lines, Teller, Told};
use crate::container::sweep;
use crate::output::message;
use crate::roots::Roots;

/// How often the keeper takes away the status of orphans that have ended.
const REAP: Duration = Duration::from_millis(300);
/// How long the keeper may take to clear up before it is ended.
const CLEARING: Duration = Duration::from_secs(30);
/// Bytes that are read from the lab at once.
const PIECE: usize = 64 * 1024;

/// Whether all was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// All.
    Whole,
    /// Somebody asked to end.
    Stopped,
}

/// The directory that all is in, removed with all of it.
#[derive(Debug)]
struct Ground {
    base: OwnedFd,
    name: String,
    path: PathBuf,
}

impl Ground {
    fn make(base: &Path) -> Result<Ground> {
        let base = dir::open_path(base)?;
        let name =
            format!("layerfs-bench-{}-{:08x}", host::process_id(), host::random_u64()? >> 32);
        dir::make(&base, name.as_str(), 0o700)?;
        let path = dir::path_of(&base)?.join(&name);
        Ok(Ground { base, name, path })
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if let Err(error) = deep::remove(&self.base, self.name.as_str()) {
            message::say(format_args!("bench: {} stays: {error}", self.path.display()));
        }
    }
}

/// Measures in namespaces of their own, and hands all that is told to `hear`. Nothing is left, whatever happens.
pub fn run(asked: &Asked, hear: impl FnMut(Told)) -> Result<Finished> {
    // Before any process is made: a signal that comes in between waits.
    let signals = apart::take_signals()?;
    let ground = Ground::make(asked.base.dir())
        .with_context(|| format!("make a directory in `{}`", asked.base.dir().display()))?;
    let (reader, writer) = apart::pipe()?;
    let keeper = match apart::fork_into(apart::PROCESSES_AND_MOUNTS)? {
        Forked::Child => {
            let _ends = EndsHere { status: 1 };
            drop(reader);
            let kept = keep(asked, &ground.path, &signals, writer);
            if let Err(error) = &kept {
                message::error(error);
            }
            apart::exit_now(u8::from(kept.is_err()));
        }
        Forked::Parent(keeper) => keeper,
    };
    drop(writer);
    let heard = listen(reader, &signals, hear);
    let ended = end(&keeper, heard.as_ref().is_ok_and(|heard| *heard == Finished::Whole));
    drop(ground);
    let finished = heard?;
    match ended? {
        Ended::Exited(0) => Ok(finished),
        _ if finished == Finished::Stopped => Ok(finished),
        ended => bail!("the process that keeps the measurement together {ended}"),
    }
}

/// Hears the lab until it has told all, or somebody asks to end.
fn listen(reader: OwnedFd, signals: &OwnedFd, mut hear: impl FnMut(Told)) -> Result<Finished> {
    let mut reader = FileReader::new(reader);
    let mut lines = Lines::default();
    let mut piece = vec![0; PIECE];
    loop {
        let lab = (reader.as_owned().as_fd(), Until::Readable);
        let due = apart::wait_until(&[lab, (signals.as_fd(), Until::Readable)], None)?;
        if due[1] && apart::asks_to_end(signals)? {
            return Ok(Finished::Stopped);
        }
        if due[0] {
            let len = reader.read(&mut piece).context("listen to the lab")?;
            if len == 0 {
                return Ok(Finished::Whole);
            }
            lines.take(&piece[..len])?.into_iter().for_each(&mut hear);
        }
    }
}

/// Ends the keeper: it does what is left to do, and is killed where that takes too long.
fn end(keeper: &Child, is_done: bool) -> Result<Ended> {
    if !is_done {
        apart::signal(&keeper.pidfd, apart::TERMINATE)?;
    }
    let ended = [(keeper.pidfd.as_fd(), Until::Readable)];
    if !apart::wait_until(&ended, Some(CLEARING))?[0] {
        apart::signal(&keeper.pidfd, apart::KILL)?;
    }
    Ok(apart::wait(&keeper.pidfd)?)
}

/// The keeper's life.
fn keep(asked: &Asked, ground: &Path, signals: &OwnedFd, writer: OwnedFd) -> Result<()> {
    apart::die_with_parent()?;
    signal::leave_terminal()?;
    apart::make_all_private()?;
    let proc = apart::new_filesystem("proc", &[], Attributes::NO_SUID)?;
    apart::attach(proc, dir::open_path("/proc")?)?;
    let lab = match apart::fork_into(apart::NOTHING)? {
        Forked::Child => {
            let _ends = EndsHere { status: 1 };
            let teller = Teller(writer);
            let done = lab::run(asked, ground, &teller);
            let told = match &done {
                Ok(()) => Ok(()),
                Err(error) => teller.tell(&Told::Failed(message::line_of(error))),
            };
            apart::exit_now(u8::from(told.is_err()));
        }
        Forked::Parent(lab) => lab,
    };
    drop(writer);
    let ended = stand_by(&lab, signals)?;
    clear(ground)?;
    match ended {
        Some(Ended::Exited(0)) | None => Ok(()),
        Some(ended) => bail!("the lab {ended}"),
    }
}

/// Waits until the lab has ended, or somebody asks to end: `None`.
fn stand_by(lab: &Child, signals: &OwnedFd) -> Result<Option<Ended>> {
    loop {
        if let Some((_, ended)) = apart::reap()?.into_iter().find(|(pid, _)| *pid == lab.pid) {
            return Ok(Some(ended));
        }
        let lab = (lab.pidfd.as_fd(), Until::Readable);
        let due = apart::wait_until(&[lab, (signals.as_fd(), Until::Readable)], Some(REAP))?;
        if due[1] && apart::asks_to_end(signals)? {
            return Ok(None);
        }
    }
}

/// Ends all that is left, and takes away its mounts and its control groups.
fn clear(ground: &Path) -> Result<()> {
    step::abort_below(ground)?;
    serving::now()?.end()?;
    let store = ground.join("disk/store");
    if let Ok(store) = Store::open_existing(&store) {
        sweep::sweep(&store, &Roots { store: None, run: Some(ground.join("disk/run")) })?;
    }
    contender::unmount(ground)
}
