//! The union under faults: each of an operation's system calls refused, and the process killed at each of them.
//!
//! After each, the tree is seen as it was before the operation or as it is after it, by the union that met the fault and
//! by the next one; nothing is left in the work directory, no descriptor stays open and no lock held.
#![cfg(feature = "fault")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)] // a test that can't go on should fail there

mod kit;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use kit::deeds::{DEEDS, Deed, Way, prepare};
use kit::ground::{Ground, Side, copy, joined, leftovers, lower_of};
use kit::seen::{Lenience, Tree};
use layerfs_driver::lower::{ImageTree, Lower};
use layerfs_driver::store::Store;
use layerfs_driver::store::digest::Digest;
use layerfs_driver::sys::Errno;
use layerfs_driver::sys::fault::{Outcome, Plan, with_plan};
use layerfs_driver::union::{Union, UnionError};
use support::{Scratch, figure, watchdog};

/// Tells the worker what to do: the operation's number, the point to die at, the upper, the lower.
const TASK: &str = "LAYERFS_UNION_FAULTS_TASK";

/// One test at a time: descriptors are counted.
static ALONE: Mutex<()> = Mutex::new(());

struct Lab {
    scratch: Scratch,
    ground: Ground,
}

/// What an operation is measured by.
struct Measure {
    before: Tree,
    after: Tree,
}

/// What calls are answered instead of being made.
#[derive(Clone, Copy)]
struct Fault {
    errno: Errno,
    /// Only calls of this name.
    call: Option<&'static str>,
}

const fn of_any(errno: Errno) -> Fault {
    Fault { errno, call: None }
}

/// Errors, each in a lane of its own. That the machine can have no more files open (ENFILE) only those calls meet that open
/// one; to fill the machine's table in earnest would disturb all that runs on it.
const FAULTS: [Fault; 5] = [
    of_any(Errno::IO),
    of_any(Errno::NOSPC),
    of_any(Errno::MFILE),
    of_any(Errno::INTR),
    Fault { errno: Errno::NFILE, call: Some("openat") },
];

/// What is done with the union that met the fault, before the next one is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Nothing,
    /// Names are made and removed in every directory.
    Probe,
    /// The operation is tried again.
    Again,
}

/// What the union knows when the fault comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Memory {
    /// Nothing: the first operation of a mount.
    Cold,
    /// Every directory, and every name that has an object.
    Warm,
}

/// Deeds that need no prepared upper, and make the first entry of an unused one's index of hard links.
const FIRST_ENTRIES: [&str; 4] = [
    "write to a group",
    "chmod a group",
    "unlink a group's name",
    "rename a file over a group's name",
];

impl Lab {
    fn new(side: Side) -> Lab {
        let lab = Lab::unused(side);
        prepare(&lab.ground.mount(&lab.base()));
        lab
    }

    /// One whose upper was mounted and not changed.
    fn unused(side: Side) -> Lab {
        let scratch = Scratch::new();
        let ground = Ground::new(scratch.path(), side);
        let lab = Lab { scratch, ground };
        drop(lab.ground.mount(&lab.base()));
        lab
    }

    fn base(&self) -> PathBuf {
        self.scratch.join("base")
    }

    fn place(&self) -> PathBuf {
        self.scratch.join("place")
    }

    fn fresh(&self) -> Union {
        copy(&self.base(), &self.place());
        self.ground.mount(&self.place())
    }

    fn again(&self) -> Tree {
        let union = self.ground.mount(&self.place());
        assert_eq!(leftovers(&self.place()), Vec::<PathBuf>::new(), "left after the next mount");
        Tree::of(&union)
    }

    /// The trees without a fault, and how many points there are.
    fn measure(&self, deed: &Deed) -> (Measure, u64) {
        let before = Tree::of(&self.fresh());
        let union = self.fresh();
        let (result, outcome, after) = self.deed_done(&union, deed, Plan::Count);
        result.unwrap_or_else(|error| panic!("{}: {error}", deed.name));
        drop(union);
        let apart = after.differences(&self.again(), Lenience::None);
        assert!(apart.is_empty(), "{}: a new mount shows something else: {apart:#?}", deed.name);
        (Measure { before, after }, outcome.points)
    }

    /// Does a deed under a plan; what the union shows then. An open file has what it had.
    fn deed_done(
        &self,
        union: &Union,
        deed: &Deed,
        plan: Plan,
    ) -> (Result<(), UnionError>, Outcome, Tree) {
        let way = Way(union);
        let held = deed.open.map(|(path, how, bytes)| (way.open(path, how).unwrap(), bytes));
        let (result, outcome) = with_plan(plan, || (deed.act)(&way));
        let tree = Tree::of(union);
        if let Some((handle, bytes)) = held {
            let mut read = vec![0; bytes.len()];
            union
                .read(handle, &mut read, 0)
                .unwrap_or_else(|error| panic!("the open file can't be read: {error}"));
            assert_eq!(read, bytes, "the open file");
            union
                .attr_of_open(handle)
                .unwrap_or_else(|error| panic!("the open file has no attributes: {error}"));
            union.release(handle);
        }
        (result, outcome, tree)
    }

