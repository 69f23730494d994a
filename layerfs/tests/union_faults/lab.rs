//! Owns one upper over one lower that deeds are tried on under faults, and what must hold after each.

use std::path::{Path, PathBuf};
use std::process::Command;

use layerfs_driver::sys::Errno;
use layerfs_driver::sys::fault::{Outcome, Plan, traced, with_plan};
use layerfs_driver::union::{Union, UnionError};

use super::kit::copy::copy;
use super::kit::deeds::{DEEDS, Deed, Way, prepare};
use super::kit::forms::{Form, by_the_kernel};
use super::kit::ground::{Ground, Side, leftovers};
use super::kit::seen::{Lenience, Tree};
use super::kit::task;
use super::support::Scratch;

/// What the worker looks for before a deed and after it: strace sees it.
pub const MARKER: &str = "/~a deed of union_faults~";

pub struct Lab {
    scratch: Scratch,
    ground: Ground,
    pub side: Side,
    pub form: Form,
}

/// What an operation is measured by.
pub struct Measure {
    before: Tree,
    after: Tree,
}

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
pub enum Memory {
    /// Nothing: the first operation of a mount.
    Cold,
    /// Every directory, and every name that has an object.
    Warm,
}

impl Lab {
    pub fn new(side: Side, form: Form) -> Lab {
        let lab = Lab::unused(side, form);
        prepare(&lab.mounted(&lab.base()), form);
        lab
    }

    /// One whose upper was mounted and not changed by us.
    pub fn unused(side: Side, form: Form) -> Lab {
        let scratch = Scratch::new();
        let ground = Ground::new(scratch.path(), side);
        let lab = Lab { scratch, ground, side, form };
        if let (Ground::Dirs(dirs), Form::Metacopy) = (&lab.ground, form) {
            by_the_kernel(dirs, &lab.base());
        }
        drop(lab.mounted(&lab.base()));
        lab
    }

    fn mounted(&self, place: &Path) -> Union {
        self.ground.mount_as(place, self.form)
    }

    fn base(&self) -> PathBuf {
        self.scratch.join("base")
    }

    /// Where this thread tries what it tries.
    fn place(&self) -> PathBuf {
        self.scratch.join(format!("place-{:?}", std::thread::current().id()))
    }

    fn fresh(&self) -> Union {
        copy(&self.base(), &self.place());
        self.mounted(&self.place())
    }

    fn again(&self) -> Tree {
        let union = self.mounted(&self.place());
        assert_eq!(leftovers(&self.place()), Vec::<PathBuf>::new(), "left after the next mount");
        Tree::of(&union)
    }

