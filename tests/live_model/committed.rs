//! Owns the comparison of a mount with an image that is made of what was changed in it.

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

/// A mounted image; at its end what was changed in it becomes an image that must show the same.
pub struct Committed {
    live: Live,
    place: PathBuf,
}

impl Committed {
    pub fn new(place: &Path, layers: &[Layer]) -> Committed {
        std::fs::create_dir_all(place.join("again")).unwrap();
        Committed { live: Live::new(place, Lowers::Image, layers), place: place.into() }
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
        let (mnt, again) = (self.place.join("mnt"), self.place.join("again"));
        let (mnt, again) = (mnt.to_str().unwrap(), again.to_str().unwrap());
        let id = self.layerfs(&["commit", "--quiet", mnt]);
        self.layerfs(&["mount", "--read-only", id.trim(), again]);
        let (ours, theirs) = (told(&self.live.snapshot()), told(&walk::snapshot(Path::new(again))));
        self.layerfs(&["umount", again]);
        let paths = ours.keys().chain(theirs.keys().filter(|path| !ours.contains_key(*path)));
        let parted = paths.filter(|path| ours.get(*path) != theirs.get(*path));
        parted
            .map(|path| format!("{path}: {:?}, committed {:?}", ours.get(path), theirs.get(path)))
            .collect()
    }
}
