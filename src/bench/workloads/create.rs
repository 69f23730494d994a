//! New files: empty ones, and those of an archive.

use std::path::PathBuf;

use anyhow::{Result, bail};
use layerfs_driver::sys::file::Symlinks;
use layerfs_driver::sys::{deep, dir, file};

use crate::bench::programs::{self, call};
use crate::bench::scale::Scale;
use crate::bench::stock::Stock;
use crate::bench::tree::{Dice, Top};
use crate::bench::workload::{Bound, Changes, Place, Workload};

/// Creates empty files in one directory.
pub struct Create;

const DIR: &str = "created";

impl Workload for Create {
    fn name(&self) -> String {
        "create".into()
    }
    fn about(&self) -> String {
        "create empty files in one new directory".into()
    }
    fn stock(&self) -> Stock {
        Stock::Files
    }
    fn operations(&self, scale: &Scale) -> u64 {
        scale.create_files
    }
    fn bound(&self) -> Bound {
        Bound::RoundTrips
    }
    fn changes(&self) -> Changes {
        Changes::New
    }
    fn run(&self, place: &Place<'_>) -> Result<()> {
        let tree = place.tree()?;
        dir::make(&tree, DIR, 0o755)?;
        let dir = dir::open(&tree, DIR, Symlinks::Stop)?;
        for number in 0..place.scale().create_files {
            file::create_new(&dir, format!("file{number}").as_str(), 0o644)?;
        }
        Ok(())
    }
    fn check(&self, place: &Place<'_>) -> Result<()> {
        let count = dir::list(dir::open(place.tree()?, DIR, Symlinks::Stop)?)?.len() as u64;
        if count != place.scale().create_files {
            bail!("{count} files are there");
        }
        Ok(())
    }
}

/// A directory of the lab for what is made once and used by every run; `None` where `name` is there already.
pub fn made_once(place: &Place<'_>, name: &str) -> Result<(PathBuf, Option<Top>)> {
    let path = place.lab.disk.join("made").join(name);
    if programs::is_file(&path.join("done")) {
        return Ok((path, None));
    }
    // What a step that failed has left is made anew.
    let made = Top::make(&place.lab.disk.join("made"))?;
    made.clear(name)?;
    let top = Top::make(&path)?;
    Ok((path, Some(top)))
}

/// Unpacks an archive.
pub struct Untar;

impl Workload for Untar {
    fn name(&self) -> String {
        "untar".into()
    }
    fn about(&self) -> String {
        "unpack an archive with tar".into()
    }
    fn stock(&self) -> Stock {
        Stock::Files
    }
    fn operations(&self, scale: &Scale) -> u64 {
        scale.untar_files
    }
    fn bound(&self) -> Bound {
        Bound::RoundTrips
    }
    fn changes(&self) -> Changes {
        Changes::New
    }
    fn needs(&self) -> &[&'static str] {
        &["tar"]
    }
    fn prepare(&self, place: &Place<'_>) -> Result<()> {
        let (path, Some(top)) = made_once(place, "untar")? else { return Ok(()) };
        let mut dice = Dice::new(5);
        for number in 0..place.scale().untar_files {
            if number % 100 == 0 {
                top.dir(&format!("unpacked/dir{}", number / 100))?;
            }
            let path = format!("unpacked/dir{}/file{number}", number / 100);
            top.file(&path, &dice.bytes(number % 17 * 1000))?;
        }
        call("tar")
            .word("-C")
            .word(&path)
            .words("--sort=name -cf archive.tar unpacked")
            .within(&path)
            .run()?;
        top.clear("unpacked")?;
        top.file("done", b"")
    }
    fn run(&self, place: &Place<'_>) -> Result<()> {
        let tar = call("tar").word("-C").word(&place.lab.mountpoint).word("-xf");
        tar.word(place.lab.disk.join("made/untar/archive.tar")).run().map(drop)
    }
    fn check(&self, place: &Place<'_>) -> Result<()> {
        let top = dir::open(place.tree()?, "unpacked", Symlinks::Stop)?;
        let mut count = 0;
        deep::look_through(&top, |stat| {
            count += u64::from(file::type_of(stat) == file::FileType::RegularFile);
        })?;
        if count != place.scale().untar_files {
            bail!("{count} files are there");
        }
        Ok(())
    }
}
