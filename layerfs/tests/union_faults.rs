//! The union under faults: each of an operation's system calls refused, and the process killed at each of them.
//!
//! After each, the tree is seen as it was before the operation or as it is after it, by the union that met the fault and
//! by the next one; nothing is left in the work directory, no descriptor stays open and no lock held.
//!
//! What a death leaves is decided by the calls before it that changed something: dying at each call that changes, and after
//! the last, is dying at all of them. Every call that changes is refused, and of those that only look one of a dozen, from
//! another start for each operation; of two operations one is refused over an image and killed over directories, the other
//! the other way round. `LAYERFS_SOAK=1` does all of it over both, at all calls and with each error.
#![cfg(feature = "fault")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)] // a test that can't go on should fail there

mod kit;
#[path = "union_faults/lab.rs"]
mod lab;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use kit::deeds::{DEEDS, Deed, Way};
use kit::forms::Form;
use kit::ground::Side;
use kit::task;
use lab::{Lab, MARKER, Measure, Memory, told};
use layerfs_driver::sys::Errno;
use layerfs_driver::sys::fault::{Plan, with_plan};
use support::{figure, soak, watchdog};

/// Deeds that need no prepared upper, and make the first entry of an unused one's index of hard links.
const FIRST_ENTRIES: [&str; 5] = [
    "write to a group",
    "chmod a group",
    "open and empty a group",
    "unlink a group's name",
    "rename a file over a group's name",
];

/// The errors that calls answer, by turns.
const ERRORS: [Errno; 4] = [Errno::IO, Errno::NOSPC, Errno::MFILE, Errno::INTR];

/// That the machine can have no more files open (ENFILE) only those calls meet that open one. To fill its table in earnest
/// would disturb all that runs on it.
const OPENING: &str = "openat";

/// Of calls that only look, one of so many is refused without the full matrix.
const LOOKS: usize = 12;

/// After so many faults one after the other that no call met, of mounts that know nothing and of such that know all, there are no
/// more calls.
const VAIN: usize = 3 * ERRORS.len();

/// Calls that change nothing.
const LOOKING: [&str; 16] = [
    "newfstatat",
    "fstat",
    "statx",
    "lgetxattr",
    "fgetxattr",
    "llistxattr",
    "flistxattr",
    "getdents64",
    "pread64",
    "read",
    "readlinkat",
    "openat2",
    "fcntl",
    "lseek",
    "fstatfs",
    "open_by_handle_at",
];

fn changes(call: &str) -> bool {
    !LOOKING.contains(&call)
}

