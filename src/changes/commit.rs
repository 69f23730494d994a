//! `layerfs commit`: an image of what a container or a mount changed.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use clap::{ArgAction, Args};
use layerfs_driver::changes::{self, ChangesError, LeftOut};
use layerfs_driver::store::digest::Digest;
use layerfs_driver::store::oci::{Step, derived, time};
use layerfs_driver::store::{NewImage, Store, StoreError};
use layerfs_driver::sys::host;

use super::instruction;
use super::still::Still;
use super::what::{self, What};
use crate::image::tag::new_name;
use crate::output::progress::{self, Called, Show};
use crate::output::{Results, message};
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs commit web web:saved
  layerfs commit -m 'packages' -c 'CMD [\"nginx\"]' -c 'ENV LANG=C.UTF-8' web web:2
  layerfs commit /mnt debian:mine         what was changed in an image that is mounted writable

The new image has the layers of the old one and one more, with what was changed; its id is printed. Its configuration is the old \
image's with the --change words: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME and WORKDIR, written as in \
a Dockerfile. Options that a container was run with are not taken. The processes of a container stand still \
meanwhile; whoever writes into a mount should stop by himself. Sockets are left out, and told.";

/// The words of `layerfs commit`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct CommitArgs {
    /// Who made the image
    #[arg(short, long, value_name = "NAME")]
    author: Option<String>,
    /// Change how the image is run, with a line of a Dockerfile
    #[arg(short, long, value_name = "LINE")]
    change: Vec<String>,
    /// Say in the image's history what was done
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Whether the processes of a container stand still meanwhile
    #[arg(short, long, value_name = "true|false", default_value_t = true, action = ArgAction::Set)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pause: bool,
    /// The image that an upper directory was made over, where several have its layers, or where it does not say so:
    /// `layerfs upper normalize` made it plain
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// The work directory of an upper directory, where it is not that one's name with `.work`
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
    /// A container, a mountpoint, or an upper directory
    #[arg(value_name = "CONTAINER|DIR")]
    what: OsString,
    /// The name of the image
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<String>,
}

/// Makes the image, and prints its id.
pub fn run(args: &CommitArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let name = args.name.as_deref().map(new_name).transpose()?;
    let store = session.store()?;
    let beside = (args.work.as_deref(), args.image.as_deref());
    let found = what::find(&store, &args.what, beside)?;
    let parent = parent_of(&store, args, &found)?;
    let config = store.config_bytes(&parent.id)?;
    let shell = shell_of(&config)?;
    let changes = args.change.iter().map(|line| instruction::read(line, &shell));
    let changes: Result<Vec<_>> = changes.collect();
    let step = Step {
        created: time::rfc3339(host::now_secs()),
        author: args.author.clone().unwrap_or_default(),
        created_by: found.command.join(" "),
        comment: args.message.clone().unwrap_or_default(),
        changes: changes?.into_iter().flatten().collect(),
    };
    let still = match &found.container {
        Some(container) if args.pause && container.is_living => {
            let below = container.groups_below.as_deref();
            Some(Still::begin(container.id.hex(), below)?)
        }
        _ => None,
    };
    what::settle(&found);
    let below = parent.layers;
    let config_of = |layer: &Digest| Ok(derived(&config, &below, &step, layer)?);
    let called = found.called.clone();
    let image =
        NewImage { below: &below, config: &config_of, name: name.as_ref(), called: &called };
    let made =
        import(&store, &image, found, if args.quiet { Show::Nothing } else { Show::Progress });
    let goes_on = still.map_or(Ok(()), Still::end);
    let (id, left_out) = made?;
    for thing in left_out {
        message::say(format!("left out: {thing}"));
    }
    results.line(id)?;
    goes_on.context("the container stays paused: `layerfs rm -f` ends it all the same")?;
    Ok(Outcome::Done)
}

/// The image that the new one begins with.
struct Parent {
    id: Digest,
    layers: Vec<Digest>,
}

fn parent_of(store: &Store, args: &CommitArgs, found: &What) -> Result<Parent> {
    let layers = found.layers.clone();
    let Some(words) = &args.image else {
        return match found.image {
            Some(id) => Ok(Parent { id, layers }),
            None if layers.is_empty() => bail!(
                "{}: no image of the store has the layers that it was made over: import that image again",
                found.called
            ),
            None => bail!(
                "{}: several images have the layers that it was made over: say which with --image",
                found.called
            ),
        };
    };
    let image = what::expect_image(store, words, found)?;
    Ok(Parent { id: image.id, layers })
}

/// What runs a command line that is no list of words.
fn shell_of(config: &[u8]) -> Result<Vec<String>> {
    let config = layerfs_driver::store::oci::ImageConfig::parse(config)
        .context("configuration of the image")?;
    let own = config.config.map(|run| run.shell).filter(|shell| !shell.is_empty());
    Ok(own.unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]))
}

/// Writes the layer on a thread of its own, and imports it meanwhile.
fn import(
    store: &Store,
    image: &NewImage<'_>,
    found: What,
    show: Show,
) -> Result<(Digest, Vec<LeftOut>)> {
    let progress = progress::of_import(show, Called::Origin(found.called.clone()));
    let walked = Arc::new(Mutex::new(None));
    let told = Arc::clone(&walked);
    let write = move |out: &mut dyn io::Write| {
        let written = changes::write_layer(&found.sides, out);
        let answer = match &written {
            Ok(_) => Ok(()),
            Err(error) => Err(io::Error::other(error.to_string())),
        };
        *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(written);
        answer
    };
    let made: Result<Digest, StoreError> = store.import_over(image, write, progress.as_ref());
    let walked = walked.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (made, walked) {
        (Ok(id), Some(Ok(left_out))) => Ok((id, left_out)),
        (Ok(id), _) => Ok((id, Vec::new())),
        // The walk's own words say where; whoever reads its archive knows only that it ends early.
        (Err(_), Some(Err(error))) if !matches!(error, ChangesError::Write(_)) => {
            Err(error).with_context(|| image.called.to_owned())
        }
        (Err(error), _) => Err(error.into()),
    }
}
