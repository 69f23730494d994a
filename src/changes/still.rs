//! A container that stands still while its changes are read: a process of its own freezes it, and thaws it whatever becomes of
//! the command.
//!
//! That process reads a pipe whose other end the command holds: it ends when the command lets go of it, or dies. Should it be
//! the one that dies, the command thaws what it left. Nobody does where both are killed at once; then the next commit does.

use std::ffi::OsString;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use layerfs_driver::sys::again::{self, Again, Input};
use layerfs_driver::sys::signal;
use layerfs_driver::sys::stream::standard_input;
use layerfs_runtime::cgroup::Cgroup;

use crate::mount::status::{self, Heard};
use crate::session::Outcome;

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs still 0123456789abcdef </dev/null";

/// The words of `layerfs still`, which no user says.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct StillArgs {
    /// The container's id
    id: String,
    /// Below which control group its groups are, if not right in the hierarchies
    #[arg(value_name = "GROUP")]
    below: Option<PathBuf>,
}

/// Freezes the container, says so, and thaws it when standard input ends.
pub fn run_in_background(args: &StillArgs) -> Result<Outcome> {
    match run(&args.id, args.below.as_deref()) {
        Err(error) => {
            if let Err(refused) = status::tell_failed(&error) {
                tracing::warn!("{error:#} ({refused:#})");
            }
            Ok(Outcome::SomeFailed)
        }
        Ok(()) => Ok(Outcome::Done),
    }
}

fn run(id: &str, below: Option<&Path>) -> Result<()> {
    layerfs_runtime::close_inherited()?;
    // What ends the command by its terminal ends this by the pipe.
    signal::leave_terminal()?;
    signal::block_ends()?;
    let cgroup = Cgroup::find(id, below)?;
    let paused = cgroup.paused()?;
    // Who is gone already is told nothing, and is not waited for either.
    let told = status::tell_ready();
    let waited = standard_input().and_then(|mut pipe| pipe.read_to_end(&mut Vec::new()));
    paused.end()?;
    waited.context("wait for the end of the commit")?;
    told.and_then(|()| status::tell_ready())
}

/// A container that stands still until this is ended, dropped, or the process dies.
#[derive(Debug)]
pub struct Still {
    process: Again,
    id: String,
    below: Option<PathBuf>,
    held: OwnedFd,
}

impl Still {
    /// Has the container stand still; waits for another who has it so.
    pub fn begin(id: &str, below: Option<&Path>) -> Result<Still> {
        let (theirs, held) = layerfs_runtime::pipe()?;
        let mut words = vec![OsString::from("still"), id.into()];
        words.extend(below.map(OsString::from));
        // Called by another name it would make other words of these.
        let program = Path::new(again::THIS_PROGRAM);
        let mut process = again::start(program, "layerfs", &words, Input::File(theirs))
            .context("start the process that keeps the container still")?;
        match status::first_word(process.said()) {
            Ok(Heard::Ready) => {
                Ok(Still { process, id: id.to_owned(), below: below.map(Path::to_path_buf), held })
            }
            Ok(Heard::Failed(why)) => bail!("{why}"),
            Ok(Heard::Nothing) => {
                thaw(id, below)?;
                bail!("the process that keeps the container still died")
            }
            Err(error) => {
                Err(error).context("listen to the process that keeps the container still")
            }
        }
    }

    /// Has it go on.
    pub fn end(self) -> Result<()> {
        let Still { mut process, id, below, held } = self;
        drop(held);
        let heard = status::listen(process.said(), |_| {})?;
        process.wait()?;
        match heard {
            Heard::Ready => Ok(()),
            Heard::Failed(why) => {
                tracing::warn!("{why}");
                thaw(&id, below.as_deref())
            }
            Heard::Nothing => thaw(&id, below.as_deref()),
        }
    }
}

/// Thaws what a process left that froze it and died: frozen anew, so that nobody else's is thawed.
fn thaw(id: &str, below: Option<&Path>) -> Result<()> {
    let cgroup = Cgroup::find(id, below)?;
    Ok(cgroup.paused()?.end()?)
}
