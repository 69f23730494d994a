//! `Scratch`: a directory of a test's own, on the file system the test asks for, gone when it is dropped.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use super::machine;

/// The scratch directories that exist now: what the watchdog clears when a test hangs.
static LIVE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
static SERIAL: AtomicU32 = AtomicU32::new(0);

/// A directory that belongs to one test.
#[derive(Debug)]
pub struct Scratch {
    /// What `drop` removes.
    outer: PathBuf,
    /// What the test uses: `outer`, or the file system mounted in it.
    path: PathBuf,
}

impl Scratch {
    /// In memory where /dev/shm is there, else where TMPDIR says.
    pub fn new() -> Scratch {
        let shm = Path::new("/dev/shm");
        Scratch::below(if shm.is_dir() { shm } else { Path::new("") })
    }

    /// On a real disk, for what is too big for memory or needs what tmpfs has not.
    pub fn on_disk() -> Scratch {
        Scratch::below(Path::new("/var/tmp"))
    }

    /// Below `base`; an empty path stands for the system's temporary directory.
    pub fn below(base: &Path) -> Scratch {
        let base =
            if base.as_os_str().is_empty() { std::env::temp_dir() } else { base.to_path_buf() };
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let outer = base.join(format!("layerfs-test-{}-{serial}", std::process::id()));
        fs::create_dir(&outer)
            .unwrap_or_else(|e| panic!("make scratch directory {}: {e}", outer.display()));
        LIVE.lock().expect("no test panics while it holds the list").insert(outer.clone());
        Scratch { path: outer.clone(), outer }
    }

    /// A fresh ext4 of `size_mib`, loop-mounted from a file on disk. Needs root.
    pub fn ext4(size_mib: u32) -> Scratch {
        Scratch::loop_mounted("mkfs.ext4", &["-q", "-F"], size_mib)
    }

    /// The same with blocks of 4 KiB, of which each directory takes one however empty it is.
    pub fn ext4_of_blocks(size_mib: u32) -> Scratch {
        let flags = ["-q", "-F", "-b", "4096", "-O", "^inline_data"];
        Scratch::loop_mounted("mkfs.ext4", &flags, size_mib)
    }

    /// The same with so few inodes that they are used up before the blocks.
    pub fn ext4_of_inodes(size_mib: u32, inodes: u32) -> Scratch {
        Scratch::loop_mounted("mkfs.ext4", &["-q", "-F", "-N", &inodes.to_string()], size_mib)
    }

    /// A fresh XFS, loop-mounted from a file on disk; at least 300 MiB, less is refused by mkfs. Needs root.
    pub fn xfs(size_mib: u32) -> Scratch {
        Scratch::loop_mounted("mkfs.xfs", &["-q", "-f"], size_mib.max(300))
    }

    /// A fresh btrfs, loop-mounted from a file on disk; at least 256 MiB. Needs root.
    pub fn btrfs(size_mib: u32) -> Scratch {
        Scratch::loop_mounted("mkfs.btrfs", &["-q", "-f"], size_mib.max(256))
    }

    fn loop_mounted(mkfs: &str, flags: &[&str], size_mib: u32) -> Scratch {
        let mut scratch = Scratch::on_disk();
        let image = scratch.outer.join("image");
        let file = fs::File::create(&image).expect("the scratch directory is ours");
        file.set_len(u64::from(size_mib) << 20).expect("a sparse file takes any length");
        run(Command::new(mkfs).env("PATH", tool_path()).args(flags).arg(&image));
        scratch.path = scratch.outer.join("mnt");
        fs::create_dir(&scratch.path).expect("the scratch directory is ours");
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&scratch.path));
        scratch
    }

    /// The directory to work in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }
}

/// Tools that root alone uses are not on everybody's path.
fn tool_path() -> String {
    std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin"
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("start {command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The scratch directories that exist now.
pub fn live() -> Vec<PathBuf> {
    LIVE.lock().map(|l| l.iter().cloned().collect()).unwrap_or_default()
}

/// Unmounts whatever is mounted at or below `place`, the latest first; what is busy is detached.
pub fn unmount_below(place: &Path) {
    for mount in machine::mounts("self").iter().rev().filter(|m| m.point.starts_with(place)) {
        let plain = Command::new("umount").arg(&mount.point).output();
        if !plain.is_ok_and(|o| o.status.success()) {
            eprintln!("{} was busy at the end of its test and is detached", mount.point.display());
            run(Command::new("umount").arg("-l").arg(&mount.point));
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        unmount_below(&self.outer);
        if let Ok(mut live) = LIVE.lock() {
            live.remove(&self.outer);
        }
        if let Err(e) = fs::remove_dir_all(&self.outer) {
            // A second panic while the test unwinds would hide the first.
            assert!(
                std::thread::panicking(),
                "remove scratch directory {}: {e}",
                self.outer.display()
            );
        }
    }
}
