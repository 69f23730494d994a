//! The lab: the process that makes the disk and the trees, and goes through the rounds.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use layerfs_driver::sys::{again, deep, dir};

use super::contender::{self, Contender};
use super::disk::{self, Base};
use super::measure::Run;
use super::programs::{self, Call, call};
use super::scale::Scale;
use super::step;
use super::stock::{self, Shelf, Stock};
use super::tell::{Placement, Teller, Told};
use super::workload::{Bound, Start, Workload};
use super::workloads;
use crate::output::message;

/// How long making a tree may take at least, whatever limit a step has.
const TREE_MIN: Duration = Duration::from_secs(900);

/// What the user asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Names of workloads.
    pub workloads: Vec<String>,
    /// Names of contenders; of tools as well.
    pub on: Option<Vec<String>>,
    /// Where the disk comes from.
    pub base: Base,
    /// How much is done.
    pub scale: Scale,
    /// How long one step may take.
    pub limit: Duration,
    /// How often each workload runs on each contender.
    pub rounds: u32,
    /// A tree in the place of the one that is made.
    pub tree: Option<PathBuf>,
    /// Whether requests are counted where they can be.
    pub counts_requests: bool,
}

/// What all steps share.
#[derive(Clone, Debug)]
pub struct Lab {
    /// The disk.
    pub disk: PathBuf,
    /// Where trees are mounted.
    pub mountpoint: PathBuf,
    /// This program.
    pub binary: PathBuf,
    /// How much is done.
    pub scale: Scale,
    /// How long one step may take.
    pub limit: Duration,
    /// A tree in the place of the one that is made.
    pub tree: Option<PathBuf>,
    /// Python itself, where what the path has may be a script in front of it.
    pub python: Option<PathBuf>,
    /// The file systems that are compared.
    pub contenders: Vec<Contender>,
}

impl Lab {
    /// A call of this program, on the lab's own store.
    pub fn layerfs(&self) -> Call {
        let call = call(&self.binary).word("--root").word(self.disk.join("store"));
        call.word("--runroot").word(self.disk.join("run"))
    }
}

/// Measures all that was asked for, in a directory of its own, and tells it.
pub fn run(asked: &Asked, place: &Path, teller: &Teller) -> Result<()> {
    teller.doing("makes the disk")?;
    let disk = disk::make(&asked.base, place, asked.scale.disk_bytes)?;
    teller.tell(&Told::Filesystem(disk::kind(&disk)?))?;
    let mountpoint = disk.join("mnt");
    dir::make_path(&mountpoint, 0o755)?;
    let mut lab = Lab {
        mountpoint,
        binary: again::path_of_this_program().context("find this program")?,
        scale: asked.scale,
        limit: asked.limit,
        tree: asked.tree.clone(),
        python: python(),
        contenders: Vec::new(),
        disk,
    };
    if let Some(tree) = &lab.tree {
        lab.scale.tree_files = count(tree)?;
    }
    lab.contenders = contenders(asked, &lab, teller)?;
    let rows = rows(asked, &lab, teller)?;
    tell_tools(&lab, &rows, teller)?;
    Rounds { asked, lab: &lab, rows, shelves: HashMap::new() }.run(teller)
}

/// How many objects are below a directory.
fn count(dir: &Path) -> Result<u64> {
    let mut count = 0;
    deep::look_through(dir::open_path(dir)?, |_| count += 1)?;
    Ok(count)
}

/// The program that Python says it is.
fn python() -> Option<PathBuf> {
    let told = call("python3").words("-S -c").word("import sys; print(sys.executable)").run();
    let told = told.inspect_err(|error| tracing::debug!("{error:#}")).unwrap_or_default();
    let path = PathBuf::from(String::from_utf8_lossy(&told).trim());
    programs::is_file(&path).then_some(path)
}

/// The file systems that were asked for and are here.
fn contenders(asked: &Asked, lab: &Lab, teller: &Teller) -> Result<Vec<Contender>> {
    let mut found = Vec::new();
    let has_engines = has_engines(lab)?;
    for name in contender::MOUNTED {
        match contender::find(name, has_engines) {
            _ if !asked.takes(name) => {}
            Ok(contender) => found.push(contender),
            Err(reason) => {
                teller.tell(&Told::Skipped { what: name.into(), reason: reason.into() })?;
            }
        }
    }
    Ok(found)
}

/// Whether this layerfs lets one choose how it reads and writes.
fn has_engines(lab: &Lab) -> Result<bool> {
    let lower = lab.disk.join("probe");
    dir::make_path(&lower, 0o755)?;
    let options = format!("lowerdir={},io=cached", lower.display());
    let probe = lab.layerfs().words("mount --fake -o").word(options).word(&lab.mountpoint);
    Ok(probe.run().inspect_err(|error| tracing::debug!("{error:#}")).is_ok())
}

impl Asked {
    fn takes(&self, name: &str) -> bool {
        self.on.as_ref().is_none_or(|on| on.iter().any(|asked| asked == name))
    }
}

/// A workload, and what it runs on.
struct Row {
    workload: Box<dyn Workload>,
    contenders: Vec<Contender>,
}