    /// One deed under one fault. `false` where the plan was past its end.
    fn try_fault(
        &self,
        deed: &Deed,
        measure: &Measure,
        (n, Fault { errno, call }): (u64, Fault),
        memory: Memory,
    ) -> bool {
        let open = descriptors();
        let union = self.fresh();
        if memory == Memory::Warm {
            drop(Tree::of(&union));
        }
        let (result, outcome, shown) =
            self.deed_done(&union, deed, Plan::Fail { n, errno, call: call.map(Into::into) });
        let is_after = match &result {
            Ok(()) => true,
            Err(error) => {
                assert!(errno != Errno::INTR, "an interrupted call is made again: {error}");
                assert_eq!(error.errno(), errno, "{error}");
                !shown.differences(&measure.before, Lenience::Times).is_empty()
            }
        };
        if is_after {
            // A group's count that can't be stored is too high by the name that went.
            let counts = result.is_ok() && deed.name.contains("group");
            let lenience = if counts { Lenience::Links } else { Lenience::Times };
            let apart = shown.differences(&measure.after, lenience);
            assert!(apart.is_empty(), "{result:?} and shows neither before nor after: {apart:#?}");
        }
        let next = match n % 3 {
            0 => Next::Probe,
            1 if !is_after => Next::Again,
            _ => Next::Nothing,
        };
        match next {
            Next::Nothing => {}
            Next::Probe => probe(&union, &shown),
            Next::Again => {
                let (again, _, then) = self.deed_done(&union, deed, Plan::Count);
                again.unwrap_or_else(|error| panic!("after {result:?}, once more: {error}"));
                let apart = then.differences(&measure.after, Lenience::Times);
                assert!(apart.is_empty(), "after {result:?}, once more: {apart:#?}");
            }
        }
        drop(union);
        let later = self.again();
        let (expected, lenience) = match next {
            Next::Nothing => (&shown, Lenience::None),
            Next::Probe => (&shown, Lenience::Times),
            Next::Again => (&measure.after, Lenience::Times),
        };
        let apart = later.differences(expected, lenience);
        assert!(apart.is_empty(), "{result:?} and a new mount shows something else: {apart:#?}");
        assert_eq!(descriptors(), open, "descriptors");
        outcome.fired
    }

    /// All faults of one kind for one deed.
    fn try_all(
        &self,
        (deed, measure, passed): (&Deed, &Measure, u64),
        (lane, fault): (u64, Fault),
        failures: &mut Vec<String>,
    ) {
        let memory = if lane % 2 == 0 { Memory::Cold } else { Memory::Warm };
        for n in 1.. {
            // Without the full matrix the errors share the points out; EIO is tried at all of them.
            let shares = if matches!(self.ground, Ground::Image(_)) { 2 } else { 5 };
            if !soak() && lane > 0 && n % shares != lane % shares {
                continue;
            }
            let tried = catch_unwind(AssertUnwindSafe(|| {
                self.try_fault(deed, measure, (n, fault), memory)
            }));
            match tried {
                Ok(true) => {}
                Ok(false) => return,
                Err(panic) => {
                    eprintln!(
                        "{}, {:?} at {n}: {}",
                        deed.name,
                        std::io::Error::from(fault.errno).kind(),
                        told(&*panic)
                    );
                    failures.push(deed.name.to_owned());
                }
            }
            if n > passed + 40 {
                failures.push(format!("{} does not end", deed.name));
                return;
            }
        }
    }

    /// Dies at the n-th point of a deed in another process. `false` where the plan was past its end.
    fn try_death(&self, number: usize, measure: &Measure, n: u64) -> bool {
        copy(&self.base(), &self.place());
        let mut words = vec![number.to_string(), n.to_string(), self.place().display().to_string()];
        words.extend(self.ground.words().iter().map(|word| word.display().to_string()));
        let ended = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "worker", "--nocapture", "--test-threads=1"])
            .env(TASK, words.join("\n"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        let fired = ended.signal() == Some(9);
        assert!(fired || ended.success(), "the worker: {ended}");
        let shown = self.again();
        let lenience =
            if DEEDS[number].name.contains("group") { Lenience::Links } else { Lenience::Times };
        let is_before = fired && shown.differences(&measure.before, lenience).is_empty();
        if !is_before {
            let apart = shown.differences(&measure.after, lenience);
            assert!(apart.is_empty(), "neither before nor after: {apart:#?}");
        }
        fired
    }
}

/// Makes and removes a name in every directory: whoever left a lock held is found by the watchdog.
fn probe(union: &Union, shown: &Tree) {
    let way = Way(union);
    for path in shown.directories() {
        let name = format!("{path}/~probe");
        way.file(&name).unwrap_or_else(|error| panic!("make {name}: {error}"));
        way.unlink(&name).unwrap_or_else(|error| panic!("remove {name}: {error}"));
    }
}

fn soak() -> bool {
    std::env::var_os("LAYERFS_SOAK").is_some_and(|value| value == "1")
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn told(panic: &(dyn std::any::Any + Send)) -> String {
    match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
        (Some(text), _) => text.clone(),
        (None, Some(text)) => (*text).to_owned(),
        (None, None) => "a panic".to_owned(),
    }
}

