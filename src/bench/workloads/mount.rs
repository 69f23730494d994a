//! From the call of mount until the tree can be used.

use anyhow::Result;
use layerfs_driver::sys::file;

use crate::bench::scale::Scale;
use crate::bench::stock::Stock;
use crate::bench::workload::{Changes, Place, Start, Workload};

/// Mounts a tree, and asks for its top.
pub struct Mount(pub Stock);

impl Workload for Mount {
    fn name(&self) -> String {
        match self.0 {
            Stock::Program => "mount-one-file".into(),
            Stock::Layers(layers) => format!("mount-layers{layers}"),
            _ => "mount".into(),
        }
    }
    fn about(&self) -> String {
        match self.0 {
            Stock::Program => "mount a tree of one file, until the first stat".into(),
            Stock::Layers(layers) => {
                format!("mount a tree of {layers} layers, until the first stat")
            }
            _ => "mount a tree, until the first stat".into(),
        }
    }
    fn stock(&self) -> Stock {
        self.0
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
