//! A store with one image, for one thread: the command run there under a plan, and what is left there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::deed::Deed;
use crate::host::Host;
use crate::matrix::Fault;
use crate::support::groups::Groups;
use crate::support::{Photo, Scope, Scratch, machine, photograph};

/// A command that has not ended after so long hangs.
const SECONDS_MAX: &str = "20";

/// The exit status of timeout(1) for that.
const HANGS: i32 = 124;

/// So many lines tell of a call that was refused to each process: what the user asked for, and what could not be cleared up.
const TOLD_MAX: usize = 3;

/// What nobody takes for what it is until it is whole: a container, and a note for who waits.
const UNTOLD: [&str; 2] = ["store/containers/", "run/exits/"];

/// What a command answers with that was refused something.
const REFUSED: [i32; 4] = [1, 125, 126, 127];

/// The store, and how it was found.
pub struct Lane {
    deed: Deed,
    before: Photo,
    scratch: Scratch,
    groups: Groups,
    host: Option<Host>,
    files: BTreeSet<PathBuf>,
    /// How many calls the process has that has most of those that tell.
    pub points: u64,
}

impl Lane {
    /// After a first time without a fault: what that leaves on purpose is there.
    pub fn new(deed: Deed, verb: Option<&'static str>) -> Lane {
        let scratch = Scratch::new();
        let root = scratch.join("tree/bin");
        std::fs::create_dir_all(&root).unwrap();
        std::fs::write(scratch.join("tree/note"), vec![b'x'; 20_000]).unwrap();
        std::fs::create_dir(scratch.join("shown")).unwrap();
        std::fs::write(scratch.join("shown/file"), b"the host's").unwrap();
        let found = Command::new("sh").args(["-c", "command -v busybox"]).output().unwrap();
        let busybox = String::from_utf8(found.stdout).unwrap();
        std::fs::copy(busybox.trim(), root.join("busybox")).unwrap();
        let before = photograph(&Scope::Below(scratch.path().to_path_buf()));
        drop(layerfs_driver::store::Store::open(&scratch.join("store")).unwrap());
        let groups = Groups::of(&scratch.join("store/containers"));
        let host = deed.has_host().then(Host::new);
        let (files, points) = (BTreeSet::new(), 0);
        let mut lane = Lane { deed, before, scratch, groups, host, files, points };
        let tree = lane.scratch.join("tree");
        let imported = lane.layerfs(&["import", tree.to_str().unwrap(), "small"], None);
        assert!(imported.status.success(), "{imported:?}");
        lane.case(&Fault::count(verb));
        lane.files = lane.files_now();
        let report = std::fs::read_to_string(lane.report()).unwrap();
        let points = |line: &str| line.strip_prefix("points=")?.split(' ').next()?.parse().ok();
        lane.points = report.lines().filter_map(points).max().unwrap_or(0);
        lane
    }

    /// The network that plays the host, where the deed needs one.
    pub fn host(&self) -> Option<&Host> {
        self.host.as_ref()
    }

    /// The path that stands in the words of every process of the lane.
    pub fn mark(&self) -> &str {
        self.scratch.path().to_str().unwrap()
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.scratch.join(name)
    }

    /// Whether two files hold the same.
    pub fn are_equal(&self, one: &str, other: &str) -> bool {
        let read = |name| std::fs::read(self.join(name)).unwrap();
        read(one) == read(other)
    }

    /// `layerfs` in this store. The words say where: by them a process is known that it leaves.
    pub fn layerfs(&self, words: &[&str], fault: Option<&Fault>) -> Output {
        let mut command = match &self.host {
            Some(host) => host.enter(),
            None => Command::new("env"),
        };
        command.args(["timeout", "-k", "5", SECONDS_MAX, env!("CARGO_BIN_EXE_layerfs")]);
        command.arg("--root").arg(self.join("store")).arg("--runroot").arg(self.join("run"));
        command.args(words).env("LAYERFS_NETWORK", "none").env_remove("LAYERFS_FAULT");
        if let Some(fault) = fault {
            fault.put_in(&mut command, &self.report());
        }
        command.stdin(Stdio::null()).output().unwrap()
    }

    fn report(&self) -> PathBuf {
        self.join("report")
    }

    /// One case; answers whether anything happened.
    pub fn case(&self, fault: &Fault) -> bool {
        self.judge(fault).1
    }

    /// One case; answers what the command said.
    pub fn under(&self, fault: &Fault) -> Output {
        self.judge(fault).0
    }

