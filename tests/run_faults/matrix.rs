//! Which calls are refused, or died at, and how often: every one in a soak, a share of them else.

use std::fmt;
use std::path::Path;
use std::process::Command;

use crate::deed::Deed;
use crate::lane::Lane;
use crate::support::{figure, soak};

/// So many calls in a row at which nothing happens: none of the processes has that many.
const QUIET_MAX: u64 = 25;

/// A plan, and for whom.
#[derive(Clone, Debug)]
pub struct Fault {
    plan: String,
    /// A word of those that it is for; none for all.
    verb: Option<&'static str>,
}

impl Fault {
    /// Calls are counted.
    pub fn count(verb: Option<&'static str>) -> Fault {
        Fault::of("count", verb)
    }

    pub fn of(plan: &str, verb: Option<&'static str>) -> Fault {
        Fault { plan: plan.to_owned(), verb }
    }

    /// Whether a process dies.
    pub fn is_death(&self) -> bool {
        self.plan.starts_with("die")
    }

    /// Whether calls are only counted, or one is interrupted, which is made again.
    pub fn is_harmless(&self) -> bool {
        self.plan == "count" || self.plan.ends_with("EINTR")
    }

    /// Tells the command.
    pub fn put_in(&self, command: &mut Command, report: &Path) {
        command.env("LAYERFS_FAULT", &self.plan).env("LAYERFS_FAULT_REPORT", report);
        if let Some(verb) = self.verb {
            command.env("LAYERFS_FAULT_VERB", verb);
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", self.plan, self.verb.unwrap_or("all"))
    }
}

/// A kind of fault.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The plan, `N` for the number of the call.
    pub plan: &'static str,
    /// The first call, and how many calls on the next is, without the full matrix; none where that is 0.
    pub share: (u64, u64),
}

impl Kind {
    /// Without the full matrix a call out of `every` is refused, another one died at, and some interrupted.
    pub fn all(every: u64) -> [Kind; 5] {
        [
            Kind { plan: "fail:N:EIO", share: (1, every) },
            Kind { plan: "die:N", share: (1 + every / 2, every) },
            Kind { plan: "fail:N:EINTR", share: (3, 4 * every) },
            Kind { plan: "fail:N:ENOSPC", share: (1, 0) },
            Kind { plan: "fail:N:EMFILE", share: (1, 0) },
        ]
    }

    /// Those of [`Lane`] number `lane` of two; answers the last call that was hit.
    fn cases(self, lane: &Lane, verb: Option<&'static str>, number: u64) -> u64 {
        let (first, every) = if soak() { (1, 1) } else { self.share };
        if every == 0 {
            return 0;
        }
        let (mut n, step, mut last) = (first + number * every, 2 * every, lane.points);
        while n <= last + QUIET_MAX + step {
            if lane.case(&Fault::of(&self.plan.replacen(":N", &format!(":{n}"), 1), verb)) {
                last = last.max(n);
            }
            n += step;
        }
        last
    }
}

/// Does a deed under each kind of faults of the processes that have that word; there have to be more than so many calls.
pub fn all_kinds(deed: Deed, kinds: &[Kind], verb: Option<&'static str>, points_min: u64) {
    let both = std::thread::scope(|scope| {
        let lanes = [0, 1].map(|number| {
            scope.spawn(move || {
                let lane = Lane::new(deed, verb);
                let last = |kind: &Kind| kind.cases(&lane, verb, number);
                kinds.iter().map(last).collect::<Vec<u64>>()
            })
        });
        lanes.map(|lane| lane.join().unwrap())
    });
    for ((kind, one), other) in kinds.iter().zip(&both[0]).zip(&both[1]) {
        let (points, every) = (one.max(other), if soak() { 1 } else { kind.share.1 });
        if every == 0 {
            continue;
        }
        let whom = verb.unwrap_or("all");
        figure(format_args!("{deed:?}, {whom}: {}: points: {points}, every {every}.", kind.plan));
        // Of those that are interrupted only a process that lives to tell it tells.
        let is_known = !kind.plan.ends_with("EINTR");
        assert!(
            !is_known || *points > points_min,
            "{deed:?}, {whom}: {points} points: where did they go?"
        );
    }
}
