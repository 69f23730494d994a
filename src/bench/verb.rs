//! `layerfs bench`: its words, and what becomes of its figures.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use layerfs_driver::sys::dir;
use layerfs_driver::sys::host::{self, Rights};
use layerfs_driver::sys::output::Target;

use super::contender::MOUNTED;
use super::disk::{self, Base, Filesystem};
use super::figures::Figures;
use super::lab::Asked;
use super::report::{self, Report};
use super::watch::{self, Finished};
use super::{machine, scale, workloads};
use crate::output::{Results, Table, json, message};
use crate::session::{Misused, Outcome};

const EXAMPLES: &str = "\
EXAMPLES:
  layerfs bench                                all workloads on a fresh ext4; takes hours
  layerfs bench walk create remove             only some; `walk` means walk-cold and walk-warm
  layerfs bench --list                         what there is
  layerfs bench --small                        shows in a minute that all works, and measures nothing
  layerfs bench --on overlayfs,layerfs-image --rounds 9 untar
  layerfs bench --fs xfs --html report.html --json report.json
  layerfs bench --base /srv walk               on the file system that holds /srv

Systems take turns within each round, each run on a fresh mount; times are medians, with the ratio to the kernel's \
overlayfs. What waits for the process that serves the mount is measured twice: placed by the kernel, and pinned to one \
processor together with it. Everything happens in namespaces of its own, and nothing is left, also after Ctrl-C, which \
tells what was measured until then. Root is needed. Caches of the whole machine are dropped for cold workloads.";

/// Exit status of a command that was asked to end by Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;

/// The words of `layerfs bench`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct BenchArgs {
    /// Run only these workloads; the first words of a name mean all that begin so
    workloads: Vec<String>,
    /// List the workloads
    #[arg(long)]
    list: bool,
    /// Work in DIR, on its file system, instead of making one
    #[arg(long, value_name = "DIR", conflicts_with = "fs")]
    base: Option<PathBuf>,
    /// Make a file system of this kind to work on: in a sparse file below /var/tmp, or in memory
    #[arg(long, value_name = "KIND", default_value = "ext4")]
    fs: Filesystem,
    /// Run each workload so many times on each system; 5 unless --small is said
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// Do next to nothing, once: shows that all works
    #[arg(long)]
    small: bool,
    /// End a step that takes longer, and go on with the next
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400))]
    limit: u64,
    /// Run only on these: layerfs-image, layerfs-dirs, each also with -cached, overlayfs, fuse-overlayfs, bare, podman, skopeo,
    /// crun, runc
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    on: Option<Vec<String>>,
    /// Walk through a copy of DIR instead of a tree that is made
    #[arg(long, value_name = "DIR")]
    tree: Option<PathBuf>,
    /// Do not count requests with strace in a run of their own
    #[arg(long)]
    no_requests: bool,
    /// Write one JSON array to FILE; `-` prints it instead of the tables
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page with charts to FILE
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Tools that bring images in or start containers, by the names of their columns.
const TOOLS: [&str; 4] = ["podman", "skopeo", "crun", "runc"];

/// Measures, and tells it.
pub fn run(args: &BenchArgs, results: &mut Results) -> Result<Outcome> {
    if args.list {
        results.table(&list())?;
        return Ok(Outcome::Done);
    }
    let asked = asked(args)?;
    if host::rights()? != Rights::Root {
        bail!("bench: it mounts file systems and drops the caches of the machine: call it as root");
    }
    // Said before hours are spent.
    let page = args.html.as_deref().map(target).transpose()?;
    let array = args.json.as_deref().filter(|path| !is_output(path)).map(target).transpose()?;
    disk::check(&asked.base)?;
    let machine = machine::look()?;
    let mut figures = Figures::default();
    let finished = watch::run(&asked, |told| {
        if let Some(line) = figures.hear(told) {
            message::say(format_args!("bench: {line}"));
        }
    })?;
    let has_failed = figures.has_failed;
    let report = Report::new(machine, figures, (asked.rounds, args.small), finished);
    let rows = [report];
    if args.json.as_deref().is_some_and(is_output) {
        results.json(&rows)?;
    } else {
        report::tables(&rows[0]).iter().try_for_each(|line| results.line(line))?;
    }
    if let Some(array) = array {
        write(array, &(json::array(&rows)? + "\n"))?;
    }
    if let Some(page) = page {
        write(page, &report::page(&rows[0]))?;
    }
    Ok(match finished {
        Finished::Stopped => Outcome::Status(INTERRUPTED),
        Finished::Whole if has_failed => Outcome::SomeFailed,
        Finished::Whole => Outcome::Done,
    })
}

fn asked(args: &BenchArgs) -> Result<Asked> {
    let workloads = workloads::chosen(&args.workloads).map_err(|strange| {
        anyhow::anyhow!("no workload `{strange}`; `layerfs bench --list` names those there are")
    })?;
    let known = |name: &String| MOUNTED.contains(&name.as_str()) || TOOLS.contains(&name.as_str());
    if let Some(strange) = args.on.iter().flatten().find(|name| !known(name)) {
        let names = MOUNTED.iter().chain(&TOOLS).copied().collect::<Vec<_>>().join(", ");
        bail!("--on `{strange}`: there is no such system; there are {names}");
    }
    if args.on.as_ref().is_some_and(Vec::is_empty) {
        return Err(Misused::of("--on is empty: name a system, or leave it out").into());
    }
    let base = match &args.base {
        Some(dir) => Base::Given(absolute(dir, "--base")?),
        None => Base::Made(args.fs),
    };
    let scale = if args.small { scale::SMALL } else { scale::FULL };
    let tree = args.tree.as_deref().map(|dir| absolute(dir, "--tree")).transpose()?;
    Ok(Asked {
        workloads,
        on: args.on.clone(),
        base,
        scale,
        limit: Duration::from_secs(args.limit),
        rounds: args.rounds.unwrap_or(scale.rounds),
        tree,
        counts_requests: !args.no_requests,
    })
}

/// The path of a directory of the user's, as the kernel knows it.
fn absolute(place: &Path, option: &str) -> Result<PathBuf> {
    let deed = || format!("{option} `{}`", place.display());
    let opened = dir::open_path(place).with_context(deed)?;
    dir::path_of(&opened).with_context(deed)
}

fn is_output(path: &Path) -> bool {
    path == Path::new("-")
}

fn target(path: &Path) -> Result<Target> {
    Target::file(path).with_context(|| format!("write `{}`", path.display()))
}

fn write(mut target: Target, text: &str) -> Result<()> {
    target.write_all(text.as_bytes()).context("write the report")?;
    target.finish().context("write the report")
}

fn list() -> Table {
    let mut table = Table::new(&["WORKLOAD", "WHAT IT DOES"]);
    for workload in workloads::all() {
        table.row([workload.name(), workload.about()]);
    }
    table
}
