//! Owns what each test works on: stores, an image mounted writable, the command, and the comparison of trees.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::watchdog::{Watchdog, watchdog};
use crate::support::{Photo, Scope, Scratch, fixtures, photograph};

/// A directory of a test's own. Dropped, nothing may be mounted in it.
pub struct Ground {
    before: Photo,
    scratch: Scratch,
    _watch: Watchdog,
}

impl Ground {
    pub fn new() -> Ground {
        Ground::within(300)
    }

    /// The same for a test that takes longer.
    pub fn within(limit_s: u64) -> Ground {
        let watch = watchdog(limit_s);
        let scratch = Scratch::new();
        for name in ["mnt", "again"] {
            std::fs::create_dir(scratch.join(name)).unwrap();
        }
        let before = photograph(&Scope::Below(scratch.path().to_path_buf()));
        Ground { before, scratch, _watch: watch }
    }

    /// The same with the small image pulled as `small:1` and mounted at `mnt`. `None` where it can't be had.
    pub fn mounted() -> Option<Ground> {
        let layout = fixtures::small_layout()?;
        let ground = Ground::new();
        let source = format!("oci:{}:small", layout.display());
        ground.said(&["pull", "--quiet", "--name", "small:1", &source]);
        ground.said(&["mount", "small:1", &ground.at("mnt")]);
        Some(ground)
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.scratch.join(name)
    }

    pub fn at(&self, name: &str) -> String {
        self.join(name).to_str().unwrap().to_owned()
    }

    /// The command on a store of this ground.
    pub fn command_in(&self, store: &str, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_layerfs"));
        command.env("LAYERFS_ROOT", self.join(store)).args(words).stdin(Stdio::null());
        command
    }

    pub fn layerfs(&self, words: &[&str]) -> Output {
        self.command_in("store", words).output().unwrap()
    }

    /// What it printed; it ended well.
    #[track_caller]
    pub fn said(&self, words: &[&str]) -> String {
        self.said_in("store", words)
    }

    #[track_caller]
    pub fn said_in(&self, store: &str, words: &[&str]) -> String {
        let output = self.command_in(store, words).output().unwrap();
        said(words, output)
    }

    /// Runs a shell script in a directory.
    #[track_caller]
    pub fn shell(&self, within: &str, script: &str) {
        let mut command = Command::new("bash");
        let output = command.args(["-euc", script]).current_dir(self.join(within)).output();
        said(&[script], output.unwrap());
    }

    /// Takes what is mounted at `mnt` away, and mounts `image` there.
    pub fn mount_anew(&self, image: &str) {
        self.said(&["umount", &self.at("mnt")]);
        self.said(&["mount", image, &self.at("mnt")]);
    }

    /// The names in the layer of what was changed at `mnt`, in its order.
    pub fn names_of_layer(&self) -> Vec<String> {
        let path = self.at("layer.tar");
        let written = self.layerfs(&["diff", "--tar", "-o", &path, &self.at("mnt")]);
        assert!(written.status.success(), "{written:?}");
        let listed = Command::new("tar").args(["-tf", &path]).output().unwrap();
        std::fs::remove_file(path).unwrap();
        said(&["tar"], listed).lines().map(str::to_owned).collect()
    }

    /// Makes an image of what was changed at `mnt`, and compares it with that.
    #[track_caller]
    pub fn commits_whole(&self, name: &str, called: &str) {
        let (mnt, again) = (self.at("mnt"), self.at("again"));
        let committed = self.layerfs(&["commit", "--quiet", &mnt, name]);
        assert!(committed.status.success(), "{called}: {committed:?}");
        self.said(&["mount", "--read-only", name, &again]);
        same_trees(&mnt, &again, &[], called);
        self.said(&["umount", &again]);
    }

    /// Nothing but what the test itself has taken away is left.
    pub fn ends(self) {
        for name in ["mnt", "again"] {
            assert!(!is_mounted(&self.join(name)), "{name} is mounted");
        }
        for name in ["store", "store2"] {
            if self.join(name).exists() {
                self.settled(name);
                self.said_in(name, &["fsck"]);
                std::fs::remove_dir_all(self.join(name)).unwrap();
            }
        }
        photograph(&Scope::Below(self.scratch.path().to_path_buf())).assert_same(&self.before);
    }

    /// Waits until the processes of unmounted mounts have ended, and looks that no import left anything.
    fn settled(&self, store: &str) {
        let listed = |room: &str| std::fs::read_dir(self.join(store).join(room)).unwrap().count();
        while listed("containers") > 0 {
            std::thread::yield_now();
        }
        assert_eq!(listed("tmp"), 0);
    }
}

fn is_mounted(path: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    mounts.lines().any(|line| line.split(' ').nth(1) == path.to_str())
}

#[track_caller]
pub fn said(words: &[&str], output: Output) -> String {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{words:?}: {told}{printed}");
    printed
}

/// Refuses with one line, and status 1 or 2.
#[track_caller]
pub fn refused(output: &Output, why: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{output:?}");
    assert!(told.contains(why) && told.lines().count() == 1, "{told}");
    assert_eq!(output.stdout, b"", "{told}");
}

/// Compares trees but for what `except` names as `PATH:KEY`.
#[track_caller]
pub fn same_trees(one: &str, other: &str, except: &[&str], called: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/export/tree.py");
    let except = except.iter().map(|what| format!("--except={what}"));
    let compared = Command::new("python3").arg(script).args(except).args([one, other]).output();
    let compared = compared.unwrap();
    let told = String::from_utf8_lossy(&compared.stderr).into_owned();
    assert!(
        compared.status.success(),
        "{called}: {}{told}",
        String::from_utf8_lossy(&compared.stdout)
    );
}
