//! What workloads find: trees as layer directories and as images of the store, each made once, when it is first needed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use layerfs_driver::sys::dir;

use super::contender::Contender;
use super::lab::Lab;
use super::layout::{self, Packed};
use super::programs::call;
use super::tree::{self, Dice, Top};

/// A kind of tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stock {
    /// Like a distribution, of several layers; or what the user gave.
    Tree,
    /// Many programs in three layers, packed as registries have them: only its layout is used.
    Image,
    /// Files to change: many, small, of middle size, one big one.
    Files,
    /// So many layers with a few files each.
    Layers(u32),
    /// One program that ends at once.
    Program,
}

/// A tree that is made.
#[derive(Clone, Debug)]
pub struct Shelf {
    /// Where it is: its layer directories have names of numbers there.
    pub dir: PathBuf,
    /// The layer directories, the lowest first.
    pub layers: Vec<PathBuf>,
    /// The image's name in the store.
    pub image: String,
    /// All layers in one plain directory.
    pub merged: PathBuf,
    /// The image's layout.
    pub layout: PathBuf,
}

/// What the tree of a kind is made of, and where.
pub fn shelf(lab: &Lab, stock: Stock) -> Shelf {
    let (name, layers) = match stock {
        Stock::Tree => ("tree".to_owned(), if lab.tree.is_some() { 1 } else { tree::LAYERS }),
        Stock::Image => ("image".to_owned(), tree::INSTALLED_LAYERS),
        Stock::Files => ("files".to_owned(), 1),
        Stock::Program => ("program".to_owned(), 1),
        Stock::Layers(layers) => (format!("layers{layers}"), lab.scale.layers(layers)),
    };
    let dir = lab.disk.join("stock").join(&name);
    let layers: Vec<PathBuf> = (0..layers).map(|number| dir.join(number.to_string())).collect();
    let merged = match &layers[..] {
        [only] => only.clone(),
        _ => dir.join("merged"),
    };
    Shelf { image: format!("bench-{name}:1"), merged, layout: dir.join("layout"), layers, dir }
}

/// Makes the tree of a kind, and its image.
pub fn make(lab: &Lab, stock: Stock) -> Result<()> {
    let shelf = shelf(lab, stock);
    let made = || format!("make the tree `{}`", shelf.dir.display());
    dir::make_all(&shelf.dir, 0o755).with_context(made)?;
    for (layer, place) in (0..).zip(&shelf.layers) {
        match (stock, &lab.tree) {
            (Stock::Tree, Some(given)) => copy(given, place)?,
            _ => fill(lab, stock, layer, &Top::make(place)?).with_context(made)?,
        }
    }
    let is_packed = matches!(stock, Stock::Tree | Stock::Image);
    let packed = if is_packed { Packed::Gzip } else { Packed::No };
    layout::make(&shelf.layout, &shelf.layers, packed).with_context(made)?;
    if stock == Stock::Image {
        return Ok(());
    }
    let source = format!("oci:{}:{}", shelf.layout.display(), layout::TAG);
    lab.layerfs().words("pull -q --name").word(&shelf.image).word(source).run()?;
    if shelf.layers.len() > 1 && lab.contenders.contains(&Contender::Bare) {
        shelf.layers.iter().try_for_each(|layer| copy(layer, &shelf.merged))?;
    }
    Ok(())
}

/// Copies what is in one directory into another, which is made where it is absent.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    dir::make_all(to, 0o755)?;
    call("cp").word("-a").word(from.join(".")).word(to).run().map(drop)
}

fn fill(lab: &Lab, stock: Stock, layer: u32, top: &Top) -> Result<()> {
    match stock {
        Stock::Tree => tree::distribution(top, layer, lab.scale.tree_files),
        Stock::Image => tree::installed(top, layer, lab.scale.image_bytes),
        Stock::Files => files(lab, top),
        Stock::Layers(_) => one_of_many(top, layer.into()),
        Stock::Program => {
            top.dir("bin")?;
            top.program("bin/end", &super::workloads::container::program())
        }
    }
}

/// The directories of one layer of a deep stack.
pub const STACK_DIRS: u64 = 10;

fn one_of_many(top: &Top, layer: u64) -> Result<()> {
    let mut dice = Dice::new(layer);
    for number in 0..STACK_DIRS {
        top.dir(&format!("dir{number}"))?;
        if (number + layer).is_multiple_of(5) {
            top.file(&format!("dir{number}/file{layer}"), &dice.bytes(200))?;
        }
    }
    Ok(())
}

fn files(lab: &Lab, top: &Top) -> Result<()> {
    let scale = lab.scale;
    let mut dice = Dice::new(1);
    for number in 0..scale.many_files {
        if number % 100 == 0 {
            top.dir(&format!("many/dir{}", number / 100))?;
        }
        top.file(&many(number), &dice.bytes(number % 5 * 2000))?;
    }
    top.dir("small")?;
    for number in 0..scale.small_files {
        top.file(&small(number), &dice.bytes(4096))?;
    }
    top.dir("middle")?;
    for number in 0..scale.middle_files {
        top.file(&middle(number), &dice.bytes(1 << 20))?;
    }
    top.dir("big")?;
    top.file(BIG, &dice.bytes(scale.big_bytes))?;
    top.dir("modules")?;
    for number in 0..scale.program_files {
        let text = format!("\"\"\"Module {number}.\"\"\"\n\nNUMBER = {number}\n\n\n")
            + &"def answer(more):\n    return NUMBER + more\n".repeat(20);
        top.file(&format!("modules/module{number}.py"), text.as_bytes())?;
    }
    Ok(())
}

/// One of the many files.
pub fn many(number: u64) -> String {
    format!("many/dir{}/file{number}", number / 100)
}

/// One of the files of 4 KiB.
pub fn small(number: u64) -> String {
    format!("small/file{number}")
}

/// One of the files of 1 MiB.
pub fn middle(number: u64) -> String {
    format!("middle/file{number}")
}

/// The big file.
pub const BIG: &str = "big/file";
