//! What is measured side by side: file systems that show the same tree, and tools that do the same deed.

use std::path::{Path, PathBuf};

use anyhow::Result;
use layerfs_driver::sys::mount::{self, UnmountHow};
use layerfs_driver::sys::{dir, mount as mounts};

use super::lab::Lab;
use super::programs::{self, call};
use super::serving;
use super::stock::{self, Shelf};
use super::workload::Changes;

/// What layerfs merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lower {
    /// An image of the store.
    Image,
    /// Plain directories.
    Directories,
}

/// How layerfs reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// As it decides itself.
    Own,
    /// Through the page cache of the mount alone: `-o io=cached`.
    Cached,
}

/// A tool that brings an image in, or starts a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// This program.
    Layerfs,
    /// `podman load`.
    Podman,
    /// `skopeo copy` to where podman keeps images.
    Skopeo,
    /// `crun run` on a mount of overlayfs.
    Crun,
    /// `runc run` on a mount of overlayfs.
    Runc,
}

/// One of those side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contender {
    /// A plain directory.
    Bare,
    /// The kernel's own.
    Overlayfs,
    /// fuse-overlayfs, by the path of its program.
    FuseOverlayfs(PathBuf),
    /// layerfs, mounted.
    Layerfs(Lower, Engine),
    /// A tool that mounts what it needs itself.
    Tool(Tool),
}

/// Every name of one that is mounted, in the order of tables.
pub const MOUNTED: [&str; 7] = [
    "layerfs-image",
    "layerfs-dirs",
    "layerfs-image-cached",
    "layerfs-dirs-cached",
    "overlayfs",
    "fuse-overlayfs",
    "bare",
];

impl Contender {
    /// As it stands in tables, and as the user says it.
    pub fn name(&self) -> &'static str {
        match self {
            Contender::Bare => "bare",
            Contender::Overlayfs => "overlayfs",
            Contender::FuseOverlayfs(_) => "fuse-overlayfs",
            Contender::Layerfs(Lower::Image, Engine::Own) | Contender::Tool(Tool::Layerfs) => {
                "layerfs-image"
            }
            Contender::Layerfs(Lower::Directories, Engine::Own) => "layerfs-dirs",
            Contender::Layerfs(Lower::Image, Engine::Cached) => "layerfs-image-cached",
            Contender::Layerfs(Lower::Directories, Engine::Cached) => "layerfs-dirs-cached",
            Contender::Tool(Tool::Podman) => "podman",
            Contender::Tool(Tool::Skopeo) => "skopeo",
            Contender::Tool(Tool::Crun) => "crun",
            Contender::Tool(Tool::Runc) => "runc",
        }
    }

    /// Whether a process serves it, whose requests can be counted.
    pub fn is_served(&self) -> bool {
        matches!(self, Contender::FuseOverlayfs(_) | Contender::Layerfs(..))
    }

    /// Mounts the tree of `shelf` at the lab's mountpoint, what changes below `up`.
    pub fn mount(&self, lab: &Lab, shelf: &Shelf, up: &Path, changes: Changes) -> Result<()> {
        let layers = || -> String {
            // Relative names: the kernel's mount(2) takes one page of options.
            (0..shelf.layers.len()).rev().map(|n| n.to_string()).collect::<Vec<_>>().join(":")
        };
        let (upper, work) = (up.join("upper"), up.join("work"));
        for dir in [&upper, &work] {
            dir::make_all(dir, 0o755)?;
        }
        let options = || {
            format!("lowerdir={},upperdir={},workdir={}", layers(), upper.display(), work.display())
        };
        let done = match self {
            Contender::Bare => bare(lab, shelf, up, changes).map(|()| Vec::new()),
            Contender::Overlayfs => {
                let mount = call("mount").words("-t overlay overlay -o").word(options());
                let mount = mount.word(&lab.mountpoint).within(&shelf.dir);
                mount.with("LIBMOUNT_FORCE_MOUNT2", "always").run()
            }
            Contender::FuseOverlayfs(program) => {
                let mount = call(program).word("-o").word(options()).word(&lab.mountpoint);
                mount.within(&shelf.dir).run()
            }
            Contender::Layerfs(Lower::Directories, engine) => {
                let options = options() + engine.more();
                let mount = lab.layerfs().words("mount -o").word(options).word(&lab.mountpoint);
                mount.within(&shelf.dir).run()
            }
            Contender::Layerfs(Lower::Image, engine) => {
                let mount = lab.layerfs().words("mount --upper").word(upper).word("--work");
                let mount = mount.word(work).words(engine.option());
                mount.word(&shelf.image).word(&lab.mountpoint).run()
            }
            Contender::Tool(_) => Ok(Vec::new()),
        };
        done.map(drop)
    }
}

impl Engine {
    fn more(self) -> &'static str {
        match self {
            Engine::Own => "",
            Engine::Cached => ",io=cached",
        }
    }

    fn option(self) -> &'static str {
        match self {
            Engine::Own => "",
            Engine::Cached => "-o io=cached",
        }
    }
}

/// The plain directory itself where it is only read; a copy of what will change otherwise.
fn bare(lab: &Lab, shelf: &Shelf, up: &Path, changes: Changes) -> Result<()> {
    let upper = up.join("upper");
    let shown = match changes {
        Changes::Nothing => &shelf.merged,
        Changes::New => &upper,
        Changes::Below(dir) => {
            stock::copy(&shelf.merged.join(dir), &upper.join(dir))?;
            &upper
        }
    };
    call("mount").word("--bind").word(shown).word(&lab.mountpoint).run().map(drop)
}

/// Takes away whatever is mounted at or below `place`, and ends who serves it.
pub fn unmount(place: &Path) -> Result<()> {
    for standing in mounts::standing()?.iter().rev().filter(|mount| mount.at.starts_with(place)) {
        if mount::unmount(&standing.at, UnmountHow::Now).is_err() {
            mount::unmount(&standing.at, UnmountHow::Lazy)?;
        }
    }
    serving::now()?.wait_or_end()
}

/// fuse-overlayfs where it is found: the newest that the tests have built, or the one on the path.
fn fuse_overlayfs() -> Option<PathBuf> {
    let home = std::env::home_dir().unwrap_or_default();
    let built = home.join(".cache/layerfs-test/fuse-overlayfs-2.0.0");
    let places = [built.join("fuse-overlayfs"), built.join("bin/fuse-overlayfs"), built];
    let built = places.into_iter().find(|place| programs::is_file(place));
    built.or_else(|| programs::find("fuse-overlayfs"))
}

/// The mounted contender of that name, or why there is none here.
pub fn find(name: &str, has_engines: bool) -> Result<Contender, &'static str> {
    let cached = |lower| match has_engines {
        true => Ok(Contender::Layerfs(lower, Engine::Cached)),
        false => Err("this layerfs has no option `-o io=`"),
    };
    match name {
        "layerfs-image" => Ok(Contender::Layerfs(Lower::Image, Engine::Own)),
        "layerfs-dirs" => Ok(Contender::Layerfs(Lower::Directories, Engine::Own)),
        "layerfs-image-cached" => cached(Lower::Image),
        "layerfs-dirs-cached" => cached(Lower::Directories),
        "overlayfs" => Ok(Contender::Overlayfs),
        "fuse-overlayfs" => match fuse_overlayfs() {
            Some(program) => Ok(Contender::FuseOverlayfs(program)),
            None => Err("no program `fuse-overlayfs`: install the package `fuse-overlayfs`"),
        },
        _ => Ok(Contender::Bare),
    }
}
