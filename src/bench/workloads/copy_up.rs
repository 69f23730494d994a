//! First changes of lower files: one byte in, or some at the end.

use anyhow::{Result, bail};
use layerfs_driver::sys::change::{self, Access};
use layerfs_driver::sys::file::{self, Symlinks};

use crate::bench::scale::Scale;
use crate::bench::stock::{BIG, Stock, middle, small};
use crate::bench::workload::{Bound, Changes, Place, Workload};

/// The size of the files.
#[derive(Clone, Copy)]
pub enum Size {
    /// 4 KiB each.
    Small,
    /// 1 MiB each.
    Middle,
    /// One of 1 GiB.
    Big,
}

/// Writes one byte into each of some lower files.
pub struct CopyUp(pub Size);

impl CopyUp {
    fn count(&self, scale: &Scale) -> u64 {
        match self.0 {
            Size::Small => scale.small_files / 5,
            Size::Middle => scale.middle_files,
            Size::Big => 1,
        }
    }

    fn path(&self, number: u64) -> String {
        match self.0 {
            Size::Small => small(number),
            Size::Middle => middle(number),
            Size::Big => BIG.into(),
        }
    }
}

impl Workload for CopyUp {
    fn name(&self) -> String {
        match self.0 {
            Size::Small => "copy-up-4k".into(),
            Size::Middle => "copy-up-1m".into(),
            Size::Big => "copy-up-1g".into(),
        }
    }
    fn about(&self) -> String {
        let size = match self.0 {
            Size::Small => "files of 4 KiB",
            Size::Middle => "files of 1 MiB",
            Size::Big => "a file of 1 GiB",
        };
        format!("write the first byte into lower {size}")
    }
    fn stock(&self) -> Stock {
        Stock::Files
    }
    fn operations(&self, scale: &Scale) -> u64 {
        self.count(scale)
    }
    fn bound(&self) -> Bound {
        match self.0 {
            Size::Small => Bound::RoundTrips,
            Size::Middle | Size::Big => Bound::Other,
        }
    }
    fn changes(&self) -> Changes {
        Changes::Below(match self.0 {
            Size::Small => "small",
            Size::Middle => "middle",
            Size::Big => "big",
        })
    }
    fn run(&self, place: &Place<'_>) -> Result<()> {
        let tree = place.tree()?;
        for number in 0..self.count(place.scale()) {
            let file = change::open_file(&tree, self.path(number).as_str(), Access::Write)?;
            file::write_all_at(&file, b"\0", 0)?;
        }
        Ok(())
    }
    fn check(&self, place: &Place<'_>) -> Result<()> {
        let file = change::open_file(place.tree()?, self.path(0).as_str(), Access::Read)?;
        let mut bytes = [1; 2];
        file::read_at(&file, &mut bytes, 0)?;
        if bytes[0] != 0 || bytes[1] == 0 {
            bail!("{} holds {bytes:?}", self.path(0));
        }
        Ok(())
    }
}

/// Adds some bytes to the end of each of many small lower files.
pub struct Append;

const ADDED: &[u8] = b"sixteen bytes...";

impl Workload for Append {
    fn name(&self) -> String {
        "append".into()
    }
    fn about(&self) -> String {
        "add 16 bytes to lower files of 4 KiB".into()
    }
    fn stock(&self) -> Stock {
        Stock::Files
    }
    fn operations(&self, scale: &Scale) -> u64 {
        scale.small_files
    }
    fn bound(&self) -> Bound {
        Bound::RoundTrips
    }
    fn changes(&self) -> Changes {
        Changes::Below("small")
    }
    fn run(&self, place: &Place<'_>) -> Result<()> {
        for number in 0..place.scale().small_files {
            let file = file::open_append_path(place.join(&small(number)).as_path(), 0o644)?;
            file::write_all(&file, ADDED)?;
        }
        Ok(())
    }
    fn check(&self, place: &Place<'_>) -> Result<()> {
        let size = file::stat_at(place.tree()?, small(0).as_str(), Symlinks::Stop)?.st_size;
        if size != 4096 + 16 {
            bail!("{} has {size} bytes", small(0));
        }
        Ok(())
    }
}
