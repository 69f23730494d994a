//! Several processes at once, each in a directory of its own.

use anyhow::{Result, bail};
use layerfs_driver::sys::file::{self, Symlinks};
use layerfs_driver::sys::{OwnedFd, dir};
use layerfs_runtime::apart::{self, Ended, EndsHere, Forked};

use crate::bench::scale::Scale;
use crate::bench::stock::Stock;
use crate::bench::workload::{Bound, Changes, Place, Workload};
use crate::output::message;

/// How many at once.
const PROCESSES: u64 = 4;

/// Creates files, asks for them, unlinks them.
pub struct Parallel;

impl Workload for Parallel {
    fn name(&self) -> String {
        "parallel".into()
    }
    fn about(&self) -> String {
        format!("{PROCESSES} processes create, stat and unlink files")
    }
    fn stock(&self) -> Stock {
        Stock::Files
    }
    fn operations(&self, scale: &Scale) -> u64 {
        PROCESSES * scale.parallel_files * 3
    }
    fn bound(&self) -> Bound {
        Bound::RoundTrips
    }
    fn changes(&self) -> Changes {
        Changes::New
    }
    fn run(&self, place: &Place<'_>) -> Result<()> {
        let tree = place.tree()?;
        let mut children = Vec::new();
        for number in 0..PROCESSES {
            match apart::fork_into(apart::NOTHING)? {
                Forked::Child => {
                    let _ends = EndsHere { status: 1 };
                    let done = one(&tree, number, place.scale().parallel_files);
                    if let Err(error) = &done {
                        message::error(error);
                    }
                    apart::exit_now(u8::from(done.is_err()));
                }
                Forked::Parent(child) => children.push(child),
            }
        }
        for child in children {
            let ended = apart::wait(&child.pidfd)?;
            if ended != Ended::Exited(0) {
                bail!("one of {PROCESSES} processes {ended}");
            }
        }
        Ok(())
    }
    fn check(&self, place: &Place<'_>) -> Result<()> {
        for number in 0..PROCESSES {
            let dir = dir::open(place.tree()?, name(number).as_str(), Symlinks::Stop)?;
            if !dir::list(&dir)?.is_empty() {
                bail!("{} is not empty", name(number));
            }
        }
        Ok(())
    }
}

fn name(number: u64) -> String {
    format!("process{number}")
}

fn one(tree: &OwnedFd, number: u64, files: u64) -> Result<()> {
    dir::make(tree, name(number).as_str(), 0o755)?;
    let dir = dir::open(tree, name(number).as_str(), Symlinks::Stop)?;
    for number in 0..files {
        file::create_new(&dir, format!("file{number}").as_str(), 0o644)?;
    }
    for number in 0..files {
        file::stat_at(&dir, format!("file{number}").as_str(), Symlinks::Stop)?;
    }
    for number in 0..files {
        dir::unlink(&dir, format!("file{number}").as_str())?;
    }
    Ok(())
}