/// The deeds to try: all, or those that `LAYERFS_DEED` names a part of.
fn chosen() -> impl Iterator<Item = (usize, &'static Deed)> {
    let part = std::env::var("LAYERFS_DEED").unwrap_or_default();
    DEEDS.iter().enumerate().filter(move |(_, deed)| deed.name.contains(&part))
}

fn end(failures: &[String]) {
    for failure in failures.iter().take(40) {
        eprintln!("{failure}");
    }
    assert!(
        failures.is_empty(),
        "{} faults left something else than before or after",
        failures.len()
    );
}

fn faults(lab: fn(Side) -> Lab, side: Side, deeds: impl Iterator<Item = (usize, &'static Deed)>) {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let _watch = watchdog(1500);
    std::panic::set_hook(Box::new(|_| {}));
    let lab = lab(side);
    let (mut failures, mut points, mut tried) = (Vec::new(), 0, 0);
    for (_, deed) in deeds {
        tried += 1;
        let (measure, passed) = match catch_unwind(AssertUnwindSafe(|| lab.measure(deed))) {
            Ok(measured) => measured,
            Err(panic) => {
                failures.push(format!("{} without a fault: {}", deed.name, told(&*panic)));
                continue;
            }
        };
        points += passed;
        eprintln!("{}: {passed}", deed.name);
        for (lane, fault) in (0..).zip(FAULTS) {
            lab.try_all((deed, &measure, passed), (lane, fault), &mut failures);
        }
    }
    drop(std::panic::take_hook());
    figure(format_args!("{side:?}: points: {points}, of {tried} operations"));
    end(&failures);
}

fn deaths(lab: fn(Side) -> Lab, side: Side, deeds: impl Iterator<Item = (usize, &'static Deed)>) {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let _watch = watchdog(900);
    std::panic::set_hook(Box::new(|_| {}));
    let lab = lab(side);
    let (mut failures, mut died) = (Vec::new(), 0);
    for (number, deed) in deeds {
        let Ok((measure, _)) = catch_unwind(AssertUnwindSafe(|| lab.measure(deed))) else {
            failures.push(format!("{} without a fault", deed.name));
            continue;
        };
        // Directories are looked up by many more calls: without the full matrix every third is enough.
        let step = if soak() || side == Side::Image { 1 } else { 3 };
        for n in (1..).step_by(step) {
            match catch_unwind(AssertUnwindSafe(|| lab.try_death(number, &measure, n))) {
                Ok(true) => died += 1,
                Ok(false) => break,
                Err(panic) => {
                    failures.push(format!("{}, death at {n}: {}", deed.name, told(&*panic)))
                }
            }
            assert!(n < 1000, "{} does not end", deed.name);
        }
    }
    drop(std::panic::take_hook());
    figure(format_args!("{side:?}: deaths: {died}"));
    end(&failures);
}

#[test]
fn a_refused_call_over_an_image_leaves_the_tree_old_or_new() {
    support::need_root!();
    faults(Lab::new, Side::Image, chosen());
}

#[test]
fn a_refused_call_over_directories_leaves_the_tree_old_or_new() {
    support::need_root!();
    faults(Lab::new, Side::Dirs, chosen());
}

#[test]
fn a_death_over_an_image_leaves_the_tree_old_or_new() {
    support::need_root!();
    deaths(Lab::new, Side::Image, chosen());
}

#[test]
fn a_death_over_directories_leaves_the_tree_old_or_new() {
    support::need_root!();
    deaths(Lab::new, Side::Dirs, chosen());
}

#[test]
fn the_first_entry_of_the_index_leaves_the_tree_old_or_new() {
    support::need_root!();
    let first = || chosen().filter(|(_, deed)| FIRST_ENTRIES.contains(&deed.name));
    for side in [Side::Image, Side::Dirs] {
        faults(Lab::unused, side, first());
        deaths(Lab::unused, side, first());
    }
}

/// Not a test but the process that dies: nothing where no task is given.
#[test]
fn worker() {
    let Ok(task) = std::env::var(TASK) else { return };
    let words: Vec<&str> = task.lines().collect();
    let [number, n, place, lower @ ..] = &words[..] else { panic!("a task has more words") };
    let lower = match lower {
        [root, chain] if chain.starts_with("sha256:") => {
            let store = Store::open(Path::new(root)).unwrap();
            Lower::Image(ImageTree::open(&store, &Digest::parse(chain).unwrap()).unwrap())
        }
        dirs => lower_of(&dirs.iter().map(PathBuf::from).collect::<Vec<_>>()),
    };
    let union = joined(lower, Path::new(place));
    let deed = &DEEDS[number.parse::<usize>().unwrap()];
    let way = Way(&union);
    let held = deed.open.map(|(path, how, _)| way.open(path, how).unwrap());
    let plan = Plan::Die { n: n.parse().unwrap(), call: None };
    with_plan(plan, || (deed.act)(&way)).0.unwrap();
    if let Some(handle) = held {
        union.release(handle);
    }
}
