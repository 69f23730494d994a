//! Trees that are the same wherever they are made: numbers by a generator that starts from a fixed seed.

use std::path::Path;

use anyhow::Result;
use layerfs_driver::sys::{OwnedFd, change, deep, dir, file};

/// Numbers that look random and are the same each time (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Numbers that begin at `seed`.
    pub fn new(seed: u64) -> Self {
        Dice(seed)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Bytes that compress about as text does.
    pub fn bytes(&mut self, len: u64) -> Vec<u8> {
        const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz .,;\n0";
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend(self.next().to_le_bytes().map(|byte| LETTERS[usize::from(byte % 32)]));
        }
        bytes.truncate(len);
        bytes
    }

    /// Words of a language of its own, which gzip makes about as small as it makes programs and their libraries.
    pub fn words(&mut self, len: u64) -> Vec<u8> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let mut bytes = Vec::with_capacity(len + 16);
        while bytes.len() < len {
            let mut word = Dice(self.below(WORDS));
            let letters = word.next();
            let long = usize::try_from(3 + letters % 9).unwrap_or(3);
            bytes.extend_from_slice(&word.next().to_le_bytes());
            bytes.extend_from_slice(&letters.to_be_bytes());
            bytes.truncate(bytes.len() - 16 + long);
        }
        bytes.truncate(len);
        bytes
    }

    /// The size of a file of an image that many programs are installed in: 65 KiB on average.
    fn size_of_installed(&mut self) -> u64 {
        match self.below(100) {
            0..=59 => self.below(4 << 10),
            60..=84 => (4 << 10) + self.below(12 << 10),
            85..=94 => (16 << 10) + self.below(112 << 10),
            95..=98 => (128 << 10) + self.below(384 << 10),
            _ => (512 << 10) + self.below(7 << 20),
        }
    }

    /// The size of a file, as distributions have them: most of a few KiB, some of many.
    fn size(&mut self) -> u64 {
        match self.below(1000) {
            0..=99 => self.below(64),
            100..=599 => 64 + self.below(4 << 10),
            600..=849 => (4 << 10) + self.below(12 << 10),
            850..=979 => (16 << 10) + self.below(112 << 10),
            _ => (128 << 10) + self.below(384 << 10),
        }
    }
}

/// Words that there are.
const WORDS: u64 = 2200;

/// A directory that is filled.
#[derive(Debug)]
pub struct Top(OwnedFd);

impl Top {
    /// Opens a directory, and makes it where it is absent.
    pub fn make(path: &Path) -> Result<Top> {
        dir::make_all(path, 0o755)?;
        Ok(Top(dir::open_path(path)?))
    }

    /// Makes a directory below, whose parent is there or not.
    pub fn dir(&self, path: &str) -> Result<()> {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            dir::make_if_absent(&self.0, &path[..end], 0o755)?;
        }
        Ok(())
    }

    /// Makes a file below, in a directory that is there.
    pub fn file(&self, path: &str, contents: &[u8]) -> Result<()> {
        Ok(file::write_all(file::create_new(&self.0, path, 0o644)?, contents)?)
    }

    /// Makes a program below.
    pub fn program(&self, path: &str, contents: &[u8]) -> Result<()> {
        Ok(file::write_all(file::create_new(&self.0, path, 0o755)?, contents)?)
    }

    /// Removes what is below that name.
    pub fn clear(&self, name: &str) -> Result<()> {
        Ok(deep::remove(&self.0, name)?)
    }

    /// Makes a symbolic link below.
    pub fn link(&self, path: &str, target: &str) -> Result<()> {
        Ok(change::make_symlink(target.as_bytes(), &self.0, path)?)
    }
}

/// How many files of a distribution belong to one package.
const PER_PACKAGE: u64 = 25;
/// Which part of the packages comes in which layer, in tenths, and what some of them replace.
const SHARES: [u64; LAYERS as usize] = [5, 3, 1, 1];
/// The layers of a distribution.
pub const LAYERS: u32 = 4;

