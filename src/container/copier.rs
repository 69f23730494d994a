//! The process that reads or writes a container's files for `layerfs cp`: it enters the container's tree and speaks a tar
//! archive on its standard streams. Nothing that stands in the tree leads it out of there.

use std::io;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use layerfs_driver::sys::process::Process;
use layerfs_runtime::tree;

use super::archive::{self, Kind, Owners};
use crate::output::{Results, message};
use crate::session::Outcome;

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs copier --tree=/mnt read /etc/passwd passwd";

/// The words of `layerfs copier`, which no user says.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct CopierArgs {
    /// The container's first process
    #[arg(long)]
    pid: Option<u32>,
    /// When that one started
    #[arg(long, default_value_t = 0)]
    start_ticks: u64,
    /// The tree of one that does not run
    #[arg(long)]
    tree: Option<PathBuf>,
    /// Keep owners
    #[arg(long)]
    owners: bool,
    /// Follow a link that is read
    #[arg(long)]
    follow: bool,
    /// What is to be done
    #[arg(value_enum)]
    deed: Deed,
    /// Where in the tree
    path: PathBuf,
    /// What is read is called so in the archive
    name: Option<PathBuf>,
}

/// What a copier does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Deed {
    /// Says what stands there.
    Look,
    /// Writes an archive of it.
    Read,
    /// Reads an archive into it.
    Write,
}

/// Does it. Errors are the user's to read.
pub fn run_in_background(args: &CopierArgs, results: &mut Results) -> Result<Outcome> {
    match copy(args, results) {
        Ok(()) => Ok(Outcome::Done),
        Err(error) => {
            message::error(&error);
            Ok(Outcome::SomeFailed)
        }
    }
}

fn copy(args: &CopierArgs, results: &mut Results) -> Result<()> {
    enter(args)?;
    let path = absolute(&args.path);
    let shown = || format!("`{}` in the container", path.display());
    match args.deed {
        Deed::Look => {
            results.line(archive::kind(&path, args.follow).with_context(shown)?.word())?;
            Ok(())
        }
        Deed::Read => {
            let name = args.name.as_deref().unwrap_or_else(|| Path::new("."));
            archive::write(&path, name, args.follow, io::stdout().lock()).with_context(shown)
        }
        Deed::Write => {
            if archive::kind(&path, true).with_context(shown)? != Kind::Directory {
                bail!("{}: it has to be a directory", shown());
            }
            let owners = if args.owners { Owners::AsTheyAre } else { Owners::Copier };
            archive::read(&path, None, owners, io::stdin().lock()).with_context(shown)
        }
    }
}

fn enter(args: &CopierArgs) -> Result<()> {
    let entered = match (args.pid, &args.tree) {
        (Some(pid), _) => {
            let Some(first) = Process::find(pid, args.start_ticks)? else {
                bail!("the container has ended");
            };
            tree::enter_running(pid, &first)
        }
        (None, Some(root)) => tree::enter_directory(root),
        (None, None) => bail!("no container is named"),
    };
    entered.context("enter the container's tree")
}

/// Paths begin at the root of a container, as docker has it.
fn absolute(path: &Path) -> PathBuf {
    let parts = path.components().filter(|part| !matches!(part, Component::CurDir));
    Path::new("/").join(parts.collect::<PathBuf>())
}
