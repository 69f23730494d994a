//! A store of its own for each test, and the command run in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::groups::Groups;
use crate::support::watchdog::{Watchdog, watchdog};
use crate::support::{Photo, Scope, Scratch, photograph};

/// A store of its own; dropped, it is compared with how it was found.
pub struct Place {
    before: Photo,
    scratch: Scratch,
    groups: Groups,
    _watch: Watchdog,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Place {
    /// In memory, where a container has something else.
    pub fn new() -> Place {
        Place::on(Scratch::new())
    }

    /// The same for a test that takes up to so many seconds.
    pub fn lasting(seconds: u64) -> Place {
        Place::watched(Scratch::new(), watchdog(seconds))
    }

    /// The same on the file system of that directory.
    pub fn on(scratch: Scratch) -> Place {
        Place::watched(scratch, watchdog(120))
    }

    fn watched(scratch: Scratch, watch: Watchdog) -> Place {
        let before = photograph(&Scope::Below(scratch.path().to_path_buf()));
        let containers = scratch.join("store/containers");
        drop(layerfs_driver::store::Store::open(&scratch.join("store")).unwrap());
        let groups = Groups::of(&containers);
        Place { before, scratch, groups, _watch: watch }
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.scratch.join(name)
    }

    /// `layerfs` in this store.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_layerfs"));
        command.env("LAYERFS_ROOT", self.join("store")).env("LAYERFS_RUNROOT", self.join("run"));
        command.args(words).stdin(Stdio::null());
        command
    }

    pub fn layerfs(&self, words: &[&str]) -> Ran {
        ran(self.command(words).output().unwrap())
    }

    /// A shell script in a throwaway container on a copy of this machine's root.
    pub fn script(&self, options: &[&str], script: &str) -> Ran {
        let words = [&["run", "--rm"], options, &["--rootfs", "/", "sh", "-c", script]].concat();
        self.layerfs(&words)
    }

    /// The names in the store's containers.
    pub fn containers(&self) -> Vec<PathBuf> {
        let listed = std::fs::read_dir(self.join("store/containers")).unwrap();
        listed.map(|entry| entry.unwrap().path()).collect()
    }

    /// Nothing is mounted, runs, or is left in the store.
    pub fn assert_nothing_left(&self) {
        assert!(self.containers().is_empty(), "{:?}", self.containers());
        photograph(&Scope::Below(self.scratch.path().to_path_buf())).assert_same(&self.before);
        self.assert_no_group_left();
    }

    /// The groups of this store's containers, in every hierarchy.
    pub fn groups(&self) -> Vec<PathBuf> {
        self.groups.left()
    }

    /// No group of a container of this store is left, used or not.
    pub fn assert_no_group_left(&self) {
        let left = self.groups.left();
        assert!(left.is_empty(), "{left:?}");
    }
}

pub fn ran(output: Output) -> Ran {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran {
        status: output.status.code().unwrap_or(-1),
        out: text(&output.stdout),
        err: text(&output.stderr),
    }
}

impl Ran {
    /// What it printed; it ended well.
    #[track_caller]
    pub fn said(self) -> String {
        assert_eq!((self.status, self.err.as_str()), (0, ""), "{self:?}");
        self.out
    }
}
