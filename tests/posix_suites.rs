//! The suites by which people judge a file system, on mounts beside kernel overlayfs of the same disk: pjdfstest, fsx.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that can't go on should fail there

mod support;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::peer::{self, Peer};
use support::{Scratch, figure, need, need_root, rights, soak, suites, watchdog};

/// What runs on one mount takes seconds; a hang is ended after this.
const LIMIT_S: u64 = 300;
/// What runs on fuse-overlayfs is ended after this.
const PEER_S: u64 = 200;
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
fn judged(pjdfstest: &Path, ground: &Ground, at: &Path) -> BTreeMap<String, String> {
    let settings = include_str!("posix_suites/pjdfstest.toml");
    let mut ends = ended(pjdfstest, ground, (at, settings), &[]);
    // Those that remount it read-only have it for themselves: elsewhere it is busy by chance.
    let alone = settings.replace("allow_remount = false", "allow_remount = true");
    ends.extend(ended(pjdfstest, ground, (at, &alone), &["erofs"]));
    ends
}

fn ended(
    pjdfstest: &Path,
    ground: &Ground,
    (at, settings): (&Path, &str),
    cases: &[&str],
) -> BTreeMap<String, String> {
    std::fs::write(ground.at("pjdfstest.toml"), settings).unwrap();
    let mut command = Command::new(pjdfstest);
    command.arg("-c").arg(ground.at("pjdfstest.toml")).arg("-p").arg(at).args(cases);
    // Names are moved and linked to there.
    command.arg("-s").arg(ground.disk.path()).stdin(Stdio::null());
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", ground.at("bin").display()));
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
    let _watch = watchdog(2 * LIMIT_S);
    for (kind, disk) in disks() {
        let ground = Ground::new(disk);
        // It remounts read-only, which asks no helper of a type: as a mount of FUSE is remounted.
        let remount = "#!/bin/sh\nPATH=${PATH#*:}\nexec mount -i \"$@\"\n";
        std::fs::create_dir(ground.at("bin")).unwrap();
        std::fs::write(ground.at("bin/mount"), remount).unwrap();
        std::fs::set_permissions(ground.at("bin/mount"), Permissions::from_mode(0o755)).unwrap();
        let kernel = ground.kernel();
        let kernel = judged(&pjdfstest, &ground, &kernel);
        let passed = kernel.values().filter(|end| *end == "ok").count();
        assert!(passed >= 320, "kernel overlayfs on {kind} passes {passed} of {}", kernel.len());
        let mut ends = vec![("kernel overlayfs", kernel.clone())];
        for (name, told) in [("image", "layerfs image"), ("directories", "layerfs directories")] {
            let ours = judged(&pjdfstest, &ground, &ground.at(name));
            let worse: Vec<_> = kernel
                .iter()
                .filter(|(case, end)| *end == "ok" && ours.get(*case) != Some(end))
                .map(|(case, _)| case)
                .collect();
            assert!(worse.is_empty(), "{name} on {kind}: {worse:?}");
            ends.push((told, ours));
        }
        if let Some(beside) = Peer::mounted(ground.disk.path(), "lower", PEER_S) {
            ends.push((peer::NAME, judged(&pjdfstest, &ground, &beside.at)));
        }
        tell(&format!("pjdfstest on {kind}"), &ends);
    }
}

/// How many cases each passed, and the names of those that it did not pass.
fn tell(what: &str, ends: &[(&str, BTreeMap<String, String>)]) {
    let is = |end: &'static str| move |(_, ended): &(&String, &String)| *ended == end;
    let counts: Vec<_> =
        ends.iter().map(|(who, ends)| (*who, ends.iter().filter(is("ok")).count())).collect();
    let of = ends.iter().map(|(_, ends)| ends.len()).max().unwrap_or(0);
    peer::beside(what, of, &counts);
    let told = if suites::figures() { ends } else { &[] };
    for (who, ends) in told {
        let of_end = |end| ends.iter().filter(is(end)).map(|(case, _)| &**case).collect::<Vec<_>>();
        let (failed, skipped) = (of_end("FAILED"), of_end("skipped"));
        figure(format_args!("{what}, {who} fails {}: {}", failed.len(), failed.join(" ")));
        figure(format_args!("{what}, {who} skips {}: {}", skipped.len(), skipped.join(" ")));
    }
}

#[test]
fn fsx_finds_nothing_in_a_new_file_and_in_a_copied_one() {
    need_root!();
    let Some(fsx) = suites::fsx() else { return };
    // Each process keeps what it maps to read: the kernel has a bound of mappings (`vm.max_map_count`), and each truncate walks
    // through all of them. So many share the operations, each beginning with what the last one left. The first of a soak calls
    // msync, too: each is a sync of the disk, and waits for all that other tests write.
    let times: u64 = if soak() { 20 } else { 1 };
    let (operations, limit_s) = (times * OPERATIONS, times * PEER_S);
    let _watch = watchdog(4 * times * LIMIT_S);
    for (kind, disk) in disks() {
        let ground = Ground::new(disk);
        let run_once = |at: &Path, file: &str, settings: &str, (seed, part): (&str, u64)| {
            let toml = ground.at("fsx.toml");
            let never_syncs = !soak() || part > 0;
            std::fs::write(&toml, format!("nomsyncafterwrite = {never_syncs}\n{settings}"))
                .unwrap();
            let mut command = Command::new("timeout");
            command.args(["--kill-after", "5", &limit_s.to_string()]).arg(&fsx);
            let (count, seed) = (OPERATIONS.to_string(), format!("{seed}{part}"));
            command.args(["-N", &count, "-S", &seed, "-P"]).arg(ground.at("art"));
            command.arg("-f").arg(&toml).arg(at.join(file)).stdin(Stdio::null());
            command.output().unwrap()
        };
        let run = |at: &Path, file: &str, settings: &str, seed: &str| {
            let mut output = run_once(at, file, settings, (seed, 0));
            for part in 1..times {
                if output.status.success() {
                    output = run_once(at, file, settings, (seed, part));
                }
            }
            output
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
        let chosen = if suites::figures() { &every[..] } else { some };
        let mut counts = BTreeMap::new();
        for (name, file, settings, seed) in chosen {
            let output = run(&ground.at(name), file, settings, seed);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{name}/{file} on {kind}: {said}");
            *counts.entry(*name).or_insert(0) += 1;
            figure(format_args!("fsx on {kind}, {name}/{file}: {operations} operations"));
        }
        // A soak is of ours.
        if !suites::figures() || soak() {
            continue;
        }
        let Some(beside) = Peer::mounted(ground.disk.path(), "lower", limit_s * 3) else { return };
        for (who, at) in [("kernel overlayfs", ground.kernel()), (peer::NAME, beside.at.clone())] {
            for (_, file, settings, seed) in &every[..3] {
                let output = run(&at, file, settings, seed);
                *counts.entry(who).or_insert(0) += usize::from(output.status.success());
                if !output.status.success() {
                    let said = String::from_utf8_lossy(&output.stdout).replace('\n', " ");
                    figure(format_args!(
                        "fsx on {kind}, {who}/{file}: {:?}: {said}",
                        output.status
                    ));
                }
            }
        }
        let names = ["kernel overlayfs", "image", "directories", peer::NAME];
        let told = ["kernel overlayfs", "layerfs image", "layerfs directories", peer::NAME];
        let counts: Vec<_> = told.into_iter().zip(names.map(|name| counts[name])).collect();
        peer::beside(format_args!("fsx on {kind}, runs of {operations} operations"), 3, &counts);
    }
}
