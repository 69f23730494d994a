//! `layerfs save`: images into an archive, or an OCI layout.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use layerfs_driver::store::{ArchiveForm, Exported, Pack, Progress, Store};
use layerfs_driver::sys::output::Target;

use crate::output::progress::{self, Show};
use crate::session::{Misused, Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs save -o images.tar debian:bookworm alpine:3.20
  layerfs save web:2 | docker load
  layerfs save --format oci-archive --compression zstd -o web.tar web:2
  layerfs save --format oci-dir -o layout web:2

An image keeps its id, and each of its layers is proved by its digest while it is written. A file takes its name when it is \
whole. Images are added to a layout that is there.";

/// The words of `layerfs save`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct SaveArgs {
    /// Write to FILE, or into the directory of a layout, instead of standard output, which is `-`
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What is written
    #[arg(long, value_name = "FORMAT", default_value = "docker-archive")]
    format: Format,
    /// How the layers of OCI formats are packed
    #[arg(long, value_name = "HOW")]
    compression: Option<Compression>,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// What `docker save` writes
    DockerArchive,
    /// An OCI layout in a tar file
    OciArchive,
    /// An OCI layout in a directory
    OciDir,
}

/// How layers are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    /// What every reader takes
    Gzip,
    /// Faster and smaller
    Zstd,
    /// Not at all
    None,
}

impl Compression {
    /// The same for the store; what is usual where nothing is said.
    pub fn pack(said: Option<Self>) -> Pack {
        match said {
            Some(Compression::Gzip) | None => Pack::Gzip,
            Some(Compression::Zstd) => Pack::Zstd,
            Some(Compression::None) => Pack::Plain,
        }
    }
}

/// Writes the images.
pub fn run(args: &SaveArgs, session: &Session) -> Result<Outcome> {
    if args.format == Format::DockerArchive
        && args.compression.is_some_and(|said| said != Compression::None)
    {
        return Err(Misused::of(
            "--compression is for OCI formats: the layers of a docker archive are not packed; pack all of it, by \
             `| gzip`, or say --format oci-archive",
        )
        .into());
    }
    let store = session.store()?;
    let output = args.output.as_deref().filter(|path| *path != Path::new("-"));
    let images = found(&store, &args.images)?;
    let packing = Compression::pack(args.compression);
    let progress = progress::of_export(if args.quiet { Show::Nothing } else { Show::Progress });
    let form = match args.format {
        Format::DockerArchive => ArchiveForm::Docker,
        Format::OciArchive => ArchiveForm::Oci(packing, None),
        Format::OciDir => {
            let Some(path) = output else {
                return Err(Misused::of("--format oci-dir: name the directory with -o").into());
            };
            store.write_layout(&images, (packing, None), path, progress.as_ref())?;
            return Ok(Outcome::Done);
        }
    };
    write_archive((&store, &images), &form, output, progress.as_ref())?;
    Ok(Outcome::Done)
}

/// Writes an archive, to standard output where no file is named.
pub fn write_archive(
    (store, images): (&Store, &[Exported]),
    form: &ArchiveForm,
    path: Option<&Path>,
    progress: &dyn Progress,
) -> Result<()> {
    let (mut target, shown) = match path {
        Some(path) => (Target::file(path)?, path.display().to_string()),
        None if std::io::stdout().is_terminal() => bail!(
            "standard output is a terminal, which an archive would upset: name a file with -o"
        ),
        None => (Target::standard_output()?, "standard output".to_owned()),
    };
    let out: &mut dyn Write = &mut target;
    store.write_archive(images, form, (out, &shown), progress)?;
    Ok(target.finish()?)
}

/// The images that words mean, each once, with the names by which it was meant.
pub fn found(store: &Store, words: &[String]) -> Result<Vec<Exported>> {
    let mut images: Vec<Exported> = Vec::new();
    for word in words {
        let hit = store.find(word)?;
        let place = match images.iter().position(|known| known.image.id == hit.image.id) {
            Some(at) => &mut images[at],
            None => {
                images.push(Exported { image: hit.image, names: Vec::new() });
                let last = images.len() - 1;
                &mut images[last]
            }
        };
        for name in hit.names {
            // A name with a digest says which image, and is no name that another store could give.
            if name.tag().is_some() && !place.names.contains(&name) {
                place.names.push(name);
            }
        }
    }
    Ok(images)
}
