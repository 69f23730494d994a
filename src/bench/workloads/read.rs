//! Reading one big file of the lower side.

use anyhow::{Result, bail};
use layerfs_driver::sys::change::{self, Access};
use layerfs_driver::sys::file;

use crate::bench::scale::Scale;
use crate::bench::stock::{BIG, Stock};
use crate::bench::tree::Dice;
use crate::bench::workload::{Place, Start, Workload};

/// Bytes that are read or written at once from start to end.
pub const STREAM: usize = 128 << 10;
/// The same at random places.
pub const BLOCK: usize = 4096;
const BLOCK_BYTES: u64 = BLOCK as u64;

/// In which order.
pub enum Read {
    /// From start to end.
    Sequential,
    /// Blocks at random places.
    Random,
}

impl Workload for Read {
    fn name(&self) -> String {
        match self {
            Read::Sequential => "read-seq".into(),
            Read::Random => "read-random".into(),
        }
    }
    fn about(&self) -> String {
        match self {
            Read::Sequential => "read one big file by 128 KiB, warm".into(),
            Read::Random => "read 4 KiB at random places of a big file, warm".into(),
        }
    }
    fn stock(&self) -> Stock {
        Stock::Files
    }
    fn operations(&self, scale: &Scale) -> u64 {
        match self {
            Read::Sequential => scale.big_bytes / STREAM as u64,
            Read::Random => scale.random_blocks,
        }
    }
    fn start(&self) -> Start {
        Start::Warm
    }
    fn run(&self, place: &Place<'_>) -> Result<()> {
        let file = change::open_file(place.tree()?, BIG, Access::Read)?;
        match self {
            Read::Sequential => {
                let mut buf = vec![0; STREAM];
                let mut sum = 0;
                loop {
                    match file::read(&file, &mut buf)? {
                        0 => break,
                        len => sum += len as u64,
                    }
                }
                if sum != place.scale().big_bytes {
                    bail!("{sum} bytes were read");
                }
            }
            Read::Random => {
                let mut buf = [0; BLOCK];
                let mut dice = Dice::new(11);
                for _ in 0..place.scale().random_blocks {
                    let block = dice.below(place.scale().big_bytes / BLOCK_BYTES);
                    if file::read_at(&file, &mut buf, block * BLOCK_BYTES)? != buf.len() {
                        bail!("block {block} was not read whole");
                    }
                }
            }
        }
        Ok(())
    }
}
