//! `layerfs import`: a root file system as an image of one layer.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use clap::Args;
use layerfs_driver::store::RootfsInput;
use layerfs_driver::store::reference::Reference;
use layerfs_driver::sys::file::{self, FileType};
use layerfs_driver::sys::stream::{FileReader, standard_input};
use layerfs_driver::sys::{SysError, dir};

use super::tag::new_name;
use crate::output::progress::{self, Called, Show};
use crate::output::{Results, text};
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs import rootfs.tar.zst mybase:1
  layerfs import ./rootfs mybase:1
  mmdebstrap --variant=minbase bookworm - | layerfs import - debian:bookworm
  docker export box | layerfs import - box:saved
  layerfs import <(docker export box) box:saved

An archive may be compressed with gzip or zstd. Of a directory everything is taken that is on its own file system, but for sockets. \
The image's id is printed.";

/// The words of `layerfs import`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct ImportArgs {
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
    /// An archive, a directory, or - for an archive on standard input
    #[arg(value_name = "FILE|DIR|-")]
    input: OsString,
    /// The name of the image
    #[arg(value_name = "NAME[:TAG]")]
    name: String,
}

/// Makes the image, and prints its id.
pub fn run(args: &ImportArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let name: Reference = new_name(&args.name)?;
    let input = input(&args.input)?;
    let store = session.store_to_fill()?;
    let origin = origin(&args.input);
    let show = if args.quiet { Show::Nothing } else { Show::Progress };
    let progress = progress::of_import(show, Called::Origin(origin.clone()));
    let id = store.import_rootfs(input, &origin, Some(&name), progress.as_ref())?;
    drop(progress);
    results.line(id)?;
    Ok(Outcome::Done)
}

fn input(words: &OsStr) -> Result<RootfsInput> {
    if words == "-" {
        let stream = standard_input().context("read standard input")?;
        return Ok(RootfsInput::Archive(Box::new(stream)));
    }
    let deed = || format!("import `{}`", words.display());
    let (file, kind) = open(words).with_context(deed)?;
    match kind {
        FileType::Directory => {
            Ok(RootfsInput::Directory(dir::open_path(words).with_context(deed)?))
        }
        FileType::RegularFile | FileType::Fifo => {
            Ok(RootfsInput::Archive(Box::new(FileReader::new(file))))
        }
        _ => bail!("import `{}`: neither an archive nor a directory", words.display()),
    }
}

fn open(path: &OsStr) -> Result<(OwnedFd, FileType), SysError> {
    // `<(command)` and /dev/stdin are fifos. One that is opened without waiting reads as empty while nobody writes.
    let is_fifo = file::type_of(&file::stat_path(path)?) == FileType::Fifo;
    let file = if is_fifo { file::open_fifo_path(path)? } else { file::open_read_path(path)? };
    let kind = file::type_of(&file::stat(&file)?);
    Ok((file, kind))
}

/// Where the root file system came from, as the image's history says it.
fn origin(words: &OsStr) -> String {
    if words == "-" { "standard input".into() } else { text::one_line(&words.to_string_lossy()) }
}