    fn judge(&self, fault: &Fault) -> (Output, bool) {
        self.deed.prepare(self);
        std::fs::write(self.report(), b"").unwrap();
        let words = self.deed.words(self);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = self.layerfs(&words, Some(fault));
        let case = format!("{:?}, {fault}: {output:?}", self.deed);
        assert_ne!(output.status.code(), Some(HANGS), "{case} hangs");
        let went_well = self.deed.went_well(self, &output);
        assert!(went_well || !fault.is_harmless(), "{case}");
        assert_told(&output, went_well || fault.is_death(), &case);
        if self.deed.is_run() && !fault.is_death() {
            self.assert_left_is_told(&output, &case);
        }
        let happened =
            !went_well || std::fs::read_to_string(self.report()).unwrap().contains("fired=1");
        self.deed.assert_half(self, &output, &case);
        self.deed.recover(self, &case);
        self.collect(fault, &case);
        let left = self.left();
        assert!(left.is_empty(), "{case}: {left:#?} is left");
        photograph(&self.scope()).assert_same(&self.before);
        let shown = std::fs::read(self.join("shown/file")).unwrap();
        assert_eq!(shown, b"the host's", "{case}");
        (output, happened)
    }

    /// Nothing is there; what is on its way out is given a moment.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert_eq!(self.left(), [] as [&str; 0]);
        photograph(&self.scope()).assert_same(&self.before);
    }

    /// What a refused command leaves until the next one has a line beside that of the failure, but for names that are not whole.
    fn assert_left_is_told(&self, output: &Output, case: &str) {
        let told = output.stderr.split(|byte| *byte == b'\n').count() - 1;
        let file = |name| format!("file {}", self.join(name).display());
        let (untold, volumes) = (UNTOLD.map(file), file("store/volumes"));
        let mut left = self.left();
        left.retain(|line| *line != volumes && !untold.iter().any(|name| line.starts_with(name)));
        let lines = if output.status.success() { 1 } else { 2 };
        assert!(left.is_empty() || told >= lines, "{case}: {left:#?} is left, and not told");
    }

    fn scope(&self) -> Scope {
        Scope::Below(self.scratch.path().to_path_buf())
    }

    /// The volume of a container has gone with it. One whose removal was refused is told, and is one for `volume prune`. The record of
    /// where an upper lay, which `cp` makes, is one for `gc`.
    fn collect(&self, fault: &Fault, case: &str) {
        let [volumes, uppers] = ["store/volumes", "store/uppers"].map(|name| self.join(name));
        if volumes.exists() || !machine::entries(&uppers).is_empty() {
            assert!(self.layerfs(&["gc"], None).status.success(), "{case}");
        }
        if !volumes.exists() {
            return;
        }
        if !fault.is_death() {
            assert!(self.layerfs(&["volume", "prune", "-f"], None).status.success(), "{case}");
        }
        let left = machine::entries(&volumes);
        assert!(left.is_empty(), "{case}: {left:?} is left");
        std::fs::remove_dir(&volumes).unwrap();
    }

    /// What is there that was not before, one line each, but for what a picture of the machine shows.
    pub fn left(&self) -> Vec<String> {
        let now = self.files_now();
        let files = now.difference(&self.files).map(|path| format!("file {}", path.display()));
        let groups = self.groups.left();
        let groups = groups.iter().map(|group| format!("group {}", group.display()));
        let host = self.host.iter().flat_map(Host::left);
        // Of the first time all of its files are new.
        let files = files.filter(|_| !self.files.is_empty());
        files.chain(groups).chain(host).collect()
    }

    /// The same, and what the picture shows.
    pub fn all_left(&self) -> Vec<String> {
        let shown = photograph(&self.scope()).differences(&self.before);
        self.left().into_iter().chain(shown).collect()
    }

    /// All names below the store and the directory of what is running.
    fn files_now(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        let mut dirs = vec![self.join("store"), self.join("run")];
        while let Some(dir) = dirs.pop() {
            for path in machine::entries(&dir) {
                if path.is_dir() && !path.is_symlink() {
                    dirs.push(path.clone());
                }
                found.insert(path);
            }
        }
        found
    }
}

/// A failure has its status and its line, or two where more than one process tells of it, and each is one of ours.
fn assert_told(output: &Output, may_be_silent: bool, case: &str) {
    let lines = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(lines.lines().all(|line| line.starts_with("layerfs: ")), "{case}");
    assert!(!lines.contains("panicked"), "{case}");
    if !may_be_silent {
        assert!(output.status.code().is_some_and(|status| REFUSED.contains(&status)), "{case}");
        // In a container's root there is no place for it.
        let told = lines.lines().filter(|line| !line.contains("fault report"));
        assert!((1..=TOLD_MAX).contains(&told.count()), "{case}");
    }
}
