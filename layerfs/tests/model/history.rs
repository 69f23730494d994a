//! Owns the run of a history: model and subject side by side, compared all the way.

use std::fmt;

use super::choose;
use super::code;
use super::compare::Comparison;
use super::fault::Fault;
use super::layers::Layer;
use super::lowers;
use super::ops::Op;
use super::random::Random;
use super::shrink;
use super::subject::Subject;
use super::tree::Model;
use crate::support::figure;

/// Whole trees are compared after so many steps of a random history.
const TREE_EVERY: usize = 10;

/// A history: what is mounted, and what is done to it.
#[derive(Clone, Debug)]
pub struct Case {
    /// 0 in a case that was written down.
    pub seed: u64,
    /// The lowest first.
    pub layers: Vec<Layer>,
    pub ops: Vec<Op>,
    /// Whole trees are compared after so many steps, after remounts and at the end.
    pub tree_every: usize,
}

/// Where model and subject part.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The operation after which it showed, counted from 0; none before the first.
    pub step: Option<usize>,
    pub what: Vec<String>,
}

/// Makes the subject that a case runs on.
pub trait Start {
    type Subject: Subject;
    fn start(&self, layers: &[Layer]) -> Self::Subject;
}

impl<S: Subject, F: Fn(&[Layer]) -> S> Start for F {
    type Subject = S;
    fn start(&self, layers: &[Layer]) -> S {
        self(layers)
    }
}

impl Case {
    pub fn random(seed: u64, steps: usize) -> Case {
        let mut random = Random::new(seed);
        let layers = lowers::layers(&mut random);
        let ops = choose::operations(&mut random, &layers, steps);
        Case { seed, layers, ops, tree_every: TREE_EVERY }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            Some(step) => writeln!(f, "after step {step}:")?,
            None => writeln!(f, "before the first step:")?,
        }
        self.what.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

/// Runs the histories of `seeds`; the first that parts is made small and told.
pub fn run(seeds: std::ops::Range<u64>, steps: usize, start: &impl Start) {
    let (first, last) = (seeds.start, seeds.end - 1);
    figure(format_args!("histories of {steps} steps from the seeds {first} to {last}"));
    run_cases(seeds.map(|seed| Case::random(seed, steps)), start);
}

/// Runs cases; the first that parts is made small and told.
pub fn run_cases(cases: impl Iterator<Item = Case>, start: &impl Start) {
    for case in cases {
        if let Err(failure) = parted(&case, Fault::None, start) {
            tell(case, failure, start);
        }
    }
}

/// Runs one history that was written down.
pub fn replay(case: &Case, start: &impl Start) {
    if let Err(failure) = parted(case, Fault::None, start) {
        panic!("{failure}");
    }
}

/// The first seed of `seeds` whose history finds the planted fault.
pub fn first_to_find(
    fault: Fault,
    seeds: std::ops::Range<u64>,
    steps: usize,
    start: &impl Start,
) -> Option<u64> {
    let mut seeds = seeds;
    seeds.find(|seed| parted(&Case::random(*seed, steps), fault, start).is_err())
}

/// Whether subject and model, the model with a fault planted, part in a history.
pub fn parted(case: &Case, fault: Fault, start: &impl Start) -> Result<(), Failure> {
    let mut model = Model::folded(&case.layers, fault);
    let mut subject = start.start(&case.layers);
    let mut comparison = Comparison::new(subject.rules());
    compare_trees(&mut model, &mut subject, &mut comparison, None)?;
    let last = case.ops.len().saturating_sub(1);
    for (step, op) in case.ops.iter().enumerate() {
        apply(&mut model, &mut subject, &comparison, op)
            .map_err(|what| Failure { step: Some(step), what: vec![what] })?;
        if *op == Op::Remount {
            comparison.remounted();
        }
        if *op == Op::Remount || (step + 1) % case.tree_every == 0 || step == last {
            compare_trees(&mut model, &mut subject, &mut comparison, Some(step))?;
        }
    }
    let what = subject.end();
    if what.is_empty() { Ok(()) } else { Err(Failure { step: Some(last), what }) }
}

fn apply(
    model: &mut Model,
    subject: &mut impl Subject,
    comparison: &Comparison,
    op: &Op,
) -> Result<(), String> {
    let ours = model.apply(op);
    if subject.passes_over(op).is_some() {
        return Ok(());
    }
    if *op == Op::Remount {
        subject.remount();
        return Ok(());
    }
    let theirs = subject.apply(op);
    let what = match (&ours, &theirs) {
        (Ok(ours), Ok(theirs)) => comparison.outcome(ours, theirs),
        (Err(ours), Err(theirs)) if ours == theirs => None,
        _ => Some(format!("the model says {ours:?}, the subject {theirs:?}")),
    };
    what.map_or(Ok(()), |what| Err(format!("{op:?}: {what}")))
}

fn compare_trees(
    model: &mut Model,
    subject: &mut impl Subject,
    comparison: &mut Comparison,
    step: Option<usize>,
) -> Result<(), Failure> {
    let what = comparison.trees(&model.snapshot(), &subject.snapshot());
    if what.is_empty() { Ok(()) } else { Err(Failure { step, what }) }
}

fn tell(case: Case, failure: Failure, start: &impl Start) -> ! {
    println!("seed {} parts {failure}", case.seed);
    for (step, op) in case.ops.iter().enumerate() {
        println!("{step:4} {op:?}");
    }
    let fails = |case: &Case| parted(case, Fault::None, start).is_err();
    // With a look after every step nothing depends on how many steps stand before.
    let closer = Case { tree_every: 1, ..case.clone() };
    let small = shrink::smallest(if fails(&closer) { closer } else { case }, fails);
    let why = parted(&small, Fault::None, start).err();
    println!("{}", code::test(&small));
    panic!("seed {} parts; as small as it gets {}", small.seed, why.unwrap_or(failure));
}
