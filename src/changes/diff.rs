//! `layerfs diff`: what a container or a mount changed.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use layerfs_driver::changes::{self, Change, ChangeKind, Sides};
use layerfs_driver::sys::output::Target;
use serde::Serialize;

use super::directories::Beside;
use super::what;
use crate::mount::options;
use crate::output::{Results, message, text};
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs diff web                       a container, running or not: A is added, C changed, D deleted
  layerfs diff /mnt                      the mountpoint of an image that is mounted writable
  layerfs diff --json /srv/upper         the upper directory of one, mounted or not
  layerfs diff --tar -o web.tar web      the changes as a layer, which other tools import
  layerfs diff /merged                   the mountpoint of directories (-o lowerdir=,upperdir=), or their upper directory
  layerfs diff --lowerdir A:B ./upper    the upper directory of some that are not mounted

Whatever was copied up counts as changed. Only the writable layer is read, but for names of hard-linked files of plain \
directories, which nothing else tells.";

/// The words of `layerfs diff`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct DiffArgs {
    /// Print the changes as one JSON array
    #[arg(long, conflicts_with = "tar")]
    json: bool,
    /// Write the changes as the archive of a layer, in the form of OCI images
    #[arg(long)]
    tar: bool,
    /// Write the archive to FILE, which appears when it is whole, instead of standard output, which is `-`
    #[arg(short, long, value_name = "FILE", requires = "tar")]
    output: Option<PathBuf>,
    /// The work directory of an upper directory, where it is not that one's name with `.work`
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// The image that an upper directory was made over, where that does not say so: `layerfs upper normalize` made it plain
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// The directories that an upper directory was mounted over, as -o lowerdir= names them, where no mount of it says so
    #[arg(long, value_name = "A:B", conflicts_with = "image")]
    lowerdir: Option<OsString>,
    /// A container, a mountpoint, or an upper directory
    #[arg(value_name = "CONTAINER|DIR")]
    what: OsString,
}

#[derive(Debug, Serialize)]
struct Row {
    kind: &'static str,
    path: String,
}

/// Prints the changes, or writes their archive.
pub fn run(args: &DiffArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let output = args.output.as_deref().filter(|path| *path != Path::new("-"));
    if args.tar && output.is_none() && std::io::stdout().is_terminal() {
        bail!("standard output is a terminal, which an archive would upset: name a file with -o");
    }
    let lowers = args.lowerdir.as_deref().map(options::lowers_of);
    let lowers = lowers.transpose()?.unwrap_or_default();
    let beside = Beside { work: args.work.as_deref(), lowers: &lowers };
    let found = what::find_over_any(session, &args.what, (beside, args.image.as_deref()))?;
    if let Some(words) = &args.image {
        what::expect_image(&session.store()?, words, &found)?;
    }
    what::settle(&found);
    if args.tar {
        return archive(output, &found.sides);
    }
    let changes = changes::list(&found.sides).with_context(|| found.called.clone())?;
    if args.json {
        let rows: Vec<Row> = changes.iter().map(row).collect();
        results.json(&rows)?;
        return Ok(Outcome::Done);
    }
    for change in &changes {
        let path = text::one_line(&String::from_utf8_lossy(&change.path));
        results.line(format_args!("{} {path}", letter(change.kind)))?;
    }
    Ok(Outcome::Done)
}

fn archive(output: Option<&Path>, sides: &Sides) -> Result<Outcome> {
    let mut target = match output {
        Some(path) => Target::file(path)?,
        None => Target::standard_output()?,
    };
    let left_out = changes::write_layer(sides, &mut target)?;
    target.finish()?;
    for thing in left_out {
        message::say(format!("left out: {thing}"));
    }
    Ok(Outcome::Done)
}

fn row(change: &Change) -> Row {
    let kind = match change.kind {
        ChangeKind::Changed => "changed",
        ChangeKind::Added => "added",
        ChangeKind::Deleted => "deleted",
    };
    Row { kind, path: String::from_utf8_lossy(&change.path).into_owned() }
}

fn letter(kind: ChangeKind) -> char {
    match kind {
        ChangeKind::Changed => 'C',
        ChangeKind::Added => 'A',
        ChangeKind::Deleted => 'D',
    }
}
