//! A store of its own for each test, and the command run in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::watchdog::{Watchdog, watchdog};
use crate::support::{Photo, Scope, Scratch, machine, photograph};

/// A store of its own; dropped, it is compared with how it was found.
pub struct Place {
    before: Photo,
    scratch: Scratch,
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
    pub fn new() -> Place {
        let watch = watchdog(120);
        let scratch = Scratch::new();
        let before = photograph(&Scope::Below(scratch.path().to_path_buf()));
        Place { before, scratch, _watch: watch }
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
        let left = groups_left();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Groups of containers that stay though nothing is in them: those of tests beside hold processes, or go in a moment.
pub fn groups_left() -> Vec<PathBuf> {
    let until = Instant::now() + Duration::from_secs(5);
    let mut left = empty_groups();
    while !left.is_empty() && Instant::now() < until {
        // tidy: allow(sleep) another test's container may be between being made and being filled; what stays is told
        std::thread::sleep(Duration::from_millis(100));
        let now = empty_groups();
        left.retain(|group| now.contains(group));
    }
    left
}

fn empty_groups() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for hierarchy in machine::entries(Path::new("/sys/fs/cgroup")) {
        for group in machine::entries(&hierarchy.join("layerfs")).iter().filter(|g| g.is_dir()) {
            let leaves = machine::entries(group).into_iter().filter(|leaf| leaf.is_dir());
            let used = leaves.chain([group.clone()]).any(|group| {
                std::fs::read_to_string(group.join("cgroup.procs")).is_ok_and(|t| !t.is_empty())
            });
            if !used {
                found.push(group.clone());
            }
        }
    }
    found
}

fn ran(output: Output) -> Ran {
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
