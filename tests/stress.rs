//! stress-ng's file-system stressors, with its own checks, on both kinds of mount and on kernel overlayfs as the control.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that can't go on says so and stops")]

mod support;

#[allow(dead_code, reason = "what other tests ask of the trees")]
#[path = "posix_files/trees.rs"]
mod trees;

use std::path::Path;
use std::process::Command;

use support::peer::{self, Peer};
use support::{figure, need, need_root, soak, watchdog};
use trees::{Disk, Import, Trees};

/// What runs in `make test`: those that make, change, lock and list files.
const SHORT: &str = "access chmod dentry dir dirdeep fallocate flock getdent hdd link lockf lockofd rename seek symlink touch \
                     utime xattr";

/// The rest of the class, for `LAYERFS_SOAK=1`.
const LONG: &str = "chdir chown copy-file dirmany dup fcntl fiemap file-ioctl filename fpunch fsize fstat handle inode-flags \
                    inotify io iomix locka mknod open sync-file";

// Not run, as they do not work on the file system that is tested: bind-mount and binderfs (mounts of their own), eventfd, lease
// (signals of the kernel's), ioprio, procfs, dnotify and fanotify (kernel notices of the whole machine), chattr and verity
// (ioctls that a FUSE file system does not have).

/// Runs stressors one after the other in a directory; what they complain of.
fn stressed(at: &Path, stressors: &str, seconds: u32) -> Vec<String> {
    let mut complaints = Vec::new();
    for stressor in stressors.split_whitespace() {
        // Where the file system hangs this ends with the mount.
        let mut run = Command::new("timeout");
        run.args(["--kill-after", "5", &(seconds * 3 + 30).to_string(), "stress-ng"]);
        run.args(["--verify", "--temp-path"]).arg(at);
        run.args([&format!("--{stressor}"), "1", "--timeout", &format!("{seconds}s")]);
        // Small files: the disk is small. One stressor takes no smaller ones.
        let bytes = match stressor {
            "hdd" | "fallocate" | "iomix" => Some("8M"),
            "copy-file" => Some("128M"),
            _ => None,
        };
        if let Some(bytes) = bytes {
            run.args([&format!("--{stressor}-bytes"), bytes]);
        }
        let output = run.current_dir(at).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        // 3 and 4 say that it can't run there.
        if !matches!(output.status.code(), Some(0 | 3 | 4)) || said.contains("fail:") {
            complaints.push(format!("{stressor}: {:?}: {said}", output.status.code()));
        }
    }
    complaints
}

#[test]
fn stressors_of_file_systems_find_nothing() {
    need_root!();
    need!("stress-ng", "python3", "mount");
    let (stressors, seconds) =
        if soak() { (format!("{SHORT} {LONG}"), 10) } else { (SHORT.into(), 1) };
    let _watch = watchdog(if soak() { 3600 } else { 400 });
    let Some(disk) = trees::disk(Disk::Ext4, 1024) else { return };
    let trees = Trees::on(disk, "posix_files/open.py", &["nothing"], Import::Directory);
    let of = stressors.split_whitespace().count();
    let mut counts = Vec::new();
    for (tree, told) in [
        ("kernel", "kernel overlayfs"),
        ("image", "layerfs image"),
        ("directories", "layerfs directories"),
    ] {
        let complaints = stressed(&trees.at(tree).join("nothing/dir"), &stressors, seconds);
        counts.push((told, of - complaints.len()));
        assert!(complaints.is_empty(), "{tree}:\n{}", complaints.join("\n"));
    }
    if let Some(beside) = Peer::mounted(&trees.at(""), "lower", 900) {
        let complaints = stressed(&beside.at.join("nothing/dir"), &stressors, seconds);
        counts.push((peer::NAME, of - complaints.len()));
        for complaint in complaints {
            figure(format_args!("{}: {}", peer::NAME, complaint.replace('\n', " ")));
        }
    }
    peer::beside("stress-ng", of, &counts);
    trees.end();
}
