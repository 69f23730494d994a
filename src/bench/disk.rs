//! The disk that all is measured on: a file system of its own in a sparse file, one in memory, or a directory of the user's.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use layerfs_driver::sys::{dir, file, host};

use super::programs::{self, call};
use crate::system::filesystem;

/// A file system that can be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Filesystem {
    /// In a sparse file below /var/tmp.
    #[default]
    Ext4,
    /// In a sparse file below /var/tmp.
    Xfs,
    /// In memory.
    Tmpfs,
}

/// Where the disk comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// It is made.
    Made(Filesystem),
    /// A directory of the user's.
    Given(PathBuf),
}

impl Base {
    /// Where the one directory is made that all is in.
    pub fn dir(&self) -> &Path {
        match self {
            Base::Made(_) => Path::new("/var/tmp"),
            Base::Given(dir) => dir,
        }
    }

    /// The program that it needs and this machine lacks.
    pub fn missing(&self) -> Option<&'static str> {
        let (program, message) = match self {
            Base::Made(Filesystem::Ext4) => (
                "mkfs.ext4",
                "no program `mkfs.ext4`: install the package `e2fsprogs`, or give --base DIR",
            ),
            Base::Made(Filesystem::Xfs) => (
                "mkfs.xfs",
                "no program `mkfs.xfs`: install the package `xfsprogs`, or say --fs ext4",
            ),
            Base::Made(Filesystem::Tmpfs) | Base::Given(_) => return None,
        };
        programs::find(program).is_none().then_some(message)
    }
}

/// Makes the disk in `place`, an empty directory, of at most `bytes`; answers where it is. It ends with this namespace of mounts.
pub fn make(base: &Base, place: &Path, bytes: u64) -> Result<PathBuf> {
    let disk = place.join("disk");
    dir::make_path(&disk, 0o755)?;
    match base {
        Base::Given(_) => {}
        Base::Made(Filesystem::Tmpfs) => {
            call("mount").words("-t tmpfs -o size=80% tmpfs").word(&disk).run()?;
        }
        Base::Made(Filesystem::Ext4) => {
            let flags = "-q -F -E lazy_itable_init=0,lazy_journal_init=0";
            looped(&disk, bytes, "mkfs.ext4", flags)?;
        }
        Base::Made(Filesystem::Xfs) => looped(&disk, bytes, "mkfs.xfs", "-q -f")?,
    }
    Ok(disk)
}

fn looped(disk: &Path, bytes: u64, mkfs: &str, flags: &str) -> Result<()> {
    let image = disk.with_file_name("image");
    let place = dir::open_path(image.parent().unwrap_or(Path::new("/")))?;
    let made = file::create_new(&place, "image", 0o600)?;
    file::truncate(&made, bytes)?;
    call(mkfs).words(flags).word(&image).run()?;
    call("mount").words("-o loop").word(&image).word(disk).run()?;
    // The loop device holds it from here on, and goes with the mount: whatever ends us, nothing is left of either.
    Ok(dir::unlink(&place, "image")?)
}

/// What kind of file system a directory is on.
pub fn kind(dir: &Path) -> Result<String> {
    let space = host::space(dir::open_path(dir)?).context("ask for the kind of the file system")?;
    Ok(filesystem::name(space.magic).to_string())
}

/// Refuses a base that others than a directory, or nothing, stand at.
pub fn check(base: &Base) -> Result<()> {
    let deed = || format!("--base `{}`", base.dir().display());
    dir::open_path(base.dir()).with_context(deed)?;
    match base.missing() {
        Some(missing) => bail!(missing),
        None => Ok(()),
    }
}
