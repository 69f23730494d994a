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
        self.assert_no_group_left();
    }

    /// No container's group is left.
    pub fn assert_no_group_left(&self) {
        let left = groups_left();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Groups of containers that nobody serves: those of tests beside have a serving process, or will in a moment.
pub fn groups_left() -> Vec<PathBuf> {
    let until = Instant::now() + Duration::from_secs(5);
    let mut left = unserved_groups();
    while !left.is_empty() && Instant::now() < until {
        // tidy: allow(sleep) another test's container may be between being made and being filled; what stays is told
        std::thread::sleep(Duration::from_millis(100));
        let now = unserved_groups();
        left.retain(|group| now.contains(group));
    }
    left
}

/// Whoever is in them. A serving process has the path of its container among its words, and the photograph finds it.
fn unserved_groups() -> Vec<PathBuf> {
    let is_id = |name: &str| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let top = PathBuf::from("/sys/fs/cgroup");
    // Version 2 alone is mounted right there.
    let shared = machine::entries(&top).into_iter().chain([top]).map(|top| top.join("layerfs"));
    let groups: Vec<PathBuf> = shared.flat_map(|shared| machine::entries(&shared)).collect();
    let words: Vec<String> = machine::pids().into_iter().map(machine::command_line).collect();
    let is_left = |group: &PathBuf| {
        let name = group.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        is_id(name) && group.is_dir() && !words.iter().any(|words| words.contains(name))
    };
    groups.into_iter().filter(is_left).collect()
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
