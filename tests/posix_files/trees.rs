//! One lower tree in four forms on one disk (a plain directory, kernel overlayfs, an image's mount, a mount of directories),
//! and one script whose answers in each are compared line by line.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::peer::{self, Peer};
use crate::support::suites::figures;
use crate::support::{Photo, Scope, Scratch, machine, photograph, rights, soak, watchdog};

/// What runs in one tree takes seconds; a hang is ended after this.
const LIMIT_S: u64 = 240;
/// What runs on fuse-overlayfs is ended after this, in a soak after five times as long.
const PEER_S: u64 = 60;

/// How long copies of mounts in namespaces of others are waited for.
const REMOUNT_PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// The file system that all four lie on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    Memory,
    Ext4,
    /// A file's attributes may be as long as the kernel takes them, and files share blocks.
    Xfs,
    /// An attribute fits into a block of 16 KiB; files share blocks, small ones have none.
    Btrfs,
}

/// An answer of ours that is neither a plain directory's nor kernel overlayfs's, with the reason that docs/semantics.md
/// gives. A line is told by how it begins.
pub type Differs<'a> = &'a [(&'a str, &'a str)];

/// The four trees. What was mounted goes with them.
pub struct Trees {
    disk: Scratch,
    script: PathBuf,
    io: Io,
    before: Photo,
    /// How many answers were compared, and how many each gave as a plain directory does.
    alike: RefCell<(usize, BTreeMap<&'static str, usize>)>,
}

/// The names of the trees, which are their directories; the last two are ours.
pub const NAMES: [&str; 4] = ["plain", "kernel", "image", "directories"];
/// What figures call all but the first.
const TOLD: [&str; 3] = ["kernel overlayfs", "layerfs image", "layerfs directories"];

/// Whose answers ours must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Like {
    /// A plain directory's.
    Plain,
    /// A plain directory's or kernel overlayfs's.
    PlainOrKernel,
    /// Kernel overlayfs's, where a plain directory has nothing to copy.
    Kernel,
}

/// How the lower comes into the image's store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Import {
    Directory,
    /// As tar writes it, which leaves holes out: of a directory they are read.
    SparseArchive,
    /// A directory in memory, whose attributes the disk need not be able to have.
    Memory,
}

/// Who reads and writes what is open in ours: the words of `io=`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Io {
    Auto,
    Cached,
    /// As `Auto`, of files whose attributes were set before: their data was left in the lower.
    Left,
}

/// The same where only the serving process reads and writes.
pub fn compare_cached(disk: Disk, script: &str, cases: &[&str], like: Like, differs: Differs<'_>) {
    compare_served(disk, script, cases, (like, differs, Io::Cached));
}

/// The same where the data of all files is still the lower's, though they have copies.
pub fn compare_left(disk: Disk, script: &str, cases: &[&str], like: Like, differs: Differs<'_>) {
    compare_served(disk, script, cases, (like, differs, Io::Left));
}