/// The name of the n-th call, counted from one.
fn called(calls: &[&'static str], n: u64) -> Option<&'static str> {
    usize::try_from(n).ok().and_then(|n| calls.get(n - 1)).copied()
}

type Deeds<'a> = &'a mut dyn Iterator<Item = (usize, &'static Deed)>;

/// The deeds to try: all, or those that `LAYERFS_DEED` names a part of.
fn chosen() -> impl Iterator<Item = (usize, &'static Deed)> {
    let part = std::env::var("LAYERFS_DEED").unwrap_or_default();
    DEEDS.iter().enumerate().filter(move |(_, deed)| deed.name.contains(&part))
}

/// Whether a form of upper makes a difference to a deed.
fn differs(form: Form, (number, deed): (usize, &Deed)) -> bool {
    let has = |words: &[&str]| words.iter().any(|word| deed.name.contains(word));
    // A list and a recorded mode are two attributes: who dies between them leaves the new list and the old mode.
    if form == Form::Recorded && deed.name == "set a list of the root" {
        return false;
    }
    soak()
        || match form {
            Form::Usual => true,
            // A marked file can't be left by the rename itself: what is replaced meanwhile is the hard case.
            Form::MarkedWhiteouts if deed.name.starts_with("rename") && has(&[" over "]) => true,
            Form::MarkedWhiteouts | Form::WhNames => {
                has(&["whiteout", "unlink", "rmdir", "rename", "exchange"]) && number % 3 == 0
            }
            Form::Recorded => {
                has(&["owner", "user", "chown", "chmod", "symlink", "device", "list", "fifo"])
            }
            Form::Metacopy => has(&["lower file", "small", "large", "sparse", "deep"]),
            Form::Partial | Form::Blocks if has(&["write to", "chmod a", "copied-up"]) => true,
            Form::Partial | Form::Blocks => has(&["lower file", "group"]) && number % 3 == 0,
            Form::UserMarks | Form::Volatile | Form::BecomesPlain => number % 5 == 0,
        }
}

/// Runs what finds what is wrong, with the harness's words on panics kept back.
fn alone(lab: &Lab, tries: impl FnOnce(&Lab, &mut Vec<String>)) {
    let mut failures = Vec::new();
    std::panic::set_hook(Box::new(|_| {}));
    tries(lab, &mut failures);
    drop(std::panic::take_hook());
    failures.iter().take(40).for_each(|failure| eprintln!("{failure}"));
    let lost = failures.len();
    assert!(failures.is_empty(), "{lost} faults left something else than before or after");
}

/// The trees without a fault and the calls that are made; `None` where the form does not have the deed, or it is wrong.
fn measured(
    lab: &Lab,
    deed: &Deed,
    failures: &mut Vec<String>,
) -> Option<(Measure, Vec<&'static str>)> {
    match catch_unwind(AssertUnwindSafe(|| lab.measure(deed))) {
        Ok(measured) => measured,
        Err(panic) => {
            failures.push(format!("{} without a fault: {}", deed.name, told(&*panic)));
            None
        }
    }
}

/// The faults of a deed: the call to refuse, counted from one, and the error.
fn planned(number: usize, calls: &[&str]) -> Vec<(u64, Errno)> {
    let mut planned = Vec::new();
    let mut at = number;
    // They differ a little from one mount to the next: a few more than were counted.
    let more = std::iter::repeat_n("", if soak() { 40 } else { 3 });
    for ((n, index), call) in (1..).zip(1_usize..).zip(calls.iter().copied().chain(more)) {
        if soak() {
            planned.extend(ERRORS.map(|errno| (n, errno)));
            planned.extend((call == OPENING).then_some((n, Errno::NFILE)));
        } else if call == OPENING && index.is_multiple_of(2) {
            planned.push((n, Errno::NFILE));
        } else if changes(call) || (index + number).is_multiple_of(LOOKS) {
            at += 1;
            planned.push((n, ERRORS[at % ERRORS.len()]));
        }
    }
    planned
}

fn faults(lab: &Lab, deeds: Deeds<'_>, failures: &mut Vec<String>) {
    let (mut points, mut tried, mut fired, mut missing) = (0, 0, 0, 0);
    for (number, deed) in deeds {
        let Some((measure, calls)) = measured(lab, deed, failures) else {
            missing += 1;
            continue;
        };
        tried += 1;
        points += calls.len();
        let changing = calls.iter().filter(|call| changes(call)).count();
        if soak() {
            let (form, all) = (lab.form, calls.len());
            figure(format_args!("{form:?} {}: {all} calls, {changing} of them change", deed.name));
        }
        let mut vain = 0;
        for (at, fault) in planned(number, &calls).into_iter().enumerate() {
            if vain == VAIN {
                break;
            }
            let memory = if at % 2 == 0 { Memory::Cold } else { Memory::Warm };
            let one = AssertUnwindSafe(|| lab.try_fault(deed, &measure, fault, memory));
            match catch_unwind(one) {
                Ok(true) => (fired, vain) = (fired + 1, 0),
                Ok(false) => vain += 1,
                Err(panic) => failures.push(format!(
                    "{:?} {}, {:?} at {} ({:?}): {}",
                    lab.form,
                    deed.name,
                    fault.1,
                    fault.0,
                    called(&calls, fault.0),
                    told(&*panic)
                )),
            }
        }
    }
    let (side, form) = (lab.side, lab.form);
    figure(format_args!(
        "{side:?} {form:?}: points: {points}, of {tried} operations; {fired} refused, {missing} not had"
    ));
}

fn deaths(lab: &Lab, deeds: Deeds<'_>, failures: &mut Vec<String>) {
    let mut all = Vec::new();
    for (number, deed) in deeds {
        let Some((measure, calls)) = measured(lab, deed, failures) else { continue };
        let last = calls.len() as u64 + 1;
        let at = |n: &u64| called(&calls, *n);
        let chosen = (1..=last).filter(|n| soak() || *n == last || at(n).is_some_and(changes));
        let points: Vec<_> = chosen.map(|n| (n, at(&n))).collect();
        all.push((number, deed, measure, points));
    }
    let failed = Mutex::new(failures);
    let died = AtomicU64::new(0);
    // They die in processes of their own: two at once.
    let lane = |lane: usize| {
        for (number, deed, measure, points) in all.iter().skip(lane).step_by(2) {
            for (n, call) in points {
                match catch_unwind(AssertUnwindSafe(|| lab.try_death(*number, measure, *n))) {
                    Ok(true) => {
                        died.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(false) => break,
                    Err(panic) => failed.lock().unwrap().push(format!(
                        "{:?} {}, death at {n} ({call:?}): {}",
                        lab.form,
                        deed.name,
                        told(&*panic)
                    )),
                }
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| lane(0));
        scope.spawn(|| lane(1));
    });
    figure(format_args!("{:?} {:?}: deaths: {}", lab.side, lab.form, died.into_inner()));
}

/// Tries everything over one lower and one form of upper.
fn all_of(side: Side, form: Form) {
    support::need_root!();
    support::alone!();
    let _watch = watchdog(if soak() { 3600 } else { 600 });
    let lab = Lab::new(side, form);
    alone(&lab, |lab, failures| {
        // Both lowers share the operations out; a form has one lower and all of them.
        let is_shared = form == Form::Usual && !soak();
        let half = |rest| {
            chosen()
                .filter(move |deed| differs(form, *deed))
                .filter(move |(number, _)| !is_shared || number % 2 == rest)
        };
        let image = usize::from(side == Side::Image);
        faults(lab, &mut half(image), failures);
        deaths(lab, &mut half(1 - image), failures);
    });
}

#[test]
fn a_fault_over_an_image_leaves_the_tree_old_or_new() {
    all_of(Side::Image, Form::Usual);
}

#[test]
fn a_fault_over_directories_leaves_the_tree_old_or_new() {
    all_of(Side::Dirs, Form::Usual);
}

#[test]
fn a_fault_among_marked_whiteouts_leaves_the_tree_old_or_new() {
    all_of(Side::Image, Form::MarkedWhiteouts);
}

#[test]
fn a_fault_among_names_of_whiteouts_leaves_the_tree_old_or_new() {
    all_of(Side::Dirs, Form::WhNames);
}

#[test]
fn a_fault_among_marks_of_users_leaves_the_tree_old_or_new() {
    all_of(Side::Dirs, Form::UserMarks);
}

#[test]
fn a_fault_among_recorded_owners_leaves_the_tree_old_or_new() {
    all_of(Side::Image, Form::Recorded);
}

#[test]
fn a_fault_among_the_kernels_metacopies_leaves_the_tree_old_or_new() {
    support::need!("unshare");
    all_of(Side::Dirs, Form::Metacopy);
}

#[test]
fn a_fault_among_files_whose_data_stays_below_leaves_the_tree_old_or_new() {
    all_of(Side::Image, Form::Partial);
    all_of(Side::Image, Form::Blocks);
}

#[test]
fn a_fault_among_files_of_directories_whose_data_stays_below_leaves_the_tree_old_or_new() {
    all_of(Side::Dirs, Form::Partial);
    if soak() {
        all_of(Side::Dirs, Form::Blocks);
    }
}

#[test]
fn a_fault_where_nothing_is_synced_leaves_the_tree_old_or_new() {
    all_of(Side::Image, Form::Volatile);
}

#[test]
fn the_first_entry_of_the_index_leaves_the_tree_old_or_new() {
    support::need_root!();
    support::alone!();
    let _watch = watchdog(if soak() { 3600 } else { 600 });
    for side in [Side::Image, Side::Dirs].into_iter().take(if soak() { 2 } else { 1 }) {
        alone(&Lab::unused(side, Form::Usual), |lab, failures| {
            let first = || chosen().filter(|(_, deed)| FIRST_ENTRIES.contains(&deed.name));
            faults(lab, &mut first(), failures);
            deaths(lab, &mut first(), failures);
        });
    }
}

/// No call that changes something goes round the fault points: strace, which sees all of them, counts no more.
#[test]
fn every_change_that_strace_sees_has_a_fault_point() {
    support::need_root!();
    support::need!("strace");
    support::alone!();
    let _watch = watchdog(if soak() { 3600 } else { 240 });
    let lab = Lab::new(Side::Dirs, Form::Usual);
    // Of a thread's own life: nothing on disk.
    let own = ["close", "mmap", "munmap", "mprotect", "madvise", "brk", "futex", "gettid", "rt_"];
    let is_change = |name: &str| changes(name) && !own.iter().any(|own| name.starts_with(own));
    let (mut points, mut seen) = (0, 0);
    for (number, deed) in chosen().step_by(if soak() { 1 } else { 9 }) {
        let (_, calls) = lab.measure(deed).unwrap();
        let mut ours: Vec<&str> = calls.iter().copied().filter(|call| is_change(call)).collect();
        ours.iter_mut().filter(|call| **call == "futimens").for_each(|call| *call = "utimensat");
        let traced = lab.changes_by_strace(number);
        let mut theirs: Vec<&str> =
            traced.iter().map(String::as_str).filter(|call| is_change(call)).collect();
        // A strace that is older than the call has its number.
        theirs
            .iter_mut()
            .filter(|call| **call == "syscall_0x1c4")
            .for_each(|call| *call = "fchmodat2");
        ours.sort_unstable();
        theirs.sort_unstable();
        assert_eq!(ours, theirs, "{}", deed.name);
        (points, seen) = (points + ours.len(), seen + theirs.len());
    }
    assert!(seen > 50, "{seen} calls");
    figure(format_args!("{points} points that change something, {seen} such calls by strace"));
}

/// Not a test but the process that dies: nothing where no task is given.
#[test]
fn worker() {
    let Some((words, union, _)) = task::given() else { return };
    let [number, n] = &words[..] else { panic!("a task is a deed's number and a call to die at") };
    let deed = &DEEDS[number.parse::<usize>().unwrap()];
    let way = Way(&union);
    let held = deed.open.map(|(path, how, _)| way.open(path, how).unwrap());
    let plan = Plan::Die { n: n.parse().unwrap(), call: None };
    let marked = || assert!(!Path::new(MARKER).exists());
    marked();
    with_plan(plan, || (deed.act)(&way)).0.unwrap();
    marked();
    if let Some(handle) = held {
        union.release(handle);
    }
}
