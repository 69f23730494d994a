//! The suites by which people judge a file system, on mounts beside kernel overlayfs of the same disk: pjdfstest, fsx.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that can't go on should fail there

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{Scratch, figure, need, need_root, rights, soak, suites, watchdog};

/// What runs on one mount takes seconds; a hang is ended after this.
const LIMIT_S: u64 = 300;
/// Bytes of the lower file that fsx changes.
const LOWER_BYTES: usize = 1 << 20;
/// Operations of fsx on one file; `LAYERFS_SOAK=1` makes a million of them.
const OPERATIONS: u64 = 50_000;

/// One disk with an image mounted, directories mounted and, for comparison, kernel overlayfs. The mounts go with it.
struct Ground {
    disk: Scratch,
}

impl Ground {
    fn new(disk: Scratch) -> Ground {
        let ground = Ground { disk };
        for dir in ["lower", "kernel-upper", "kernel-work", "upper", "work", "art"] {
            std::fs::create_dir(ground.at(dir)).unwrap();
        }
        let mut bytes = Vec::with_capacity(LOWER_BYTES);
        bytes.extend((0_u64..).flat_map(|n| (n * n).to_le_bytes()).take(LOWER_BYTES));
        std::fs::write(ground.at("lower/lower"), bytes).unwrap();
        ground.layerfs(&["import", "lower", "suites:1"]);
        ground.mount("image", &["mount", "suites:1"]);
        ground.mount("directories", &["mount", "-o", "lowerdir=lower,upperdir=upper,workdir=work"]);
        ground
    }

    fn at(&self, name: &str) -> PathBuf {
        self.disk.join(name)
    }

    fn layerfs(&self, words: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_layerfs"));
        command.args(words).env("LAYERFS_ROOT", self.at("store")).current_dir(self.disk.path());
        ran(&mut command);
    }

    fn mount(&self, name: &str, words: &[&str]) {
        std::fs::create_dir(self.at(name)).unwrap();
        self.layerfs(&[words, &[name]].concat());
    }

    /// Kernel overlayfs of the same lower directory.
    fn kernel(&self) -> PathBuf {
        let at = self.at("kernel");
        std::fs::create_dir(&at).unwrap();
        let options = "lowerdir=lower,upperdir=kernel-upper,workdir=kernel-work";
        let mut mount = Command::new("mount");
        mount.args(["-t", "overlay", "overlay", "-o", options, "kernel"]);
        ran(mount.current_dir(self.disk.path()));
        at
    }
}

fn ran(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The disks that are judged; the test is told as skipped where there are no loop devices.
fn disks() -> Vec<(&'static str, Scratch)> {
    if !rights::have_loop_devices() || !rights::have(&["mkfs.ext4", "mkfs.xfs"]) {
        return Vec::new();
    }
    vec![("ext4", Scratch::ext4(512)), ("XFS", Scratch::xfs(512))]
}

/// How each case of pjdfstest ended in a directory: `ok`, `FAILED` or `skipped`.
fn judged(pjdfstest: &Path, settings: &Path, at: &Path) -> BTreeMap<String, String> {
    let mut command = Command::new(pjdfstest);
    command.arg("-c").arg(settings).arg("-p").arg(at).stdin(Stdio::null());
    // It fails where one case fails, as some do everywhere.
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let (case, end) = (words.next()?, words.next()?);
        let ended = words.next().is_none() && ["ok", "FAILED", "skipped"].contains(&end);
        (ended && case.contains("::")).then(|| (case.to_owned(), end.to_owned()))
    };
    said.lines().filter_map(line).collect()
}

#[test]
fn pjdfstest_passes_wherever_kernel_overlayfs_passes() {
    need_root!();
    need!("mount");
    let Some(pjdfstest) = suites::pjdfstest() else { return };
    let _watch = watchdog(LIMIT_S);
    for (kind, disk) in disks() {
        let ground = Ground::new(disk);
        let settings = ground.at("pjdfstest.toml");
        std::fs::write(&settings, include_str!("posix_suites/pjdfstest.toml")).unwrap();
        let kernel = ground.kernel();
        let kernel = judged(&pjdfstest, &settings, &kernel);
        let passed = kernel.values().filter(|end| *end == "ok").count();
        assert!(passed >= 300, "kernel overlayfs on {kind} passes {passed} of {}", kernel.len());
        for name in ["image", "directories"] {
            let ours = judged(&pjdfstest, &settings, &ground.at(name));
            let worse: Vec<_> = kernel
                .iter()
                .filter(|(case, end)| *end == "ok" && ours.get(*case) != Some(end))
                .map(|(case, _)| case)
                .collect();
            assert!(worse.is_empty(), "{name} on {kind}: {worse:?}");
            let ok = ours.values().filter(|end| *end == "ok").count();
            figure(format_args!(
                "pjdfstest on {kind}, {name}: {ok} of {}, kernel overlayfs {passed}",
                ours.len()
            ));
        }
    }
}

#[test]
fn fsx_finds_nothing_in_a_new_file_and_in_a_copied_one() {
    need_root!();
    let Some(fsx) = suites::fsx() else { return };
    let operations = if soak() { 20 * OPERATIONS } else { OPERATIONS };
    let _watch = watchdog(LIMIT_S * if soak() { 20 } else { 1 });
    for (kind, disk) in disks() {
        let ground = Ground::new(disk);
        let run = |name: &str, file: &str, settings: &str, seed: &str| {
            let toml = ground.at("fsx.toml");
            // Each msync is a sync of the disk, and waits for all that other tests write.
            let unsynced = format!("nomsyncafterwrite = {}\n{settings}", !soak());
            std::fs::write(&toml, unsynced).unwrap();
            let mut command = Command::new(&fsx);
            command.args(["-N", &operations.to_string(), "-S", seed, "-P"]).arg(ground.at("art"));
            ran(command.arg("-f").arg(&toml).arg(ground.at(name).join(file)));
            figure(format_args!("fsx on {kind}, {name}/{file}: {operations} operations"));
        };
        // The first leaves a file that is there its size and writes zeros over it; the second empties what it copied up.
        let (in_place, sizes) =
            (include_str!("posix_suites/fsx-in-place.toml"), include_str!("posix_suites/fsx.toml"));
        let every = [
            ("image", "lower", in_place, "1"),
            ("directories", "new", sizes, "2"),
            ("directories", "lower", in_place, "3"),
            ("image", "new", sizes, "4"),
            ("image", "lower", sizes, "5"),
            ("directories", "lower", sizes, "6"),
        ];
        let some = if kind == "ext4" { &every[..2] } else { &every[2..4] };
        for (name, file, settings, seed) in if soak() { &every[..] } else { some } {
            run(name, file, settings, seed);
        }
    }
}
