//! Writing one big file of the upper side.

use anyhow::{Result, bail};
use layerfs_driver::sys::change::{self, Access};
use layerfs_driver::sys::file::{self, Symlinks};

use super::read::{BLOCK, STREAM};
use crate::bench::scale::Scale;
use crate::bench::stock::Stock;
use crate::bench::tree::Dice;
use crate::bench::workload::{Bound, Changes, Place, Workload};

const FILE: &str = "written";

/// In which order.
pub enum Write {
    /// From start to end, and synced.
    Sequential,
    /// Blocks at random places of a file that is there.
    Random,
}

impl Workload for Write {
    fn name(&self) -> String {
        match self {
            Write::Sequential => "write-seq".into(),
            Write::Random => "write-random".into(),
        }
    }
    fn about(&self) -> String {
        match self {
            Write::Sequential => "write a new file by 128 KiB, and sync it".into(),
            Write::Random => "write 4 KiB at random places of an upper file".into(),
        }
    }
    fn stock(&self) -> Stock {
        Stock::Files
    }
    fn operations(&self, scale: &Scale) -> u64 {
        match self {
            Write::Sequential => scale.write_bytes / STREAM as u64,
            Write::Random => scale.random_blocks,
        }
    }
    fn bound(&self) -> Bound {
        match self {
            Write::Sequential => Bound::Other,
            Write::Random => Bound::RoundTrips,
        }
    }
    fn changes(&self) -> Changes {
        Changes::New
    }
    fn prepare(&self, place: &Place<'_>) -> Result<()> {
        match self {
            Write::Sequential => Ok(()),
            Write::Random => write(place),
        }
    }
    fn run(&self, place: &Place<'_>) -> Result<()> {
        match self {
            Write::Sequential => write(place),
            Write::Random => {
                let file = change::open_file(place.tree()?, FILE, Access::Write)?;
                let block = [b'w'; BLOCK];
                let mut dice = Dice::new(12);
                for _ in 0..place.scale().random_blocks {
                    let number = dice.below(place.scale().write_bytes / BLOCK as u64);
                    file::write_all_at(&file, &block, number * BLOCK as u64)?;
                }
                Ok(())
            }
        }
    }
    fn check(&self, place: &Place<'_>) -> Result<()> {
        let size = file::stat_at(place.tree()?, FILE, Symlinks::Stop)?.st_size;
        if u64::try_from(size) != Ok(place.scale().write_bytes) {
            bail!("the file has {size} bytes");
        }
        Ok(())
    }
}

fn write(place: &Place<'_>) -> Result<()> {
    let file = file::create_new(place.tree()?, FILE, 0o644)?;
    let piece = vec![b's'; STREAM];
    for _ in 0..place.scale().write_bytes / STREAM as u64 {
        file::write_all(&file, &piece)?;
    }
    Ok(file::sync(&file)?)
}
