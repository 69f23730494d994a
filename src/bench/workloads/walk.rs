//! Going through the whole tree: names and metadata, or all contents as well.

use anyhow::{Result, bail};
use layerfs_driver::sys::deep;

use crate::bench::programs::call;
use crate::bench::scale::Scale;
use crate::bench::stock::Stock;
use crate::bench::workload::{Bound, Place, Start, Workload};

/// The end of a name, by what the kernel remembers.
pub fn suffix(start: Start) -> &'static str {
    match start {
        Start::Cold => "-cold",
        Start::Warm => "-warm",
        Start::Mounted | Start::Unmounted => "",
    }
}

/// Lists every directory and asks for the metadata of all in it.
pub struct Walk(pub Start);

impl Workload for Walk {
    fn name(&self) -> String {
        format!("walk{}", suffix(self.0))
    }
    fn about(&self) -> String {
        "list every directory, stat every name".into()
    }
    fn stock(&self) -> Stock {
        Stock::Tree
    }
    fn operations(&self, scale: &Scale) -> u64 {
        scale.tree_files
    }
    fn start(&self) -> Start {
        self.0
    }
    fn bound(&self) -> Bound {
        Bound::RoundTrips
    }
    fn run(&self, place: &Place<'_>) -> Result<()> {
        whole(place, 2)
    }
}

/// Walks the tree, which has at least so many objects.
pub fn whole(place: &Place<'_>, count_min: u64) -> Result<()> {
    let mut count = 0;
    deep::look_through(place.tree()?, |_| count += 1)?;
    if count < count_min {
        bail!("only {count} objects were found");
    }
    Ok(())
}

/// Reads all of it, as an archive.
pub struct Tar(pub Start);

impl Workload for Tar {
    fn name(&self) -> String {
        format!("tar{}", suffix(self.0))
    }
    fn about(&self) -> String {
        "read the whole tree with tar".into()
    }
    fn stock(&self) -> Stock {
        Stock::Tree
    }
    fn operations(&self, scale: &Scale) -> u64 {
        scale.tree_files
    }
    fn start(&self) -> Start {
        self.0
    }
    fn needs(&self) -> &[&'static str] {
        &["tar"]
    }
    fn run(&self, place: &Place<'_>) -> Result<()> {
        // Straight to /dev/null tar would read nothing.
        let script = r#"tar --one-file-system -C "$TREE" -cf - . | cat >/dev/null"#;
        let tar = call("sh").word("-ec").word(script);
        tar.with("TREE", &place.lab.mountpoint).run().map(drop)
    }
}
