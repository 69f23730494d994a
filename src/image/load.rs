//! `layerfs load`: all images of an archive, from a file or from standard input.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::Args;
use layerfs_driver::store::Store;
use layerfs_driver::store::source::{self, Source, Wanted};
use layerfs_driver::sys::stream::standard_input;

use super::bring::{Brought, bring, one_name, wanted};
use crate::output::progress::Show;
use crate::output::results::ResultsError;
use crate::output::{Results, message};
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  docker save debian:bookworm alpine:3.20 | layerfs load
  layerfs load -i images.tar.gz
  podman save --format oci-archive debian | layerfs load --name debian:mine

Takes what `docker save` and `podman save` write, and OCI archives, plain or compressed with gzip or zstd. An image \
that can't be taken has its line on standard error; the others are taken all the same.";

/// The words of `layerfs load`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct LoadArgs {
    /// Read from FILE instead of standard input
    #[arg(short, long, value_name = "FILE")]
    input: Option<OsString>,
    /// Print only ids, and no progress
    #[arg(short, long)]
    quiet: bool,
    /// Take images for this platform instead of this machine's
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    /// Give the archive's only image this name instead of its own
    #[arg(long, value_name = "NAME[:TAG]")]
    name: Option<String>,
}

/// Brings all images in, and prints the names of each, or its id where it has none.
pub fn run(args: &LoadArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let wanted = wanted(args.platform.as_deref())?;
    let store = session.store_to_fill()?;
    let source = open(args, wanted, &store)?;
    let images = source.each_image()?;
    let name = one_name(args.name.as_deref(), images.len())?;
    let show = if args.quiet { Show::Nothing } else { Show::Progress };
    let mut outcome = Outcome::Done;
    for image in images {
        let told = image
            .map_err(Into::into)
            .and_then(|image| bring(&store, &source, &image, name.as_ref(), show))
            .and_then(|brought| tell(&brought, show, results));
        match told {
            Ok(()) => {}
            Err(error) if error.is::<ResultsError>() => return Err(error),
            Err(error) => {
                message::error(&error);
                outcome = Outcome::SomeFailed;
            }
        }
    }
    Ok(outcome)
}

/// The archive that `-i` names, or what comes on standard input.
fn open(args: &LoadArgs, wanted: Wanted, store: &Store) -> Result<Source> {
    let spool_dir = store.spool_dir().as_fd();
    match &args.input {
        Some(path) => Ok(source::open_path(Path::new(path), wanted, spool_dir)?),
        None if io::stdin().is_terminal() => {
            bail!("standard input is a terminal: give an archive with -i FILE, or pipe one in")
        }
        None => {
            let stream = standard_input().context("read standard input")?;
            Ok(source::open_stream(stream, wanted, spool_dir)?)
        }
    }
}

fn tell(brought: &Brought, show: Show, results: &mut Results) -> Result<()> {
    if show == Show::Nothing {
        results.line(brought.id)?;
    } else if brought.names.is_empty() {
        results.line(format_args!("Loaded image ID: {}", brought.id))?;
    }
    if show == Show::Progress {
        for name in &brought.names {
            results.line(format_args!("Loaded image: {name}"))?;
        }
    }
    Ok(results.flush()?)
}
