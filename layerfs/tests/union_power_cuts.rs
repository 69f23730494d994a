//! Power cuts during changes of a union, on ext4 and XFS: what is seen then is what one of the steps left, none is half
//! done, and what was synced is there.
//!
//! The process dies at a call, and the file system is stopped without its journal's tail, unmounted and mounted again. At
//! every other cut another program has synced a file of its own between the two: that takes the names and sizes of others'
//! files to the disk, and not their contents. What was acknowledged is known on another disk.
#![cfg(feature = "fault")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)] // a test that can't go on should fail there

mod kit;
#[path = "union_power_cuts/steps.rs"]
mod steps;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use kit::deeds::Way;
use kit::ground::{Ground, Side, leftovers};
use kit::seen::{self, Tree};
use kit::task;
use layerfs_driver::sys::fault::{Plan, with_plan};
use steps::{DEEDS, Deed, Promise};
use support::power::{Switch, reboot};
use support::rights::have_loop_devices;
use support::{Scratch, figure, need, need_root, soak, watchdog};

/// One test at a time: a process that another is starting has this one's descriptors for a moment, and a file system that
/// is in use is not unmounted.
static ALONE: Mutex<()> = Mutex::new(());

/// A file system of its own with uppers in it, and what is not on it.
struct Lab {
    disk: Scratch,
    kind: Disk,
    elsewhere: Scratch,
    ground: Ground,
    switch: Switch,
    places: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    Ext4,
    Xfs,
}

/// How the worker ends, and what happens before the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    plan: &'static str,
    /// The call to die at.
    n: u64,
    other: Other,
}

/// What another program does between the death and the cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Other {
    Nothing,
    Syncs,
}

/// What a deed shows without a cut: before its first step, and after each.
struct Measure {
    shown: Vec<Tree>,
    points: u64,
}

impl Lab {
    fn new(kind: Disk, side: Side) -> Lab {
        let disk = match kind {
            Disk::Ext4 => Scratch::ext4(256),
            Disk::Xfs => Scratch::xfs(300),
        };
        let elsewhere = Scratch::new();
        let ground = Ground::new(elsewhere.path(), side);
        Lab { disk, kind, elsewhere, ground, switch: Switch::new(), places: 0 }
    }

    fn place(&mut self) -> PathBuf {
        self.places += 1;
        self.disk.join(format!("place-{}", self.places))
    }

    fn measure(&mut self, deed: &Deed) -> Measure {
        let place = self.place();
        let union = self.ground.mount(&place);
        let way = Way(&union);
        let mut measure = Measure { shown: vec![Tree::of(&union)], points: 0 };
        for step in deed.steps {
            let (done, outcome) = with_plan(Plan::Count, || (step.act)(&way));
            done.unwrap_or_else(|error| panic!("{}: {error}", deed.name));
            measure.points += outcome.points;
            measure.shown.push(Tree::of(&union));
        }
        measure
    }

    /// One deed and one cut: what is seen after it that must not be, and whether the worker died.
    fn try_cut(&mut self, number: usize, measure: &Measure, cut: Cut) -> (Vec<String>, bool) {
        let place = self.place();
        // The upper that the deed finds was mounted before, and all of it is on the disk.
        drop(self.ground.mount(&place));
        synced(self.disk.path());
        self.switch.ready(self.disk.path());
        let acknowledged = self.elsewhere.join("acknowledged");
        std::fs::write(&acknowledged, "0").unwrap();
        let died = self.work((number, cut), &place, &acknowledged);
        if cut.other == Other::Syncs {
            let other = File::create(self.disk.join("other")).unwrap();
            other.sync_all().unwrap();
        }
        self.switch.cut();
        reboot(&self.disk);
        let steps: usize = std::fs::read_to_string(&acknowledged).unwrap().parse().unwrap();
        assert!(died || steps == DEEDS[number].steps.len(), "the worker did {steps} steps");
        (self.wrong(&DEEDS[number], measure, (&place, steps)), died)
    }

    /// Runs the worker; `false` where it came to its end.
    fn work(&self, (number, cut): (usize, Cut), place: &Path, acknowledged: &Path) -> bool {
        let (number, n) = (number.to_string(), cut.n.to_string());
        let acknowledged = acknowledged.display().to_string();
        task::dies(&self.ground, place, &[&number, cut.plan, &n, &acknowledged])
    }

    /// What the next mount shows that it must not: it must be what one of the steps left, from the last on that promised
    /// to last.
    fn wrong(&self, deed: &Deed, measure: &Measure, (place, steps): (&Path, usize)) -> Vec<String> {
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let union = self.ground.mount(place);
            (Tree::of(&union), leftovers(place))
        }));
        let Ok((tree, left)) = seen else { return vec!["it can't be mounted and read".to_owned()] };
        let lasting = deed.steps[..steps].iter().rposition(|step| step.promise == Promise::Lasts);
        let first = lasting.map_or(0, |last| last + 1);
        let apart = measure.shown[first..].iter().map(|expected| differences(&tree, expected));
        let nearest = apart.min_by_key(Vec::len).unwrap_or_default();
        nearest.into_iter().chain(left.iter().map(|path| format!("{path:?} is left"))).collect()
    }
}