/// Makes a layer of a tree like a distribution: the packages that come with it, and newer files of those below.
pub fn distribution(top: &Top, layer: u32, files: u64) -> Result<()> {
    let packages = (files / PER_PACKAGE).max(10);
    let begun = |layers: u32| SHARES[..layers as usize].iter().sum::<u64>() * packages / 10;
    for package in begun(layer)..begun(layer + 1) {
        for path in ["usr/bin", "etc", "usr/share/man/man1"] {
            top.dir(path)?;
        }
        self::package(top, package)?;
    }
    // As an update does: a file of every eighth package below is replaced.
    let mut dice = Dice::new(7 + u64::from(layer));
    for package in (0..begun(layer)).step_by(8) {
        top.dir(&format!("usr/share/doc/package{package}"))?;
        top.file(&format!("usr/share/doc/package{package}/copyright"), &dice.bytes(2000))?;
    }
    Ok(())
}

/// Which part of an installed image comes in which layer, in tenths: a base, programs, and one more of them.
const INSTALLED: [u64; INSTALLED_LAYERS as usize] = [2, 6, 2];
/// The layers of an installed image.
pub const INSTALLED_LAYERS: u32 = 3;

/// Makes a layer of an image that programs are installed in, which together holds so many bytes.
pub fn installed(top: &Top, layer: u32, image_bytes: u64) -> Result<()> {
    let mut dice = Dice::new(u64::from(layer) << 32);
    let mut left = image_bytes * INSTALLED[layer as usize] / 10;
    let mut number = 0;
    while left > 0 {
        let dir = format!("opt/layer{layer}/program{}", number / 40);
        if number % 40 == 0 {
            top.dir(&dir)?;
        }
        let size = dice.size_of_installed().min(left);
        top.file(&format!("{dir}/part{number}"), &dice.words(size))?;
        left -= size;
        number += 1;
    }
    Ok(())
}

fn package(top: &Top, package: u64) -> Result<()> {
    let mut dice = Dice::new(package << 16);
    let (doc, lib) =
        (format!("usr/share/doc/package{package}"), format!("usr/lib/package{package}/modules"));
    top.dir(&doc)?;
    top.dir(&lib)?;
    top.file(&format!("{doc}/copyright"), &dice.bytes(1500))?;
    top.file(&format!("{doc}/changelog"), &dice.bytes(3000))?;
    top.link(&format!("{doc}/README"), "changelog")?;
    let size = dice.size();
    top.program(&format!("usr/bin/tool{package}"), &dice.bytes(size))?;
    top.file(&format!("etc/package{package}.conf"), &dice.bytes(300))?;
    top.file(&format!("usr/share/man/man1/tool{package}.1"), &dice.bytes(2500))?;
    for number in 0..PER_PACKAGE - 6 {
        let size = dice.size();
        top.file(&format!("{lib}/part{number}"), &dice.bytes(size))?;
    }
    // Some packages have a library of a size of its own.
    if package % 100 == 9 {
        top.file(&format!("{lib}/library.so"), &dice.bytes(8 << 20))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_bytes() {
        assert_eq!(Dice::new(3).bytes(100), Dice::new(3).bytes(100));
        assert_ne!(Dice::new(3).bytes(100), Dice::new(4).bytes(100));
        assert_eq!(Dice::new(3).bytes(13).len(), 13);
    }

    #[test]
    fn a_distribution_has_about_as_many_files_as_were_asked_for() {
        let scratch = tempfile::tempdir().unwrap();
        for layer in 0..LAYERS {
            let top = Top::make(&scratch.path().join(layer.to_string())).unwrap();
            distribution(&top, layer, 250).unwrap();
        }
        let mut files = 0;
        let top = dir::open_path(scratch.path()).unwrap();
        let seen = |stat: &file::Stat| {
            files += usize::from(file::type_of(stat) != file::FileType::Directory);
        };
        deep::look_through(&top, seen).unwrap();
        assert!((250..300).contains(&files), "{files}");
    }
}
