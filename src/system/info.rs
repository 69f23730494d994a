//! `layerfs info`: where things are, and how many.

use anyhow::{Context, Result};
use clap::Args;
use layerfs_driver::store::StoreError;
use layerfs_driver::sys::{dir, host};
use serde::Serialize;
use serde_json::{Value, json};

use super::filesystem;
use crate::container::shown;
use crate::output::size::{Digits, human};
use crate::output::template::Format;
use crate::output::{Results, text};
use crate::session::{Outcome, Session};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs info
  layerfs info --format '{{.ServerVersion}}: {{.ContainersRunning}} of {{.Containers}} run'
  layerfs --root /srv/images info --json | jq -r '.[0].filesystem'

What the machine can do is shown by `layerfs check`, what the store takes by `layerfs df`.";

/// The words of `layerfs info`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct InfoArgs {
    /// Print `json`, or a line such as '{{.ServerVersion}} {{.DockerRootDir}}', with docker's names
    #[arg(short, long, value_name = "TEMPLATE", conflicts_with = "json")]
    format: Option<String>,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Info {
    version: &'static str,
    root: String,
    runroot: Option<String>,
    images: usize,
    layers: usize,
    filesystem: String,
    space_total: u64,
    space_free: u64,
    kernel: String,
    machine: String,
    rootless: bool,
}

/// Prints what is known without measuring.
pub fn run(args: &InfoArgs, session: &Session, results: &mut Results) -> Result<Outcome> {
    let format = Format::asked(args.format.as_deref())?;
    let (info, outcome) = gather(session)?;
    if let Some(format) = format {
        format.print(&[fields(&info, session)?], results)?;
        return Ok(outcome);
    }
    if args.json {
        results.json(&[info])?;
        return Ok(outcome);
    }
    let lines = [
        ("Version", info.version.to_owned()),
        ("Root", info.root),
        (
            "Run root",
            info.runroot.unwrap_or_else(|| "none: set XDG_RUNTIME_DIR or give --runroot".into()),
        ),
        ("Images", info.images.to_string()),
        ("Layers", info.layers.to_string()),
        ("File system", info.filesystem),
        ("Space", human(info.space_total, Digits::Four)),
        ("Space free", human(info.space_free, Digits::Four)),
        ("Kernel", info.kernel),
        ("Machine", info.machine),
        ("Rootless", if info.rootless { "yes" } else { "no" }.into()),
    ];
    for (key, value) in lines {
        results.line(format_args!("{key}: {}", text::one_line(&value)))?;
    }
    Ok(outcome)
}

/// What a template can say, under docker's names where docker has one.
fn fields(info: &Info, session: &Session) -> Result<Value> {
    let containers = match session.store() {
        // A line has said so.
        Err(error) if matches!(error.downcast_ref(), Some(StoreError::NoStore(_))) => Vec::new(),
        store => store?.containers()?,
    };
    let count = |states: &[&str]| {
        containers.iter().filter(|one| states.contains(&shown::word_of(one))).count()
    };
    Ok(json!({
        "ServerVersion": info.version,
        "Driver": "layerfs",
        "DockerRootDir": info.root,
        "RunRoot": info.runroot,
        "Containers": containers.len(),
        "ContainersRunning": count(&["running"]),
        "ContainersPaused": count(&["paused"]),
        "ContainersStopped": count(&["created", "exited"]),
        "Images": info.images,
        "Layers": info.layers,
        "FileSystem": info.filesystem,
        "SpaceTotal": info.space_total,
        "SpaceFree": info.space_free,
        "OSType": "linux",
        "KernelVersion": info.kernel,
        "Architecture": info.machine,
        "Rootless": info.rootless,
    }))
}

fn gather(session: &Session) -> Result<(Info, Outcome)> {
    let root = session.place_of_store()?;
    let store = session.store_if_there()?;
    let listing = store.map(|store| store.listing(None)).transpose()?.unwrap_or_default();
    let (images, outcome) = (listing.images, Outcome::of_unread(listing.unread));
    let layers = images.iter().flat_map(|image| &image.layers).map(|layer| layer.diff_id);
    let layers: std::collections::HashSet<_> = layers.collect();
    // Of a store that is not there, where it would come to lie.
    let whole = std::path::absolute(root)
        .with_context(|| format!("find the directory that holds `{}`", root.display()))?;
    let ground = whole.ancestors().find_map(|path| dir::open_path(path).ok());
    let ground =
        ground.with_context(|| format!("no directory above `{}` opens", whole.display()))?;
    let space = host::space(&ground)
        .with_context(|| format!("measure the file system of `{}`", root.display()))?;
    let (kernel, machine) = host::kernel();
    let info = Info {
        version: env!("CARGO_PKG_VERSION"),
        root: root.to_string_lossy().into_owned(),
        runroot: session.roots().run.as_ref().map(|run| run.to_string_lossy().into_owned()),
        images: images.len(),
        layers: layers.len(),
        filesystem: filesystem::name(space.magic),
        space_total: space.total_bytes,
        space_free: space.free_bytes,
        kernel,
        machine,
        rootless: host::rights()? != host::Rights::Root,
    };
    Ok((info, outcome))
}
