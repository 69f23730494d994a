//! Owns the count of what random histories come to: a generator that misses a case proves nothing about it.

use std::collections::BTreeMap;

use super::fault::Fault;
use super::history::Case;
use super::layers::{Layer, LayerNode};
use super::ops::Op;
use super::subject::{Kind, Subject};
use super::tree::Model;

/// How often each case came up, by name.
#[derive(Debug, Default)]
pub struct Tally(pub BTreeMap<String, usize>);

impl Tally {
    pub fn of(seeds: std::ops::Range<u64>, steps: usize) -> Tally {
        let mut tally = Tally::default();
        for seed in seeds {
            let case = Case::random(seed, steps);
            tally.count_layers(&case.layers);
            tally.count_ops(&case);
        }
        tally
    }

    pub fn count(&self, name: &str) -> usize {
        self.0.get(name).copied().unwrap_or(0)
    }

    fn add(&mut self, name: String) {
        *self.0.entry(name).or_default() += 1;
    }

    fn count_ops(&mut self, case: &Case) {
        let mut model = Model::folded(&case.layers, Fault::None);
        for op in &case.ops {
            let unlinked = matches!(op, Op::HeldStat { slot } | Op::HeldRead { slot, .. }
                | Op::HeldWrite { slot, .. } | Op::HeldTruncate { slot, .. }
                if model.held_facts(*slot).is_ok_and(|facts| facts.links == 0));
            let answer = match model.apply(op) {
                Ok(_) if unlinked => "unlinked".to_string(),
                Ok(_) => "done".to_string(),
                Err(errno) => format!("{:?}", std::io::Error::from(errno).kind()),
            };
            self.add(format!("{} {answer}", name_of(op)));
        }
    }

    /// Counts what each layer hides of those below.
    fn count_layers(&mut self, layers: &[Layer]) {
        self.add(format!("layers {}", layers.len()));
        for (n, layer) in layers.iter().enumerate() {
            let mut below = Model::folded(&layers[..n], Fault::None);
            let kinds: BTreeMap<_, _> =
                below.snapshot().entries.into_iter().map(|e| (e.path, e.facts)).collect();
            for entry in &layer.entries {
                let Some(facts) = kinds.get(&entry.path) else { continue };
                let full = kinds.keys().any(|p| p.split().is_some_and(|(up, _)| up == entry.path));
                let upper = match &entry.node {
                    LayerNode::Folder(below) => format!("folder {below:?}"),
                    LayerNode::Whiteout => "whiteout".to_string(),
                    _ => "other".to_string(),
                };
                let lower = match facts.kind {
                    Kind::Directory if full => "full directory",
                    Kind::Directory => "empty directory",
                    _ if facts.links > 1 => "hard link",
                    _ => "other",
                };
                self.add(format!("{upper} over {lower}"));
            }
        }
    }
}

/// The variant's name, with the flag of a rename.
fn name_of(op: &Op) -> String {
    if let Op::Rename { flag, .. } = op {
        return format!("Rename {flag:?}");
    }
    let text = format!("{op:?}");
    text.split(' ').next().unwrap_or("").to_string()
}
