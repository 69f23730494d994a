//! Owns the comparison of a mount with an image that is made of what was changed in it: by `commit`, or, where directories are
//! below, of the layer that `diff` writes and an image of these directories.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::io::Errno;

use crate::Live;
use crate::model::layers::Layer;
use crate::model::ops::Op;
use crate::model::subject::{Entry, Facts, Kind, Outcome, Rules, Snapshot, Subject};
use crate::model::union_ground::Lowers;
use crate::model::walk;

/// A mounted tree; at its end what was changed in it becomes an image that must show the same.
pub struct Committed {
    live: Live,
    place: PathBuf,
}

impl Committed {
    pub fn new(place: &Path, lowers: Lowers, layers: &[Layer]) -> Committed {
        std::fs::create_dir_all(place.join("again")).unwrap();
        Committed { live: Live::new(place, lowers, layers), place: place.into() }
    }

    fn at(&self, name: &str) -> String {
        self.place.join(name).to_str().unwrap().to_owned()
    }

    /// The image of what was changed.
    fn made(&self) -> String {
        let mnt = self.at("mnt");
        match self.live.lowers {
            Lowers::Image => self.layerfs(&["commit", "--quiet", &mnt]).trim().to_owned(),
            Lowers::Directories => self.stacked(&mnt),
        }
    }

    fn stacked(&self, mnt: &str) -> String {
        let (again, base) = (self.at("again"), self.at("base.tar"));
        let (layer, stacked) = (self.at("layer.tar"), self.at("stacked.tar"));
        let lowers = self.live.words[1].split(',').next().unwrap();
        self.layerfs(&["mount", "-o", lowers, &again]);
        self.layerfs(&["import", "--quiet", &again, "base:1"]);
        self.layerfs(&["umount", &again]);
        self.layerfs(&["save", "-o", &base, "base:1"]);
        self.layerfs(&["diff", "--tar", "-o", &layer, mnt]);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/export/stack.py");
        let mut stack = Command::new("python3");
        stack.arg(script).args([&base, &layer, &stacked, "stacked:1"]);
        assert!(stack.status().unwrap().success());
        self.layerfs(&["load", "-i", &stacked]);
        "stacked:1".to_owned()
    }

    fn layerfs(&self, words: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_layerfs"));
        let output =
            command.arg("--root").arg(self.place.join("store")).args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// All of an entry that an image keeps. Sockets are in no image.
fn told(snapshot: &Snapshot) -> BTreeMap<String, String> {
    let shown: Vec<&Entry> =
        snapshot.entries.iter().filter(|entry| entry.facts.kind != Kind::Socket).collect();
    let names = |number: u64| -> Vec<String> {
        let same = shown.iter().filter(|entry| entry.number == number);
        same.map(|entry| format!("{:?}", entry.path)).collect()
    };
    let one = |entry: &Entry| {
        let facts = Facts { links: 0, hidden: 0, ..entry.facts.clone() };
        let (mtime, contents) = (entry.mtime, &entry.contents);
        // Marks, if it were those of a union inside, that no image shows.
        let xattrs: Vec<_> =
            entry.xattrs.iter().filter(|(name, _)| !name.contains(".overlay.")).collect();
        format!("{facts:?} {mtime:?} {contents} {xattrs:?} {:?}", names(entry.number))
    };
    shown.iter().map(|entry| (format!("{:?}", entry.path), one(entry))).collect()
}

impl Subject for Committed {
    fn apply(&mut self, op: &Op) -> Result<Outcome, Errno> {
        self.live.apply(op)
    }

    fn snapshot(&mut self) -> Snapshot {
        self.live.snapshot()
    }

    fn remount(&mut self) {
        self.live.remount();
    }

    fn rules(&self) -> Rules {
        self.live.rules()
    }

    fn end(&mut self) -> Vec<String> {
        let (image, again) = (self.made(), self.at("again"));
        self.layerfs(&["mount", "--read-only", &image, &again]);
        let theirs = told(&walk::snapshot(Path::new(&again)));
        let ours = told(&self.live.snapshot());
        self.layerfs(&["umount", &again]);
        let paths = ours.keys().chain(theirs.keys().filter(|path| !ours.contains_key(*path)));
        let parted = paths.filter(|path| ours.get(*path) != theirs.get(*path));
        parted
            .map(|path| format!("{path}: {:?}, committed {:?}", ours.get(path), theirs.get(path)))
            .collect()
    }
}
