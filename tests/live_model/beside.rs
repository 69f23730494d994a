//! Owns the direct comparison: a mount, a plain directory and kernel overlayfs get the same operations.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::io::Errno;

use crate::Live;
use crate::model::kernel::KernelOverlay;
use crate::model::layers::Layer;
use crate::model::ops::Op;
use crate::model::plain::PlainDir;
use crate::model::subject::{Entry, Facts, Outcome, Rules, Snapshot, Subject};
use crate::model::tree::Moment;
use crate::model::union_ground::Lowers;

/// A coarse clock may lag behind the one that is read here.
const CLOCK_SLACK: Duration = Duration::from_secs(1);

/// The three, and what they were seen to differ in.
pub struct Beside {
    place: PathBuf,
    live: Live,
    others: [(&'static str, Box<dyn Subject>); 2],
    /// No change of the history is older: the three make it one after the other, each at its own moment.
    start: i64,
    found: Vec<String>,
}

impl Beside {
    pub fn new(place: &Path, lowers: Lowers, layers: &[Layer]) -> Beside {
        let live_place = place.join("live");
        std::fs::create_dir_all(&live_place).unwrap();
        let plain = PlainDir::new(&place.join("plain"), layers);
        let kernel = KernelOverlay::new(&place.join("overlay"), layers);
        let start = (SystemTime::now() - CLOCK_SLACK).duration_since(SystemTime::UNIX_EPOCH);
        Beside {
            place: place.into(),
            live: Live::new(&live_place, lowers, layers),
            others: [("a plain directory", Box::new(plain)), ("overlayfs", Box::new(kernel))],
            start: i64::try_from(start.unwrap().as_secs()).unwrap(),
            found: Vec::new(),
        }
    }

    pub fn plain_root(&self) -> PathBuf {
        self.place.join("plain")
    }

    pub fn live_root(&self) -> PathBuf {
        self.live.mnt()
    }

    fn differences(&self, name: &str, ours: &Snapshot, theirs: &Snapshot) -> Vec<String> {
        let mut found = Vec::new();
        let mut others: BTreeMap<_, _> = theirs.entries.iter().map(|e| (&e.path, e)).collect();
        for entry in &ours.entries {
            let other = others.remove(&entry.path).map(|entry| self.told(entry));
            let told = self.told(entry);
            if other.as_ref() != Some(&told) {
                found.push(format!("{:?}: layerfs shows {told}, {name} {other:?}", entry.path));
            }
        }
        found.extend(others.keys().map(|path| format!("{path:?}: only {name} has it")));
        found
    }

    /// All of an entry that is the same in all three. Numbers are each one's own; link counts differ by rules that the
    /// model knows.
    fn told(&self, entry: &Entry) -> String {
        let mtime = match entry.mtime {
            Moment::At(secs, _) if secs >= self.start => "of this history".into(),
            mtime => format!("{mtime:?}"),
        };
        let facts = unlinked(&entry.facts);
        format!("{facts:?} {mtime} {} {:?}", entry.contents, entry.xattrs)
    }
}

fn unlinked(facts: &Facts) -> Facts {
    Facts { links: 0, hidden: 0, ..facts.clone() }
}

fn answered(outcome: &Result<Outcome, Errno>) -> String {
    match outcome {
        Ok(Outcome::Stat(facts)) => format!("{:?}", unlinked(facts)),
        other => format!("{other:?}"),
    }
}

impl Subject for Beside {
    fn apply(&mut self, op: &Op) -> Result<Outcome, Errno> {
        let ours = self.live.apply(op);
        for (name, other) in &mut self.others {
            if other.passes_over(op).is_some() {
                continue;
            }
            let (told, theirs) = (answered(&ours), answered(&other.apply(op)));
            if told != theirs {
                self.found.push(format!("{op:?}: layerfs says {told}, {name} {theirs}"));
            }
        }
        ours
    }

    fn snapshot(&mut self) -> Snapshot {
        let mut ours = self.live.snapshot();
        let theirs: Vec<_> = self.others.iter_mut().map(|(n, o)| (*n, o.snapshot())).collect();
        for (name, theirs) in &theirs {
            ours.disorder.extend(self.differences(name, &ours, theirs));
        }
        ours.disorder.append(&mut self.found);
        ours
    }

    fn remount(&mut self) {
        self.live.remount();
        self.others.iter_mut().for_each(|(_, other)| other.remount());
    }

    fn rules(&self) -> Rules {
        self.live.rules()
    }
}