/// What differs. A time of change may be older or newer than what it is of, as in any file system, and a group may count
/// the name that was coming or going.
fn differences(tree: &Tree, expected: &Tree) -> Vec<String> {
    let timeless = |tree: &Tree| {
        let mut tree = tree.clone();
        tree.0.values_mut().for_each(|object| object.mtime = seen::When::Now);
        tree
    };
    timeless(tree).differences(&timeless(expected), seen::Lenience::Links)
}

fn synced(place: &Path) {
    let done = Command::new("sync").arg("-f").arg(place).status().unwrap();
    assert!(done.success(), "sync {}", place.display());
}

/// Cuts at calls spread over each deed, and after its last: at all of them in the full matrix.
fn cut_at_calls(mut lab: Lab) {
    let (mut cuts, mut failures) = (0, Vec::new());
    for (number, deed) in DEEDS.iter().enumerate() {
        let measure = lab.measure(deed);
        // They differ a little from one mount to the next: the last cut is well after the last call.
        let last = 2 * measure.points;
        let tries = if soak() { measure.points } else { 12 };
        let spread = (0..tries).map(|at| 1 + (2 * at + 1) * measure.points / (2 * tries));
        for (at, n) in (number..).zip(spread.chain([last])) {
            let others = [Other::Syncs, Other::Nothing];
            // Nothing that was not synced itself is to be found without another's sync: one in four is enough.
            let chosen = if soak() || n == last {
                &others[..]
            } else {
                &others[usize::from(at % 4 == 0)..][..1]
            };
            for other in chosen.iter().copied() {
                let (wrong, died) = lab.try_cut(number, &measure, Cut { plan: "die", n, other });
                assert!(!died || n < last, "{} does not end", deed.name);
                cuts += 1;
                if !wrong.is_empty() {
                    failures.push(format!(
                        "{}, call {n} of about {}, {other:?}: {wrong:#?}",
                        deed.name, measure.points
                    ));
                }
            }
        }
    }
    figure(format_args!("{cuts} cuts in {} deeds", DEEDS.len()));
    assert!(failures.is_empty(), "{} of {cuts} cuts: {}", failures.len(), failures.join("\n"));
}

/// The controls: where syncs do nothing, a copy that has its name has not its contents once another program synced, and
/// what was acknowledged is gone where none did. XFS writes a file's data out when its size is set, as a copy's is.
fn without_syncs_something_is_lost(mut lab: Lab) {
    let copies = ("chmod a lower file", Other::Syncs);
    let acknowledged =
        ["write to a lower file", "unlink lower files", "rename a lower directory and change it"];
    let acknowledged = acknowledged.map(|name| (name, Other::Nothing));
    let copies = (lab.kind == Disk::Ext4).then_some(copies);
    for (name, other) in copies.into_iter().chain(acknowledged) {
        let number = DEEDS.iter().position(|deed| deed.name == name).unwrap();
        let measure = lab.measure(&DEEDS[number]);
        let cut = Cut { plan: "ignore-syncs", n: 0, other };
        let (wrong, _) = lab.try_cut(number, &measure, cut);
        let case = format!("{name} on {:?}, {other:?}", lab.kind);
        assert!(
            !wrong.is_empty(),
            "{case}: nothing synced, nothing lost: these cuts prove nothing"
        );
    }
}

fn on_both(test: fn(Lab)) {
    need!("python3", "mkfs.ext4", "mkfs.xfs");
    need_root!();
    if !have_loop_devices() {
        return;
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let _watch = watchdog(if soak() { 7200 } else { 240 });
    for (disk, side) in [
        (Disk::Ext4, Side::Image),
        (Disk::Xfs, Side::Dirs),
        (Disk::Ext4, Side::Dirs),
        (Disk::Xfs, Side::Image),
    ]
    .into_iter()
    .take(if soak() { 4 } else { 2 })
    {
        test(Lab::new(disk, side));
    }
}

#[test]
fn a_power_cut_at_any_call_of_a_change_leaves_the_tree_old_or_new() {
    on_both(cut_at_calls);
}

#[test]
fn a_change_that_does_not_sync_loses_something_to_a_power_cut() {
    on_both(without_syncs_something_is_lost);
}

/// Not a test but the process that dies: nothing where no task is given.
#[test]
fn worker() {
    let Some((words, union)) = task::given() else { return };
    let [number, plan, n, acknowledged] = &words[..] else {
        panic!("a task is a deed's number, its plan, the call, and where it acknowledges")
    };
    let plan = match &**plan {
        "ignore-syncs" => Plan::IgnoreSyncs,
        _ => Plan::Die { n: n.parse().unwrap(), call: None },
    };
    let way = Way(&union);
    let steps = || {
        for (done, step) in (1..).zip(DEEDS[number.parse::<usize>().unwrap()].steps) {
            (step.act)(&way).unwrap();
            std::fs::write(acknowledged, format!("{done}")).unwrap();
        }
    };
    with_plan(plan, steps);
}
