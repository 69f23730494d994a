//! `layerfs push`: one image to a layout or an archive.

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;
use layerfs_driver::store::{ArchiveForm, TargetSpec};

use super::save::{Compression, found, write_archive};
use crate::output::Results;
use crate::output::progress::{self, Show};
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs push web:2 oci:layout:2
  layerfs push web:2 oci-archive:web.tar:2
  layerfs push web:2 docker-archive:web.tar:registry.example.org/web:2
  layerfs push web:2 oci:web:2 && skopeo copy oci:web:2 docker://registry.example.org/web:2

An image is added to a layout that is there, in place of one with the same tag; an archive that is there is replaced. The image's id is \
printed.";

/// The words of `layerfs push`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct PushArgs {
    /// How the layers of OCI formats are packed
    #[arg(long, value_name = "HOW")]
    compression: Option<Compression>,
    /// Print nothing, and show no progress
    #[arg(short, long)]
    quiet: bool,
    /// Name, id, or the beginning of an id
    #[arg(value_name = "IMAGE")]
    image: String,
    /// oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME]
    #[arg(value_name = "TARGET")]
    target: OsString,
}

/// Writes the image, and prints its id.
pub fn run(args: &PushArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let target = TargetSpec::parse(&args.target)?;
    let store = session.store()?;
    let mut images = found(&store, std::slice::from_ref(&args.image))?;
    let packing = Compression::pack(args.compression);
    let progress = progress::of_export(if args.quiet { Show::Nothing } else { Show::Progress });
    let told = progress.as_ref();
    match target {
        TargetSpec::OciDir { path, tag } => {
            images.iter_mut().for_each(|exported| exported.names.clear());
            store.write_layout(&images, (packing, tag.as_deref()), &path, told)?;
        }
        TargetSpec::OciArchive { path, tag } => {
            images.iter_mut().for_each(|exported| exported.names.clear());
            write_archive((&store, &images), &ArchiveForm::Oci(packing, tag), Some(&path), told)?;
        }
        TargetSpec::DockerArchive { path, name } => {
            if let Some(name) = name {
                images.iter_mut().for_each(|exported| exported.names = vec![name.clone()]);
            }
            write_archive((&store, &images), &ArchiveForm::Docker, Some(&path), told)?;
        }
    }
    drop(progress);
    if !args.quiet {
        for exported in &images {
            results.line(exported.image.id)?;
        }
    }
    Ok(Outcome::Done)
}
