//! Owns the process in which kernel overlayfs is mounted: the test binary run again, in a mount namespace of its own.
//!
//! Requests come on standard input and answers go to standard output, a line of JSON each. The harness prints there too,
//! so that an answer begins with a mark.

use std::io::{BufRead, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde::{Deserialize, Serialize};

use super::ops::Op;
use super::posix::PosixTree;
use super::subject::{Outcome, Snapshot};
use super::walk;

/// The directory that holds `layer0` and so on, `upper`, `work` and `merged`.
pub const PLACE: &str = "LAYERFS_MODEL_OVERLAY";
pub const MARK: &str = "@@ ";
/// What overlayfs is mounted with.
pub const OPTIONS: &str = "LAYERFS_MODEL_OVERLAY_OPTIONS";
/// What options of fuse-overlayfs, which is mounted then, begin with here.
pub const FUSE_OVERLAYFS: &str = "fuse-overlayfs:";
/// Which program that is, where it is not the first of that name in the path.
pub const PROGRAM: &str = "LAYERFS_MODEL_OVERLAY_PROGRAM";
/// The options that make overlayfs most like one file system.
pub const LIKE_ONE_FILESYSTEM: &str = "redirect_dir=on,metacopy=off,index=on,xino=auto";

#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    Apply(Op),
    Photograph,
    Remount,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    Ready,
    /// A number is an errno.
    Applied(Result<Outcome, i32>),
    Photograph(Snapshot),
}

/// Not a test but the worker: serves until standard input ends. Without a place in the environment nothing happens.
#[test]
fn overlay_worker() {
    let Some(place) = std::env::var_os(PLACE).map(PathBuf::from) else { return };
    let mut server = mount_at(&place);
    let merged = place.join("merged");
    let mut tree = PosixTree::open(&merged);
    answer(&Answer::Ready);
    for line in std::io::stdin().lock().lines() {
        match serde_json::from_str(&line.unwrap()).unwrap() {
            Request::Apply(op) => {
                let applied = tree.apply(&op).map_err(|errno| errno.raw_os_error());
                answer(&Answer::Applied(applied));
            }
            Request::Photograph => answer(&Answer::Photograph(walk::snapshot(&merged))),
            Request::Remount => {
                drop(tree);
                unmount(&merged, UnmountFlags::empty()).unwrap();
                ended(&mut server);
                server = mount_at(&place);
                tree = PosixTree::open(&merged);
                answer(&Answer::Ready);
            }
        }
    }
    drop(tree);
    unmount(&merged, UnmountFlags::empty()).unwrap();
    ended(&mut server);
}

/// What was written is in the upper when the process has ended.
fn ended(server: &mut Option<Child>) {
    if let Some(server) = server {
        server.wait().unwrap();
    }
}

fn answer(answer: &Answer) {
    let line = serde_json::to_string(answer).unwrap();
    // The harness may have left a line open.
    let mut out = std::io::stdout().lock();
    write!(out, "\n{MARK}{line}\n").unwrap();
    out.flush().unwrap();
}

/// Answers the process that serves the mount, where one does.
fn mount_at(place: &Path) -> Option<Child> {
    let mut lowers = Vec::new();
    for n in 0.. {
        let lower = place.join(format!("layer{n}"));
        if !lower.exists() {
            break;
        }
        lowers.insert(0, lower.display().to_string());
    }
    let chosen = std::env::var(OPTIONS).unwrap();
    let options = format!(
        "lowerdir={},upperdir={},workdir={},{chosen}\0",
        lowers.join(":"),
        place.join("upper").display(),
        place.join("work").display()
    );
    if let Some(words) = chosen.strip_prefix(FUSE_OVERLAYFS) {
        return Some(mount_by_program(place, &options.replace(&chosen, words)));
    }
    let options = std::ffi::CStr::from_bytes_with_nul(options.as_bytes()).unwrap();
    mount("overlay", place.join("merged"), "overlay", MountFlags::empty(), options)
        .unwrap_or_else(|e| panic!("mount overlayfs with {options:?}: {e}"));
    None
}

/// Mounts by a program, which serves until its mount goes. Version 2 of fuse-overlayfs would go into the background before it
/// has mounted anything.
fn mount_by_program(place: &Path, options: &str) -> Child {
    let program = std::env::var_os(PROGRAM).unwrap_or_else(|| "fuse-overlayfs".into());
    let mut program = Command::new(program);
    program.args(["-f", "-o", options.trim_end_matches('\0')]).arg(place.join("merged"));
    // The answers go to standard output.
    let mut server = program.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let device = |path: &Path| path.metadata().unwrap().dev();
    while device(&place.join("merged")) == device(place) {
        assert!(server.try_wait().unwrap().is_none(), "{program:?} ends without a mount");
        std::thread::yield_now();
    }
    server
}