    /// The trees without a fault, and which calls there are; `None` where an upper of this form refuses the deed.
    pub fn measure(&self, deed: &Deed) -> Option<(Measure, Vec<&'static str>)> {
        let before = Tree::of(&self.fresh());
        let union = self.fresh();
        let held = deed.open.map(|(path, how, _)| Way(&union).open(path, how).unwrap());
        let (result, calls) = traced(|| (deed.act)(&Way(&union)));
        let after = Tree::of(&union);
        if let Some(handle) = held {
            union.release(handle);
        }
        drop(union);
        let apart = after.differences(&self.again(), self.lenience(Lenience::None));
        assert!(apart.is_empty(), "{}: a new mount shows something else: {apart:#?}", deed.name);
        match result {
            Ok(()) => Some((Measure { before, after }, calls)),
            Err(error) if self.refuses(&error) => {
                let apart = after.differences(&before, Lenience::Times);
                assert!(apart.is_empty(), "{}: refused ({error}), and {apart:#?}", deed.name);
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Where directories of the lower can't be renamed, that and what it prepared is refused.
    fn refuses(&self, error: &UnionError) -> bool {
        !self.form.has_redirects() && matches!(error.errno(), Errno::XDEV | Errno::NOENT)
    }

    /// What the form lets differ. Marks of users stand on files and directories alone, and so the numbers of other copies
    /// hold for the mount.
    fn lenience(&self, usual: Lenience) -> Lenience {
        match (self.form, usual) {
            (Form::UserMarks | Form::Recorded, Lenience::None) => Lenience::Times,
            (_, usual) => usual,
        }
    }

    /// The same after a death: a file that was not filled to its end may have the time of that.
    fn lenience_of_death(&self, usual: Lenience) -> Lenience {
        if self.form.has_data_below() { Lenience::Attempt } else { self.lenience(usual) }
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
    pub fn try_fault(
        &self,
        deed: &Deed,
        measure: &Measure,
        (n, errno): (u64, Errno),
        memory: Memory,
    ) -> bool {
        let open = descriptors();
        let union = self.fresh();
        if memory == Memory::Warm {
            drop(Tree::of(&union));
        }
        let (result, outcome, shown) =
            self.deed_done(&union, deed, Plan::Fail { n, errno, call: None });
        let is_after = match &result {
            Ok(()) => true,
            Err(error) => {
                assert!(errno != Errno::INTR, "an interrupted call is made again: {error}");
                assert_eq!(error.errno(), errno, "{error}");
                !shown.differences(&measure.before, self.lenience(Lenience::Times)).is_empty()
            }
        };
        // Whoever may not open a file, or empty it by its size, has not emptied it.
        let empties = deed.name.starts_with("open and empty") || deed.name == "empty a lower file";
        assert!(!(is_after && result.is_err() && empties), "{result:?} and the file was emptied");
        if is_after {
            // A group's count that can't be stored is too high by the name that went.
            let counts = result.is_ok() && deed.name.contains("group");
            let lenience = if counts { Lenience::Links } else { Lenience::Times };
            let apart = shown.differences(&measure.after, self.lenience(lenience));
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
                let apart = then.differences(&measure.after, self.lenience(Lenience::Times));
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
        let apart = later.differences(expected, self.lenience(lenience));
        assert!(apart.is_empty(), "{result:?} and a new mount shows something else: {apart:#?}");
        assert_eq!(descriptors(), open, "descriptors");
        outcome.fired
    }

    /// The calls that change something which strace sees of a deed, by name.
    pub fn changes_by_strace(&self, number: usize) -> Vec<String> {
        copy(&self.base(), &self.place());
        let trace = self.scratch.join("trace");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o"]).arg(&trace).arg(std::env::current_exe().unwrap());
        let words = [number.to_string(), u64::MAX.to_string()];
        let (place, words) = (self.place(), [&*words[0], &*words[1]]);
        let mut worker = task::worker(strace, &self.ground, (&place, self.form), &words);
        let done = worker.status().unwrap();
        assert!(done.success(), "the worker: {done}");
        let text = std::fs::read_to_string(trace).unwrap();
        let marked = |line: &&str| line.contains(MARKER);
        let of_deed = text.lines().skip_while(|line| !marked(line)).skip(1);
        let of_deed = of_deed.take_while(|line| !marked(line));
        // A number of the thread stands first.
        let names = of_deed.filter_map(|line| line.split_whitespace().nth(1)?.split_once('('));
        names.map(|(name, _)| named_as_ours(name).to_owned()).collect()
    }

    /// Dies at the n-th point of a deed in another process. `false` where the plan was past its end.
    pub fn try_death(&self, number: usize, measure: &Measure, n: u64) -> bool {
        copy(&self.base(), &self.place());
        let words = [number.to_string(), n.to_string()];
        let place = self.place();
        let fired = task::dies(&self.ground, (&place, self.form), &[&words[0], &words[1]]);
        let shown = self.again();
        let lenience =
            if DEEDS[number].name.contains("group") { Lenience::Links } else { Lenience::Times };
        let is_before = fired
            && shown.differences(&measure.before, self.lenience_of_death(lenience)).is_empty();
        if !is_before {
            let apart = shown.differences(&measure.after, self.lenience_of_death(lenience));
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

/// What the fault point of a call is named. Some versions of strace know the newest calls by number only.
fn named_as_ours(name: &str) -> &str {
    match name {
        "setxattrat" | "syscall_0x1cf" => "lsetxattr",
        "getxattrat" | "syscall_0x1d0" => "lgetxattr",
        "listxattrat" | "syscall_0x1d1" => "llistxattr",
        "removexattrat" | "syscall_0x1d2" => "lremovexattr",
        other => other,
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

pub fn told(panic: &(dyn std::any::Any + Send)) -> String {
    match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
        (Some(text), _) => text.clone(),
        (None, Some(text)) => (*text).to_owned(),
        (None, None) => "a panic".to_owned(),
    }
}
