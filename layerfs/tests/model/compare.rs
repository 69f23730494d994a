//! Owns when what a subject shows is what the model says.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::subject::{
    DirectoryLinks, Entry, Facts, HiddenNames, Kind, ListedNumbers, Numbers, OrphanLinks, Outcome,
    Rules, Snapshot,
};
use super::tree::{InodeId, Moment};

/// A coarse clock may lag behind the one that is read here.
const CLOCK_SLACK: Duration = Duration::from_secs(1);

/// Compares one history's trees; it remembers which number each inode has.
pub struct Comparison {
    rules: Rules,
    /// No change of the history is older.
    start: (i64, u32),
    numbers: BTreeMap<InodeId, u64>,
    /// The inode that each number and generation stood for in this mount.
    generations: BTreeMap<(u64, u64), InodeId>,
}

impl Comparison {
    /// To be made before the first operation.
    pub fn new(rules: Rules) -> Comparison {
        let start = SystemTime::now() - CLOCK_SLACK;
        let since = start.duration_since(SystemTime::UNIX_EPOCH).expect("the clock is set");
        let start = (i64::try_from(since.as_secs()).expect("centuries fit"), since.subsec_nanos());
        Comparison { rules, start, numbers: BTreeMap::new(), generations: BTreeMap::new() }
    }

    pub fn remounted(&mut self) {
        self.generations.clear();
        if self.rules.numbers == Numbers::PerMount {
            self.numbers.clear();
        }
    }

    /// What differs between two results of one operation.
    pub fn outcome(&self, model: &Outcome, subject: &Outcome) -> Option<String> {
        let same = match (model, subject) {
            (Outcome::Stat(model), Outcome::Stat(subject)) => self.facts(model, subject).is_none(),
            _ => model == subject,
        };
        (!same).then(|| format!("the model says {model:?}, the subject {subject:?}"))
    }

    /// Every difference between two trees, a line each; no line where they agree.
    pub fn trees(&mut self, model: &Snapshot, subject: &Snapshot) -> Vec<String> {
        let mut found = subject.disorder.clone();
        if self.rules.listed_numbers == ListedNumbers::Exact {
            found.extend(subject.listed_otherwise.clone());
        }
        let mut theirs: BTreeMap<_, _> =
            subject.entries.iter().map(|entry| (&entry.path, entry)).collect();
        for ours in &model.entries {
            match theirs.remove(&ours.path) {
                None => found.push(format!("{:?}: missing, should be {:?}", ours.path, ours.facts)),
                Some(entry) => found.extend(self.entry(ours, entry)),
            }
        }
        found.extend(theirs.values().map(|e| format!("{:?}: too much, {:?}", e.path, e.facts)));
        found.extend(self.shared_numbers(model));
        found
    }

    fn entry(&mut self, model: &Entry, subject: &Entry) -> Vec<String> {
        let mut found = Vec::new();
        found.extend(self.facts(&model.facts, &subject.facts));
        if model.contents != subject.contents {
            found.push(format!("contents {}, not {}", subject.contents, model.contents));
        }
        if model.xattrs != subject.xattrs {
            found.push(format!("attributes {:?}, not {:?}", subject.xattrs, model.xattrs));
        }
        if !self.is_moment(model.mtime, subject.mtime) {
            found.push(format!("mtime {:?}, not {:?}", subject.mtime, model.mtime));
        }
        let number = *self.numbers.entry(model.number).or_insert(subject.number);
        if number != subject.number {
            found.push(format!("number {}, before {number}", subject.number));
        }
        if let Some(generation) = subject.generation {
            let known = (subject.number, generation);
            let owner = *self.generations.entry(known).or_insert(model.number);
            if owner != model.number {
                found.push(format!("number and generation {known:?} were another inode's"));
            }
        }
        found.iter().map(|what| format!("{:?}: {what}", model.path)).collect()
    }

    fn facts(&self, model: &Facts, subject: &Facts) -> Option<String> {
        let mut wanted = Facts { hidden: 0, ..model.clone() };
        if self.rules.hidden_names == HiddenNames::Counted {
            wanted.links += model.hidden;
        }
        let loose_directory = self.rules.directory_links == DirectoryLinks::Unspecified;
        let loose_orphan = self.rules.orphan_links == OrphanLinks::Unspecified;
        let is_loose = match model.kind {
            Kind::Directory => loose_directory,
            _ => loose_orphan && model.links == 0,
        };
        if is_loose {
            wanted.links = subject.links;
        }
        (wanted != *subject).then(|| format!("{subject:?}, not {wanted:?}"))
    }

    fn is_moment(&self, model: Moment, subject: Moment) -> bool {
        match (model, subject) {
            (Moment::Any, _) => true,
            (Moment::Fresh, Moment::At(secs, nanos)) => (secs, nanos) >= self.start,
            _ => model == subject,
        }
    }

    /// Two inodes that both have names must have two numbers.
    fn shared_numbers(&self, model: &Snapshot) -> Vec<String> {
        let mut owners: BTreeMap<u64, &Entry> = BTreeMap::new();
        let mut found = Vec::new();
        for entry in &model.entries {
            let Some(number) = self.numbers.get(&entry.number) else { continue };
            let owner = owners.entry(*number).or_insert(entry);
            if owner.number != entry.number {
                found.push(format!("{:?} and {:?} share a number", owner.path, entry.path));
            }
        }
        found
    }
}
