//! From the call of mount until the tree can be used.

use anyhow::Result;
use layerfs_driver::sys::file;

use crate::bench::scale::Scale;
use crate::bench::stock::Stock;
use crate::bench::workload::{Changes, Place, Start, Workload};

/// Mounts, and asks for the top.
pub struct Mount;

impl Workload for Mount {
    fn name(&self) -> String {
        "mount".into()
    }
    fn about(&self) -> String {
        "mount a tree, until the first stat".into()
    }
    fn stock(&self) -> Stock {
        Stock::Tree
    }
    fn operations(&self, _: &Scale) -> u64 {
        1
    }
    fn start(&self) -> Start {
        Start::Unmounted
    }
    fn run(&self, place: &Place<'_>) -> Result<()> {
        place.contender.mount(place.lab, place.shelf, place.up, Changes::Nothing)?;
        Ok(file::ask(place.lab.mountpoint.as_path())?)
    }
}
