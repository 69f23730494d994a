//! `layerfs pull`: one image from a layout or an archive.

use std::ffi::OsString;
use std::os::fd::AsFd;

use anyhow::Result;
use clap::Args;
use layerfs_driver::store::source::{self, SourceSpec};

use super::bring::{bring, one_name, wanted};
use crate::output::Results;
use crate::output::progress::Show;
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs pull oci:./debian:bookworm
  layerfs pull oci-archive:debian.tar --name debian:12
  layerfs pull docker-archive:saved.tar:registry.example.org/app:1.2
  layerfs pull oci:./multi --platform linux/arm64/v8

  From a registry, with skopeo:
    skopeo copy docker://docker.io/library/debian:bookworm oci:debian:bookworm
    layerfs pull oci:debian:bookworm

SOURCES:
  oci:DIR[:TAG]               a directory in OCI's image layout
  oci-archive:FILE[:TAG]      the same as one tar file
  docker-archive:FILE[:NAME]  what `docker save` and `podman save` write
Archives may be compressed with gzip or zstd. Of several images one has to be chosen by its tag; `layerfs load` takes \
all. Every byte is proved by its digest before the image is seen.";

/// The words of `layerfs pull`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct PullArgs {
    /// Print only the id, and no progress
    #[arg(short, long)]
    quiet: bool,
    /// Take the image for this platform instead of this machine's
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    /// Give the image this name instead of its own
    #[arg(long, value_name = "NAME[:TAG]")]
    name: Option<String>,
    /// oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME]
    source: OsString,
}

/// Brings the image in, and prints its names, or its id where it has none.
pub fn run(args: &PullArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let spec = SourceSpec::parse(&args.source)?;
    let wanted = wanted(args.platform.as_deref())?;
    let name = one_name(args.name.as_deref(), 1)?;
    let store = session.store_to_fill()?;
    let source = source::open(&spec, wanted, store.spool_dir().as_fd())?;
    let show = if args.quiet { Show::Nothing } else { Show::Progress };
    for image in source.images(spec.pick())? {
        let brought = bring(&store, &source, &image, name.as_ref(), show)?;
        if args.quiet || brought.names.is_empty() {
            results.line(brought.id)?;
        } else {
            brought.names.iter().try_for_each(|name| results.line(name))?;
        }
    }
    Ok(Outcome::Done)
}
