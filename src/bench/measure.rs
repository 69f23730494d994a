//! One run of one workload on one contender: mounted fresh, timed, its serving processes looked at, cleared away.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use layerfs_driver::sys::{deep, dir, file};
use layerfs_runtime::apart;

use super::contender::{self, Contender};
use super::lab::Lab;
use super::requests;
use super::serving::{self, Serving};
use super::step;
use super::stock::Shelf;
use super::tell::{Cell, Placement, Sample};
use super::workload::{Place, Start, Workload};

/// What is run once.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// The lab.
    pub lab: &'a Lab,
    /// What is done.
    pub workload: &'a dyn Workload,
    /// On what tree.
    pub shelf: &'a Shelf,
    /// By what.
    pub contender: &'a Contender,
    /// Where the processes run.
    pub placement: Placement,
}

/// What one run came to.
struct Outcome {
    took: Duration,
    rss_anon: Option<u64>,
    descriptors: Option<u64>,
}

impl Run<'_> {
    /// Which figures this is one of.
    pub fn cell(&self) -> Cell {
        Cell {
            workload: self.workload.name(),
            placement: self.placement,
            system: self.contender.name().to_owned(),
        }
    }

    /// Runs it, timed.
    pub fn sample(&self) -> Result<Sample> {
        let outcome = self.once(|_| Ok(()));
        let sample = |took, rss_anon, descriptors| Sample {
            of: self.cell(),
            operations: self.workload.operations(&self.lab.scale).max(1),
            took,
            rss_anon,
            descriptors,
        };
        Ok(match outcome {
            Ok(done) => sample(Ok(done.took.as_secs_f64()), done.rss_anon, done.descriptors),
            Err(error) => sample(Err(crate::output::message::line_of(&error)), None, None),
        })
    }

    /// Runs it, its requests counted.
    pub fn requests(&self) -> Result<u64> {
        let report = self.lab.disk.join("strace");
        let mut counting = None;
        let done = self.once(|serving| {
            counting = Some(requests::begin(serving, &report)?);
            Ok(())
        });
        let count = counting.map(requests::Counting::end).transpose();
        done?;
        Ok(count?.unwrap_or(0))
    }

    /// Mounts, lets `watch` see who serves, runs, and clears away whatever came of it.
    fn once(&self, watch: impl FnOnce(&Serving) -> Result<()>) -> Result<Outcome> {
        let up = self.lab.disk.join("up");
        dir::make_all(&up, 0o755)?;
        let done = self.mounted(&up, watch);
        let cleared = contender::unmount(&self.lab.disk.join("mnt"))
            .and_then(|()| contender::unmount(&up))
            .and_then(|()| Ok(deep::remove(&dir::open_path(self.lab.disk.as_path())?, "up")?));
        let done = done?;
        cleared?;
        Ok(done)
    }

    fn mounted(&self, up: &Path, watch: impl FnOnce(&Serving) -> Result<()>) -> Result<Outcome> {
        // A step as well: whoever mounts may hang.
        step::run(self.lab.limit, &self.lab.mountpoint, || {
            let changes = self.workload.changes();
            self.contender.mount(self.lab, self.shelf, up, changes).map(|()| Duration::ZERO)
        })?;
        if self.workload.start() == Start::Unmounted {
            // Who came first in a round would read from the disk, for all others, what mounting reads.
            contender::unmount(&self.lab.mountpoint)?;
            let made = dir::open_path(up)?;
            deep::remove(&made, "upper").and_then(|()| deep::remove(&made, "work"))?;
        }
        let serving = serving::now()?;
        let processor = match self.placement {
            Placement::Free => None,
            Placement::Pinned => Some(apart::first_processor()?),
        };
        if let Some(processor) = processor {
            serving.pin(processor)?;
        }
        let place = Place { lab: self.lab, shelf: self.shelf, contender: self.contender, up };
        let step = |deed: &dyn Fn() -> Result<Duration>| {
            step::run(self.lab.limit, &self.lab.mountpoint, || {
                if let Some(processor) = processor {
                    apart::pin(None, processor)?;
                }
                deed()
            })
        };
        step(&|| self.ready(&place).map(|()| Duration::ZERO))?;
        watch(&serving)?;
        let took = step(&|| self.timed(&place))?;
        let serving = serving::now()?;
        // Of a tool nothing serves: what waits for the kernel after it is none of that.
        let served = !matches!(self.contender, Contender::Tool(_));
        let rss_anon = served.then(|| serving.rss_anon()).flatten();
        let descriptors = served.then(|| serving.descriptors()).flatten();
        Ok(Outcome { took, rss_anon, descriptors })
    }

    /// What comes before, in a process of its own: it is neither timed nor counted.
    fn ready(&self, place: &Place<'_>) -> Result<()> {
        self.workload.prepare(place)?;
        match self.workload.start() {
            Start::Cold => drop_caches(&self.lab.disk),
            Start::Warm => self.workload.run(place),
            Start::Mounted | Start::Unmounted => {
                Ok(file::sync_filesystem(dir::open_path(self.lab.disk.as_path())?)?)
            }
        }
    }

    /// The step itself, in its process.
    fn timed(&self, place: &Place<'_>) -> Result<Duration> {
        let begun = Instant::now();
        self.workload.run(place)?;
        let took = begun.elapsed();
        self.workload.check(place)?;
        Ok(took)
    }
}

/// Lets the kernel forget what it has read, of all file systems.
fn drop_caches(disk: &Path) -> Result<()> {
    file::sync_filesystem(dir::open_path(disk)?)?;
    Ok(apart::write_control(dir::open_path("/proc/sys/vm")?, "drop_caches", "3")?)
}
