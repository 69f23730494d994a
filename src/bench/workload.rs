//! What a workload is: a small type that says what it needs, does one thing, and looks whether that is done.

use std::path::{Path, PathBuf};

use anyhow::Result;
use layerfs_driver::sys::{OwnedFd, dir};

use super::contender::{Contender, Tool};
use super::lab::Lab;
use super::scale::Scale;
use super::stock::{Shelf, Stock};

/// What the kernel remembers when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// What mounting and preparing left.
    Mounted,
    /// Nothing: all caches are dropped after the mount.
    Cold,
    /// What doing the same once before left.
    Warm,
    /// Nothing is mounted yet: mounting is what is measured.
    Unmounted,
}

/// What takes the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Questions and answers between the kernel and the serving process: measured in both placements.
    RoundTrips,
    /// Anything else.
    Other,
}

/// What of the tree it changes: a plain directory is copied that far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// It only reads.
    Nothing,
    /// It makes what is new, and needs nothing that is there.
    New,
    /// What is below this directory.
    Below(&'static str),
}

/// What a step works with.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The lab.
    pub lab: &'a Lab,
    /// The tree behind the mount.
    pub shelf: &'a Shelf,
    /// What it runs on.
    pub contender: &'a Contender,
    /// A directory of this run alone, beside the mount.
    pub up: &'a Path,
}

impl Place<'_> {
    /// The mounted tree.
    pub fn tree(&self) -> Result<OwnedFd> {
        Ok(dir::open_path(self.lab.mountpoint.as_path())?)
    }

    /// A path in the mounted tree.
    pub fn join(&self, path: &str) -> PathBuf {
        self.lab.mountpoint.join(path)
    }

    /// How much is done.
    pub fn scale(&self) -> &Scale {
        &self.lab.scale
    }
}

/// One workload. Its methods run in one process, in the order of this list.
pub trait Workload {
    /// Its name, by which it is asked for.
    fn name(&self) -> String;
    /// What it does, in a few words.
    fn about(&self) -> String;
    /// The tree that it finds.
    fn stock(&self) -> Stock;
    /// How many operations it makes, for figures by operation.
    fn operations(&self, scale: &Scale) -> u64;
    /// What the kernel remembers when it begins.
    fn start(&self) -> Start {
        Start::Mounted
    }
    /// What takes the time.
    fn bound(&self) -> Bound {
        Bound::Other
    }
    /// What it changes.
    fn changes(&self) -> Changes {
        Changes::Nothing
    }
    /// Programs that it can't do without.
    fn needs(&self) -> &[&'static str] {
        &[]
    }
    /// The tools that are compared; empty where file systems are.
    fn tools(&self) -> &[(Tool, &'static str)] {
        &[]
    }
    /// Why a tool can't do it on this machine.
    fn refused(&self, _tool: Tool) -> Option<&'static str> {
        None
    }
    /// Makes ready what is not measured.
    fn prepare(&self, _place: &Place<'_>) -> Result<()> {
        Ok(())
    }
    /// Does what is measured.
    fn run(&self, place: &Place<'_>) -> Result<()>;
    /// Refuses what was not done.
    fn check(&self, _place: &Place<'_>) -> Result<()> {
        Ok(())
    }
}