/// The workloads that were asked for and can be done here.
fn rows(asked: &Asked, lab: &Lab, teller: &Teller) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let skip = |what: String, reason: String| teller.tell(&Told::Skipped { what, reason });
    for workload in workloads::all() {
        let name = workload.name();
        if !asked.workloads.contains(&name) {
            continue;
        }
        let missing = |program: &&&str| programs::find(program).is_none();
        if let Some(program) = workload.needs().iter().find(missing) {
            skip(name, format!("no program `{program}` on the path"))?;
            continue;
        }
        let mut contenders = Vec::new();
        for (of, program) in workload.tools() {
            let contender = Contender::Tool(*of);
            match contender.name() {
                tool if !asked.takes(tool) => {}
                tool if !program.is_empty() && programs::find(program).is_none() => {
                    let what = format!("{name} on {tool}");
                    skip(what, format!("no program `{program}` on the path"))?;
                }
                tool => match workload.refused(*of) {
                    Some(reason) => skip(format!("{name} on {tool}"), reason.into())?,
                    None => contenders.push(contender),
                },
            }
        }
        if workload.tools().is_empty() {
            contenders.clone_from(&lab.contenders);
        }
        rows.push(Row { workload, contenders });
    }
    Ok(rows)
}

/// Tells the versions of all that has a part in the figures.
fn tell_tools(lab: &Lab, rows: &[Row], teller: &Teller) -> Result<()> {
    let mut tools: Vec<(String, Option<String>)> = Vec::new();
    for contender in &lab.contenders {
        if let Contender::FuseOverlayfs(program) = contender {
            tools.push(("fuse-overlayfs".into(), programs::version(program)));
        }
    }
    for row in rows {
        let of_tools = row.workload.tools().iter().map(|(_, program)| *program);
        for name in of_tools.chain(row.workload.needs().iter().copied()) {
            if !tools.iter().any(|(known, _)| known == name)
                && let Some(program) = programs::find(name)
            {
                tools.push((name.into(), programs::version(&program)));
            }
        }
    }
    for (name, version) in tools {
        let version = version.unwrap_or_else(|| "unknown".into());
        teller.tell(&Told::Tool { name, version })?;
    }
    Ok(())
}

struct Rounds<'a> {
    asked: &'a Asked,
    lab: &'a Lab,
    rows: Vec<Row>,
    /// The trees that are made, or why they are not.
    shelves: HashMap<Stock, Result<Shelf, String>>,
}

impl Rounds<'_> {
    fn run(mut self, teller: &Teller) -> Result<()> {
        self.make_trees(teller)?;
        for round in 1..=self.asked.rounds {
            for (row, shelf) in self.ready() {
                let name = row.workload.name();
                teller.doing(format!("round {round} of {}: {name}", self.asked.rounds))?;
                self.one_round(row, shelf, teller)?;
            }
        }
        if self.asked.counts_requests && programs::find("strace").is_some() {
            self.count_requests(teller)?;
        }
        Ok(())
    }

    fn make_trees(&mut self, teller: &Teller) -> Result<()> {
        for row in &self.rows {
            let stock = row.workload.stock();
            if !self.shelves.contains_key(&stock) {
                teller.doing(format!("makes what `{}` needs", row.workload.name()))?;
                let made = step::run(self.lab.limit.max(TREE_MIN), &self.lab.disk, || {
                    stock::make(self.lab, stock).map(|()| Duration::ZERO)
                });
                let made = made.map(|_| stock::shelf(self.lab, stock));
                self.shelves.insert(stock, made.map_err(|error| message::line_of(&error)));
            }
            if let Some(Err(reason)) = self.shelves.get(&stock) {
                teller.tell(&Told::Failed(format!("{}: {reason}", row.workload.name())))?;
            }
        }
        Ok(())
    }

    /// The workloads whose trees are there.
    fn ready(&self) -> impl Iterator<Item = (&Row, &Shelf)> {
        self.rows.iter().filter_map(|row| match self.shelves.get(&row.workload.stock()) {
            Some(Ok(shelf)) => Some((row, shelf)),
            Some(Err(_)) | None => None,
        })
    }

    /// Contenders take turns, so that whatever changes meanwhile changes for all.
    fn one_round(&self, row: &Row, shelf: &Shelf, teller: &Teller) -> Result<()> {
        let placements = match row.workload.bound() {
            Bound::RoundTrips => &[Placement::Free, Placement::Pinned][..],
            Bound::Other => &[Placement::Free],
        };
        for placement in placements {
            for contender in &row.contenders {
                let run = self.of(row, shelf, contender, *placement);
                teller.tell(&Told::Sample(run.sample()?))?;
            }
        }
        Ok(())
    }

    fn count_requests(&self, teller: &Teller) -> Result<()> {
        for (row, shelf) in self.ready() {
            let is_mounted = row.workload.start() != Start::Unmounted;
            for contender in row.contenders.iter().filter(|one| is_mounted && one.is_served()) {
                let run = self.of(row, shelf, contender, Placement::Free);
                let of = run.cell();
                teller.doing(format!("counts requests: {} on {}", of.workload, of.system))?;
                match run.requests() {
                    Ok(count) => teller.tell(&Told::Requests { of, count })?,
                    Err(error) => teller.tell(&Told::Skipped {
                        what: format!("requests of {} on {}", of.workload, of.system),
                        reason: message::line_of(&error),
                    })?,
                }
            }
        }
        Ok(())
    }

    fn of<'a>(
        &'a self,
        row: &'a Row,
        shelf: &'a Shelf,
        contender: &'a Contender,
        placement: Placement,
    ) -> Run<'a> {
        Run { lab: self.lab, workload: &*row.workload, shelf, contender, placement }
    }
}