fn compare_served(
    disk: Disk,
    script: &str,
    cases: &[&str],
    (like, differs, io): (Like, Differs<'_>, Io),
) {
    let _watch = watchdog(LIMIT_S);
    if !rights::have_root() || !rights::have(&["python3", "mount"]) {
        return;
    }
    let Some(disk) = self::disk(disk, 512) else { return };
    let trees = Trees::served(disk, script, cases, (Import::Directory, io));
    for case in cases {
        trees.compare(case, like, differs);
    }
    trees.end();
}

/// Runs cases of `script` (below `tests`) in all four, and compares. Where that can't be done here the test is told as
/// skipped.
pub fn compare(disk: Disk, script: &str, cases: &[&str], like: Like, differs: Differs<'_>) {
    let _watch = watchdog(LIMIT_S);
    let Some(trees) = Trees::new(disk, script, cases) else { return };
    for case in cases {
        trees.compare(case, like, differs);
    }
    trees.end();
}

/// The disk, fresh; `None` where it can't be had and the test has been told as skipped.
pub fn disk(kind: Disk, size_mib: u32) -> Option<Scratch> {
    let tool = match kind {
        Disk::Memory => return Some(Scratch::new()),
        Disk::Ext4 => "mkfs.ext4",
        Disk::Xfs => "mkfs.xfs",
        Disk::Btrfs => "mkfs.btrfs",
    };
    if !rights::have_loop_devices() || !rights::have(&[tool]) {
        return None;
    }
    Some(match kind {
        Disk::Memory | Disk::Ext4 => Scratch::ext4(size_mib),
        Disk::Xfs => Scratch::xfs(size_mib),
        Disk::Btrfs => Scratch::btrfs(size_mib),
    })
}

impl Trees {
    /// Fills a directory of the lower for each case by the script, and makes the trees.
    pub fn new(kind: Disk, script: &str, cases: &[&str]) -> Option<Trees> {
        if !rights::have_root() || !rights::have(&["python3", "mount"]) {
            return None;
        }
        Some(Trees::on(disk(kind, 512)?, script, cases, Import::Directory))
    }

    /// The same on a disk that is there.
    pub fn on(disk: Scratch, script: &str, cases: &[&str], import: Import) -> Trees {
        Trees::served(disk, script, cases, (import, Io::Auto))
    }

    fn served(disk: Scratch, script: &str, cases: &[&str], (import, io): (Import, Io)) -> Trees {
        let before = photograph(&Scope::Below(disk.path().to_owned()));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(script);
        let trees = Trees { disk, script, io, before, alike: RefCell::default() };
        for dir in ["lower", "kernel-upper", "kernel-work", "upper", "work"].iter().chain(&NAMES) {
            std::fs::create_dir(trees.at(dir)).unwrap();
        }
        if import == Import::Memory {
            let mut mount = Command::new("mount");
            ran(mount.args(["-t", "tmpfs", "none"]).arg(trees.at("lower")));
        }
        for case in cases {
            for tree in ["lower", "plain"] {
                let at = trees.at(tree).join(case);
                std::fs::create_dir(&at).unwrap();
                trees.said("lower", &at);
            }
        }
        trees.mount(import);
        trees
    }

    fn mount(&self, import: Import) {
        let options = "lowerdir=lower,upperdir=kernel-upper,workdir=kernel-work,redirect_dir=on";
        let mut kernel = Command::new("mount");
        ran(kernel
            .args(["-t", "overlay", "overlay", "-o", options, "kernel"])
            .current_dir(self.disk.path()));
        match import {
            Import::Directory | Import::Memory => self.layerfs(&["import", "lower", "trees:1"]),
            Import::SparseArchive => {
                let mut tar = Command::new("tar");
                let words = ["--sparse", "-C", "lower", "-cf", "lower.tar", "."];
                ran(tar.args(words).current_dir(self.disk.path()));
                self.layerfs(&["import", "lower.tar", "trees:1"]);
            }
        }
        self.mount_ours();
    }

    fn mount_ours(&self) {
        let directories = "lowerdir=lower,upperdir=upper,workdir=work";
        if self.io == Io::Left {
            self.layerfs(&["mount", "--upper", "image-upper", "trees:1", "image"]);
            self.layerfs(&["mount", "-o", &format!("{directories},partial=on"), "directories"]);
            return self.leave_data();
        }
        if self.io == Io::Auto {
            self.layerfs(&["mount", "--upper", "image-upper", "trees:1", "image"]);
            return self.layerfs(&["mount", "-o", directories, "directories"]);
        }
        for dir in ["image-upper", "image-upper.work"] {
            std::fs::create_dir_all(self.at(dir)).unwrap();
        }
        let image = "upperdir=image-upper,workdir=image-upper.work,io=cached";
        self.layerfs(&["mount", "-o", image, "trees:1", "image"]);
        self.layerfs(&["mount", "-o", &format!("{directories},io=cached"), "directories"]);
    }

    /// Sets a time of each file to what it is.
    fn leave_data(&self) {
        for (tree, upper) in [("image", "image-upper"), ("directories", "upper")] {
            let script = format!(
                "find {tree} -type f -exec touch -har {{}} {{}} ';'; getfattr -Rhn trusted.overlay.metacopy {upper} 2>/dev/null | grep -c ="
            );
            let mut touched = Command::new("bash");
            let marked = ran(touched.args(["-c", &script]).current_dir(self.disk.path()));
            assert!(marked.trim().parse::<u32>().unwrap() > 0, "{tree}: {marked}");
        }
    }

    /// Ours, unmounted and mounted again: they show what is on the disk, and nothing that was remembered. Where a stranger's
    /// namespace holds copies of them, it is waited for.
    pub fn remount(&self) {
        for tree in &NAMES[2..] {
            self.layerfs(&["umount", tree]);
        }
        let ours = |mount: &machine::Mount| {
            NAMES[2..].iter().any(|tree| mount.point.starts_with(self.at(tree)))
        };
        let until = std::time::Instant::now() + REMOUNT_PATIENCE;
        while machine::mounts_everywhere().iter().any(|(_, mount)| ours(mount)) {
            assert!(std::time::Instant::now() < until, "a stranger's namespace holds the mounts");
            // tidy: allow(sleep) nothing tells when a stranger's namespace goes; what stays is told after the limit
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        self.mount_ours();
    }

    /// A path on the disk.
    pub fn at(&self, name: &str) -> PathBuf {
        self.disk.join(name)
    }

    pub fn layerfs(&self, words: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_layerfs"));
        command.args(words).env("LAYERFS_ROOT", self.at("store")).current_dir(self.disk.path());
        ran(&mut command);
    }

    /// What the script says of a case in one directory.
    pub fn said(&self, case: &str, at: &Path) -> Vec<String> {
        ran(&mut self.asked("python3", case, at)).lines().map(String::from).collect()
    }

    fn asked(&self, python: &str, case: &str, at: &Path) -> Command {
        let mut words = python.split(' ');
        let mut asked = Command::new(words.next().unwrap());
        asked.args(words).arg("-B").arg(&self.script).arg(case).arg(at);
        asked.env("PYTHONPATH", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support"));
        asked
    }

    /// What it says on fuse-overlayfs, as far as it comes there; each case has a mount of its own, and a lower: that one writes
    /// to files of its lower which were open before their copy-up.
    pub fn peer_said(&self, case: &str) -> Option<Vec<String>> {
        if !figures() {
            return None;
        }
        let limit_s = if soak() { 5 * PEER_S } else { PEER_S };
        let own = format!("peer-lower-{case}");
        let copied = Command::new("cp").arg("-a").arg(self.at("lower")).arg(self.at(&own)).output();
        // A path that is longer than cp(1) can say is in what no case of files goes into.
        let lower = if copied.unwrap().status.success() { own } else { "lower".to_owned() };
        let peer = Peer::mounted(self.disk.path(), &lower, limit_s)?;
        let python = format!("timeout --kill-after 5 {limit_s} python3");
        let mut asked = self.asked(&python, case, &peer.at.join(case));
        let output = asked.stdin(Stdio::null()).output().unwrap();
        Some(String::from_utf8_lossy(&output.stdout).lines().map(String::from).collect())
    }

    /// Counts what each answered as a plain directory did, wherever it stands among its answers.
    fn count(&self, plain: &[String], answers: &[(&'static str, &[String])]) {
        let (of, alike) = &mut *self.alike.borrow_mut();
        *of += plain.len();
        for (who, said) in answers {
            let mut said: Vec<_> = said.iter().collect();
            let take = |line: &String| {
                said.iter().position(|said| *said == line).map(|at| said.remove(at))
            };
            *alike.entry(who).or_default() += plain.iter().filter_map(take).count();
        }
    }

    /// Each answer of ours must be as it should, but for those that are written down; and those must be as they are written.
    pub fn compare(&self, case: &str, like: Like, differs: Differs<'_>) {
        let [plain, kernel, ours @ ..] =
            NAMES.map(|tree| self.said(case, &self.at(tree).join(case)));
        assert!(!plain.is_empty(), "{case} says nothing");
        assert_eq!(plain.len(), kernel.len(), "{case}: as many answers everywhere");
        let beside = self.peer_said(case);
        let [image, directories] = &ours;
        let mut answers: Vec<_> = TOLD.into_iter().zip([&*kernel, image, directories]).collect();
        answers.extend(beside.as_ref().map(|said| (peer::NAME, &**said)));
        self.count(&plain, &answers);
        let mut wrong = Vec::new();
        for (tree, ours) in NAMES[2..].iter().zip(&ours) {
            if ours.len() != plain.len() {
                wrong.push(format!(
                    "{tree}: {} answers, not {}: {ours:#?}",
                    ours.len(),
                    plain.len()
                ));
                continue;
            }
            for ((ours, plain), kernel) in ours.iter().zip(&plain).zip(&kernel) {
                let written = differs.iter().find(|(begin, _)| plain.starts_with(begin));
                let is_right = match (written, like) {
                    (Some((begin, rest)), _) => *ours == format!("{begin}{rest}"),
                    (None, Like::Plain) => ours == plain,
                    (None, Like::PlainOrKernel) => ours == plain || ours == kernel,
                    (None, Like::Kernel) => ours == kernel,
                };
                if !is_right {
                    wrong.push(format!(
                        "{tree}\n   ours   {ours}\n   plain  {plain}\n   kernel {kernel}"
                    ));
                }
            }
        }
        assert!(wrong.is_empty(), "{case}:\n{}", wrong.join("\n"));
    }

    /// Nothing is left of what failed, in neither of our work directories.
    pub fn assert_swept(&self) {
        for work in ["work/work", "image-upper.work/work"] {
            let left = std::fs::read_dir(self.at(work)).unwrap().flatten();
            let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
            let stays = ["#whiteout", "incompat"];
            let is_swept = left.iter().all(|name| stays.iter().any(|stays| name == stays));
            assert!(is_swept, "{work}: {left:?}");
        }
    }

    /// Unmounts, and sees to it that nothing is left. Tells what was counted.
    pub fn end(self) {
        let (of, alike) = self.alike.take();
        let counts = TOLD.into_iter().chain([peer::NAME]);
        let counts: Vec<_> = counts.filter_map(|who| Some((who, *alike.get(who)?))).collect();
        if of > 0 {
            peer::beside("answers of a plain directory", of, &counts);
        }
        for tree in &NAMES[2..] {
            self.layerfs(&["umount", tree]);
        }
        ran(Command::new("umount").arg(self.at("kernel")));
        if machine::mounts("self").iter().any(|mount| mount.point == self.at("lower")) {
            ran(Command::new("umount").arg(self.at("lower")));
        }
        let ours = |mount: &machine::Mount| {
            NAMES.iter().any(|tree| mount.point.starts_with(self.at(tree)))
        };
        assert!(!machine::mounts("self").iter().any(ours), "a mount is left");
        // A stranger's namespace that was made meanwhile holds copies of our mounts, and with them those who serve them.
        if !machine::mounts_everywhere().iter().any(|(_, mount)| ours(mount)) {
            photograph(&Scope::Below(self.disk.path().to_owned())).assert_same(&self.before);
        }
    }
}

/// Standard output of a command that must succeed.
pub fn ran(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
