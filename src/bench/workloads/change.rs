//! Lower files that lose their names, get others, or another owner.

use anyhow::{Result, bail};
use layerfs_driver::sys::file::{self, Symlinks};
use layerfs_driver::sys::{change, deep, dir};

use crate::bench::scale::Scale;
use crate::bench::stock::{Stock, many, small};
use crate::bench::workload::{Bound, Changes, Place, Workload};

/// Removes a lower tree.
pub struct Remove;

impl Workload for Remove {
    fn name(&self) -> String {
        "remove".into()
    }
    fn about(&self) -> String {
        "remove a lower tree, as rm -rf does".into()
    }
    fn stock(&self) -> Stock {
        Stock::Files
    }
    fn operations(&self, scale: &Scale) -> u64 {
        scale.many_files
    }
    fn bound(&self) -> Bound {
        Bound::RoundTrips
    }
    fn changes(&self) -> Changes {
        Changes::Below("many")
    }
    fn run(&self, place: &Place<'_>) -> Result<()> {
        Ok(deep::remove(place.tree()?, "many")?)
    }
    fn check(&self, place: &Place<'_>) -> Result<()> {
        match file::stat_at(place.tree()?, "many", Symlinks::Stop) {
            Err(error) if error.is_absent() => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => bail!("the tree is still there"),
        }
    }
}

/// Gives lower files to another owner.
pub struct Chown;

const OWNER: u32 = 7;

impl Workload for Chown {
    fn name(&self) -> String {
        "chown".into()
    }
    fn about(&self) -> String {
        "give lower files to another owner".into()
    }
    fn stock(&self) -> Stock {
        Stock::Files
    }
    fn operations(&self, scale: &Scale) -> u64 {
        scale.many_files
    }
    fn bound(&self) -> Bound {
        Bound::RoundTrips
    }
    fn changes(&self) -> Changes {
        Changes::Below("many")
    }
    fn run(&self, place: &Place<'_>) -> Result<()> {
        let tree = place.tree()?;
        for number in 0..place.scale().many_files {
            change::chown_at(&tree, many(number).as_str(), Some(OWNER), Some(OWNER))?;
        }
        Ok(())
    }
    fn check(&self, place: &Place<'_>) -> Result<()> {
        let last = many(place.scale().many_files - 1);
        if file::stat_at(place.tree()?, last.as_str(), Symlinks::Stop)?.st_uid != OWNER {
            bail!("{last} has its old owner");
        }
        Ok(())
    }
}

/// Gives lower files other names in their directory.
pub struct Rename;

impl Workload for Rename {
    fn name(&self) -> String {
        "rename".into()
    }
    fn about(&self) -> String {
        "rename lower files of 4 KiB".into()
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
        let tree = place.tree()?;
        for number in 0..place.scale().small_files {
            let new = format!("small/renamed{number}");
            dir::rename(&tree, small(number).as_str(), &tree, new.as_str())?;
        }
        Ok(())
    }
    fn check(&self, place: &Place<'_>) -> Result<()> {
        let names = dir::list(dir::open(place.tree()?, "small", Symlinks::Stop)?)?;
        let renamed =
            names.iter().filter(|entry| entry.name.starts_with(b"renamed")).count() as u64;
        if (renamed, names.len() as u64) != (place.scale().small_files, place.scale().small_files) {
            bail!("{renamed} of {} names are new", names.len());
        }
        Ok(())
    }
}
