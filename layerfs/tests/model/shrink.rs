//! Owns how a failing history is made small: halves, then quarters, then single steps and entries are left out.

use super::history::Case;
use super::layers::{Layer, LayerEntry, LayerNode};

/// Tries at most, so that a slow subject still tells in time.
const TRIES_MAX: usize = 1500;

/// A case that still fails and from which nothing more could be left out.
pub fn smallest(case: Case, fails: impl Fn(&Case) -> bool) -> Case {
    let mut small = case;
    let mut tries = TRIES_MAX;
    loop {
        let before = size(&small);
        small = fewer_steps(small, &fails, &mut tries);
        small = fewer_entries(small, &fails, &mut tries);
        if size(&small) == before || tries == 0 {
            return small;
        }
    }
}

fn size(case: &Case) -> usize {
    case.ops.len() + case.layers.iter().map(|layer| 1 + layer.entries.len()).sum::<usize>()
}

fn fewer_steps(mut case: Case, fails: &impl Fn(&Case) -> bool, tries: &mut usize) -> Case {
    let mut chunk = case.ops.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        while at < case.ops.len() && *tries > 0 {
            *tries -= 1;
            let mut shorter = case.clone();
            let end = (at + chunk).min(shorter.ops.len());
            shorter.ops.drain(at..end);
            if fails(&shorter) {
                case = shorter;
            } else {
                at += chunk;
            }
        }
        if chunk == 1 {
            return case;
        }
        chunk = chunk.div_ceil(2);
    }
}

fn fewer_entries(mut case: Case, fails: &impl Fn(&Case) -> bool, tries: &mut usize) -> Case {
    for layer in (0..case.layers.len()).rev() {
        let mut without = case.clone();
        without.layers.remove(layer);
        *tries = tries.saturating_sub(1);
        if fails(&without) {
            case = without;
            continue;
        }
        for entry in (0..case.layers[layer].entries.len()).rev() {
            if *tries == 0 || !can_go(&case.layers[layer], entry) {
                continue;
            }
            *tries -= 1;
            let mut without = case.clone();
            without.layers[layer].entries.remove(entry);
            if fails(&without) {
                case = without;
            }
        }
    }
    case
}

/// A directory with entries and a file with hard links must stay.
fn can_go(layer: &Layer, entry: usize) -> bool {
    let gone = &layer.entries[entry].path;
    let needs = |other: &LayerEntry| {
        other.path.split().is_some_and(|(parent, _)| parent == *gone)
            || matches!(&other.node, LayerNode::Name(first) if first == gone)
    };
    !layer.entries.iter().any(needs)
}
