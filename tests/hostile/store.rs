//! A store to be attacked: it holds an image already, and knows whether it is as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use layerfs_driver::store::Store;
use layerfs_driver::store::digest::Digest;

use super::tarball::{dir, file, hard, tar};
use crate::support::{Photo, Scope, Scratch, machine, photograph};

/// What one run of the command said.
#[derive(Debug)]
pub struct Said {
    /// The exit status; `None` for one that a signal ended.
    pub status: Option<i32>,
    /// Results.
    pub stdout: String,
    /// Messages.
    pub stderr: String,
    /// The largest amount of memory it had, in KiB.
    pub peak_kib: u64,
    /// Seconds of processor time.
    pub cpu_secs: f64,
}

/// A store with the image `kept`, in a scratch directory of its own.
pub struct Victim {
    scratch: Scratch,
    photo: Photo,
}

impl Victim {
    /// In memory.
    pub fn new() -> Victim {
        Victim::in_scratch(Scratch::new())
    }

    /// On a disk, for what is large.
    pub fn on_disk() -> Victim {
        Victim::in_scratch(Scratch::on_disk())
    }

    fn in_scratch(scratch: Scratch) -> Victim {
        let photo = photograph(&Scope::Below(scratch.path().to_path_buf()));
        let victim = Victim { scratch, photo };
        let kept = [dir("etc"), file("etc/name", "kept"), file("large", [7; 9000])];
        let kept = victim.write("kept.tar", &tar(&[&kept[..], &[hard("link", "large")]].concat()));
        let said = victim.run(&["import", "-q", text(&kept), "kept"]);
        assert_eq!(said.status, Some(0), "{said:?}");
        victim
    }

    /// A path in the scratch directory, outside the store.
    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// Writes a file beside the store.
    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The store's root.
    pub fn root(&self) -> PathBuf {
        self.path("store")
    }

    /// The store as the library opens it.
    pub fn store(&self) -> Store {
        Store::open(&self.root()).unwrap()
    }

    /// Runs the command, and does not measure it.
    pub fn run(&self, words: &[&str]) -> Said {
        self.finish(self.command(words).stdin(Stdio::null()))
    }

    /// Runs the command, measured, with `feed` writing its standard input.
    pub fn fed(&self, words: &[&str], feed: impl FnOnce(&mut dyn Write) + Send) -> Said {
        let figures = self.path("figures");
        let command = self.command(words);
        let mut measured = Command::new("python3");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hostile/measure.py");
        measured.arg(script).arg(&figures).arg(command.get_program()).args(command.get_args());
        measured.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = measured.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let output = std::thread::scope(|scope| {
            scope.spawn(move || feed(&mut stdin));
            child.wait_with_output().unwrap()
        });
        let told = fs::read_to_string(&figures).unwrap();
        let numbers: Vec<f64> = told.split_whitespace().map(|word| word.parse().unwrap()).collect();
        fs::remove_file(&figures).unwrap();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "KiB are few")]
        let peak_kib = numbers[0] as u64;
        Said { peak_kib, cpu_secs: numbers[1], ..said(&output) }
    }

    /// The same without standard input.
    pub fn measured(&self, words: &[&str]) -> Said {
        self.fed(words, |_| {})
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_layerfs"));
        command.arg("--root").arg(self.root()).args(words).env_remove("LAYERFS_LOG");
        command
    }

    fn finish(&self, command: &mut Command) -> Said {
        said(&command.output().unwrap())
    }

    /// Every name in the store with type, mode, size and digest.
    pub fn picture(&self) -> BTreeMap<PathBuf, String> {
        let mut seen = BTreeMap::new();
        picture_below(&self.root(), &mut seen);
        seen
    }

    /// Panics unless the store is as it was, and nothing is left beside it.
    pub fn assert_untouched(&self, name: &str, before: &BTreeMap<PathBuf, String>) {
        let after = self.picture();
        let old: BTreeSet<_> = before.iter().collect();
        let new: BTreeSet<_> = after.iter().collect();
        let changed: Vec<_> = old.symmetric_difference(&new).collect();
        assert!(changed.is_empty(), "{name}: the store changed: {changed:#?}");
        let left = fs::read_dir(self.root().join("tmp")).unwrap().count();
        assert_eq!(left, 0, "{name}: something is left in tmp/");
        photograph(&Scope::Below(self.scratch.path().to_path_buf())).assert_same(&self.photo);
    }

    /// Takes the image of that name out again, with all that only it used.
    pub fn forget(&self, image: &str) {
        for words in [&["rmi", "-f", image][..], &["gc"]] {
            let said = self.run(words);
            assert_eq!(said.status, Some(0), "{said:?}");
        }
        // Directories of objects stay when they are empty.
        for below in machine::entries(&self.root().join("objects")) {
            if machine::entries(&below).is_empty() {
                fs::remove_dir(below).unwrap();
            }
        }
    }

    /// Panics unless the store proves every digest.
    pub fn assert_clean(&self, name: &str) {
        let said = self.run(&["fsck"]);
        assert_eq!(said.status, Some(0), "{name}: {said:?}");
    }
}

/// A path as a word of the command.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("scratch paths are UTF-8")
}

fn said(output: &std::process::Output) -> Said {
    let words = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("messages are UTF-8");
    let (stdout, stderr) = (words(&output.stdout), words(&output.stderr));
    Said { status: output.status.code(), stdout, stderr, peak_kib: 0, cpu_secs: 0.0 }
}

fn picture_below(dir: &Path, seen: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let stat = fs::symlink_metadata(&path).unwrap();
        let digest = if stat.is_file() { shown_digest(&path) } else { String::new() };
        let len = if stat.is_file() { stat.len() } else { 0 };
        seen.insert(path.clone(), format!("{:o} {len} {digest}", stat.mode()));
        if stat.is_dir() {
            picture_below(&path, seen);
        }
    }
}

fn shown_digest(path: &Path) -> String {
    Digest::of(&fs::read(path).unwrap()).hex()
}

/// A file of that many bytes of which none is on disk.
pub fn hollow(path: impl AsRef<OsStr>, bytes: u64) {
    File::create(path.as_ref()).unwrap().set_len(bytes).unwrap();
}
