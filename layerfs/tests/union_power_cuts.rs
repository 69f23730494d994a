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
use kit::forms::{Form, by_the_kernel, without_data};
use kit::ground::{Ground, Side, leftovers, shell};
use kit::seen::{self, Tree};
use kit::task;
use layerfs_driver::sys::fault::{Plan, with_plan};
use layerfs_driver::union::Union;
use layerfs_driver::upper::Upper;
use steps::{DEEDS, Deed, LARGE, Promise, number_of, of_form};
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
    form: Form,
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
    fn new(kind: Disk, side: Side, form: Form) -> Lab {
        let disk = match kind {
            Disk::Ext4 => Scratch::ext4(900),
            Disk::Xfs => Scratch::xfs(900),
        };
        let elsewhere = Scratch::new();
        let ground = Ground::new(elsewhere.path(), side);
        Lab { disk, kind, elsewhere, ground, form, switch: Switch::new(), places: 0 }
    }

    /// A new upper of the form, as a deed finds it.
    fn place(&mut self) -> PathBuf {
        self.places += 1;
        let place = self.disk.join(format!("place-{}", self.places));
        match (&self.ground, self.form) {
            (Ground::Dirs(dirs), Form::Metacopy) => by_the_kernel(dirs, &place),
            (_, Form::Partial | Form::Blocks) => without_data(&Way(&self.mounted(&place))).unwrap(),
            (_, Form::BecomesPlain) => self.changed_in_every_form(&place),
            _ => {}
        }
        place
    }

    /// Changes an upper while whiteouts are made in each form.
    fn changed_in_every_form(&self, place: &Path) {
        for (form, at) in [(Form::MarkedWhiteouts, "allgone"), (Form::WhNames, "moveme")] {
            let union = self.ground.mount_as(place, form);
            let way = Way(&union);
            way.unlink(&format!("{at}/one")).unwrap();
            way.mv(at, &format!("moved-{at}")).unwrap();
            way.mv("m", "d/m").unwrap_or_else(|_| way.mv("d/m", "mm").unwrap());
        }
        let union = self.ground.mount_as(place, Form::Usual);
        Way(&union).write("g2", b"GROUP", 0).unwrap();
    }

    fn mounted(&self, place: &Path) -> Union {
        self.ground.mount_as(place, self.form)
    }

    fn measure(&mut self, deed: &Deed) -> Measure {
        let place = self.place();
        let union = self.mounted(&place);
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
        let (place, steps, died) = self.cut(number, cut);
        let wrong = self.wrong(&DEEDS[number], measure, (&place, steps));
        std::fs::remove_dir_all(place).unwrap();
        (wrong, died)
    }

    /// Does a deed and cuts the power; answers the upper, how many steps were acknowledged, whether the worker died.
    fn cut(&mut self, number: usize, cut: Cut) -> (PathBuf, usize, bool) {
        let place = self.place();
        // The upper that the deed finds was mounted before, and all of it is on the disk.
        drop(self.mounted(&place));
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
        (place, steps, died)
    }

    /// Runs the worker; `false` where it came to its end.
    fn work(&self, (number, cut): (usize, Cut), place: &Path, acknowledged: &Path) -> bool {
        let (number, n) = (number.to_string(), cut.n.to_string());
        let acknowledged = acknowledged.display().to_string();
        task::dies(&self.ground, (place, self.form), &[&number, cut.plan, &n, &acknowledged])
    }

    /// What the next mount shows that it must not: it must be what one of the steps left, from the last on that promised
    /// to last.
    fn wrong(&self, deed: &Deed, measure: &Measure, (place, steps): (&Path, usize)) -> Vec<String> {
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let union = self.mounted(place);
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
fn cut_at_calls(lab: Lab) {
    let deeds = of_form(lab.form);
    let tries = if lab.form == Form::Usual { 6 } else { 4 };
    cut_deeds(lab, &deeds, tries);
}

fn cut_deeds(mut lab: Lab, deeds: &[usize], tries: u64) {
    let (mut cuts, mut failures) = (0, Vec::new());
    for number in deeds.iter().copied() {
        let deed = &DEEDS[number];
        let measure = lab.measure(deed);
        // They differ a little from one mount to the next: the last cut is well after the last call.
        let last = 2 * measure.points;
        let tries = if soak() { measure.points } else { tries };
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
    figure(format_args!("{:?} {:?}: {cuts} cuts in {} deeds", lab.kind, lab.form, deeds.len()));
    assert!(failures.is_empty(), "{} of {cuts} cuts: {}", failures.len(), failures.join("\n"));
}

/// Cuts of a control until something is lost, at most.
const CONTROLS: usize = 12;

/// The controls: where syncs do nothing, a copy that has its name has not its contents once another program synced, and
/// what was acknowledged is gone where none did. XFS begins to write a file's data when its size is set, as a copy's is, or
/// when a file whose size was set is closed, as a metacopy file is that was filled: what is written just then may be on its
/// way with it, what is appended is not.
fn without_syncs_something_is_lost(mut lab: Lab) {
    let acknowledged =
        ["write to a lower file", "unlink lower files", "rename a lower directory and change it"];
    let controls = match (lab.form, lab.kind) {
        (Form::Metacopy, Disk::Xfs) => {
            vec![("append to a lower file deep down", Other::Syncs)]
        }
        (Form::Metacopy, Disk::Ext4) => vec![("write to a lower file", Other::Syncs)],
        (Form::Partial, _) => vec![("write to a sparse file", Other::Syncs)],
        (Form::Recorded, _) => vec![("give a link and a device to others", Other::Syncs)],
        (_, kind) => {
            let copies = ("chmod a lower file", Other::Syncs);
            let copies = (kind == Disk::Ext4).then_some(copies);
            copies.into_iter().chain(acknowledged.map(|name| (name, Other::Nothing))).collect()
        }
    };
    for (name, other) in controls {
        let number = number_of(name);
        let measure = lab.measure(&DEEDS[number]);
        // The kernel may have written all of it by itself meanwhile, the more so where the machine does much else: what is lost
        // once can be lost.
        let is_lost = (0..CONTROLS).any(|_| {
            let cut = Cut { plan: "ignore-syncs", n: 0, other };
            !lab.try_cut(number, &measure, cut).0.is_empty()
        });
        let case = format!("{name} on {:?}, {:?}, {other:?}", lab.kind, lab.form);
        assert!(is_lost, "{case}: nothing synced, nothing lost: these cuts prove nothing");
    }
}

/// A volatile upper promises nothing but that it says so: whoever finds any of its changes finds the mark, too, and the
/// next mount is refused.
fn a_volatile_upper_says_so(mut lab: Lab) {
    for number in of_form(Form::Volatile) {
        let measure = lab.measure(&DEEDS[number]);
        for (n, other) in [
            (2 * measure.points, Other::Syncs),
            (2 * measure.points, Other::Nothing),
            (measure.points / 2, Other::Syncs),
        ] {
            let place = lab.cut(number, Cut { plan: "die", n, other }).0;
            let mark = place.join("work/work/incompat/volatile");
            assert!(mark.is_dir() || other == Other::Nothing, "{n}: the mark is lost");
            if !mark.is_dir() {
                let seen = Tree::of(&lab.mounted(&place));
                let apart = differences(&seen, &measure.shown[0]);
                assert!(apart.is_empty(), "no mark, and {apart:#?}");
                continue;
            }
            let upper = |place: &Path| {
                let open =
                    |name| layerfs_driver::sys::dir::open_path(place.join(name).as_path()).unwrap();
                Upper::open(open("upper"), &open("work"), Form::Usual.options())
            };
            let refused = upper(&place).unwrap_err().to_string();
            assert!(
                refused.contains("it was mounted volatile, and a crash since then"),
                "{refused}"
            );
            std::fs::remove_dir_all(&mark).unwrap();
            upper(&place).unwrap();
        }
    }
}

/// Runs a test on both file systems, over both lowers in the full matrix.
fn on_both(form: Form, test: fn(Lab)) {
    need!("python3", "mkfs.ext4", "mkfs.xfs", "unshare");
    need_root!();
    if !have_loop_devices() {
        return;
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let _watch = watchdog(if soak() { 7200 } else { 400 });
    let labs = [
        (Disk::Ext4, Side::Image),
        (Disk::Xfs, Side::Dirs),
        (Disk::Ext4, Side::Dirs),
        (Disk::Xfs, Side::Image),
    ];
    // What is a matter of directories is no matter of images.
    let is_of_dirs = matches!(form, Form::WhNames | Form::Metacopy | Form::BecomesPlain);
    let fit = labs.into_iter().filter(|(_, side)| *side == Side::Dirs || !is_of_dirs);
    for (disk, side) in fit.take(if soak() { 4 } else { 2 }) {
        test(Lab::new(disk, side, form));
    }
}

#[test]
fn a_power_cut_at_any_call_of_a_change_leaves_the_tree_old_or_new() {
    on_both(Form::Usual, cut_at_calls);
}

#[test]
fn a_power_cut_among_marked_whiteouts_leaves_the_tree_old_or_new() {
    on_both(Form::MarkedWhiteouts, cut_at_calls);
}

#[test]
fn a_power_cut_among_names_of_whiteouts_leaves_the_tree_old_or_new() {
    on_both(Form::WhNames, cut_at_calls);
}

#[test]
fn a_power_cut_among_marks_of_users_leaves_the_tree_old_or_new() {
    on_both(Form::UserMarks, cut_at_calls);
}

#[test]
fn a_power_cut_among_recorded_owners_leaves_the_tree_old_or_new() {
    on_both(Form::Recorded, cut_at_calls);
}

#[test]
fn a_power_cut_while_the_kernels_metacopies_are_filled_leaves_the_tree_old_or_new() {
    on_both(Form::Metacopy, cut_at_calls);
}

#[test]
fn a_power_cut_among_files_whose_data_stays_below_leaves_the_tree_old_or_new() {
    on_both(Form::Partial, cut_at_calls);
    on_both(Form::Blocks, cut_at_calls);
}

/// A copy of 100 MB has all of it before it has its name; where only metadata was copied, before the mark goes.
fn cut_large(lab: Lab) {
    // The file is made in directories: an image has what it was imported with.
    let lab = match lab.ground {
        Ground::Dirs(_) => lab,
        Ground::Image(_) => {
            let (kind, form) = (lab.kind, lab.form);
            drop(lab);
            Lab::new(kind, Side::Dirs, form)
        }
    };
    if let Ground::Dirs(dirs) = &lab.ground {
        let script = "yes 0123456789abcdef | head -c 100000000 > large; chmod 4755 large";
        shell(dirs.last().unwrap(), script);
    }
    cut_deeds(lab, &[number_of(LARGE)], 3);
}

#[test]
fn a_power_cut_leaves_a_large_copy_whole_or_not_there() {
    on_both(Form::Usual, cut_large);
    on_both(Form::Metacopy, cut_large);
    on_both(Form::Partial, cut_large);
}

#[test]
fn a_power_cut_while_an_upper_is_made_plain_leaves_what_it_showed() {
    on_both(Form::BecomesPlain, cut_at_calls);
}

#[test]
fn a_power_cut_of_a_volatile_upper_is_told() {
    on_both(Form::Volatile, a_volatile_upper_says_so);
}

#[test]
fn a_change_that_does_not_sync_loses_something_to_a_power_cut() {
    for form in [Form::Usual, Form::Metacopy, Form::Partial, Form::Recorded] {
        on_both(form, without_syncs_something_is_lost);
    }
}

/// Not a test but the process that dies: nothing where no task is given.
#[test]
fn worker() {
    let Some((words, union, form)) = task::given() else { return };
    let [number, plan, n, acknowledged] = &words[..] else {
        panic!("a task is a deed's number, its plan, the call, and where it acknowledges")
    };
    if form == Form::Volatile {
        union.upper().unwrap().mark_volatile().unwrap();
    }
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
