//! Suites of others that judge a file system, built once from crates.io and kept in the user's cache.
//!
//! An answer of `None` means that the suite can't be had here and that the test has been told as skipped.

use std::path::PathBuf;
use std::process::Command;

use super::{fixtures, rights};

/// pjdfstest: what POSIX says of each call, as root and as others.
pub fn pjdfstest() -> Option<PathBuf> {
    built("pjdfstest", "0.2.2")
}

/// fuse-overlayfs 2.0: what others mount in user space, to stand beside and to read. `make test` has that of the
/// distribution, and does without this one's build: `None` there without a word.
pub fn fuse_overlayfs() -> Option<PathBuf> {
    if figures() { built("fuse-overlayfs", "2.0.0") } else { None }
}

/// fsx: random reads, writes, mappings and changes of size of one file, each read compared.
pub fn fsx() -> Option<PathBuf> {
    built("fsx", "0.3.2")
}

fn built(name: &str, version: &str) -> Option<PathBuf> {
    if !rights::have(&["flock"]) {
        return None;
    }
    let mut build = Command::new(fixtures::workspace().join("tests/support/built"));
    build.args([name, version]).env("CARGO", env!("CARGO"));
    let output = build.output().unwrap_or_else(|e| panic!("start {build:?}: {e}"));
    if output.status.success() {
        return Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end()));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    rights::skip(&format!("{name} {version} can't be built here: {}", said.trim_end()));
    None
}

/// Whether everything is to run, however long it takes: `LAYERFS_SOAK=1`.
pub fn soak() -> bool {
    std::env::var_os("LAYERFS_SOAK").is_some_and(|value| value == "1")
}

/// How many times as many histories there are then, and how many times as long they may take.
pub fn soak_factor() -> u64 {
    if soak() { 20 } else { 1 }
}

/// Whether the suites also run on fuse-overlayfs, for the table of `make figures`: `LAYERFS_FIGURES=1`, and in a soak. It
/// would cost `make test` a build of it and a run more of each.
pub fn figures() -> bool {
    soak() || std::env::var_os("LAYERFS_FIGURES").is_some_and(|value| value == "1")
}
