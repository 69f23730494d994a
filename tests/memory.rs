//! What the process that serves a mount takes while a large image is walked through: little, and none more each time.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on says so and stops")]

mod support;

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{Scratch, figure, machine, need, need_root, octal, soak, tar_header, watchdog};

/// Files of one directory, and such directories of one more.
const FILES: u32 = 200;
const DIRS: u32 = 100;

/// What it may take, in KiB.
const BOUND_KIB: u64 = 32 << 10;

/// What a first walk may add, in KiB. Of each file it keeps how often the kernel holds it, four bytes, and of directories more.
fn growth_kib(files: u32) -> u64 {
    1536 + u64::from(files) * 28 / 1024
}

/// The walks after which it takes nearly what it will go on with: what is freed in between leaves gaps that those fill.
const SETTLING: usize = 3;

/// What half of a soak's walks may add, in KiB: a thread that joins late takes a place of its own for what it frees. What is lost of
/// each directory at each walk would be more.
const LATE_KIB: u64 = 1536;

/// A directory of an archive.
fn directory(path: &str) -> [u8; 512] {
    tar_header(path.as_bytes(), (b'5', 0o755), &octal(0), &[])
}

/// Writes an archive of so many small files, and answers their bytes.
fn archive(out: impl Write, files: u32) -> io::Result<u64> {
    let (mut out, mut bytes) = (io::BufWriter::new(out), 0);
    for number in 0..files {
        let dir = number / FILES;
        let (outer, inner) = (dir / DIRS, dir % DIRS);
        if number % (FILES * DIRS) == 0 {
            out.write_all(&directory(&format!("outer{outer}")))?;
        }
        if number % FILES == 0 {
            out.write_all(&directory(&format!("outer{outer}/inner{inner}")))?;
        }
        let contents = format!("contents of file {number}\n");
        let path = format!("outer{outer}/inner{inner}/a file with number {number}.txt");
        let size = octal(contents.len());
        out.write_all(&tar_header(path.as_bytes(), (b'0', 0o644), &size, &[]))?;
        let mut block = [0; 512];
        block[..contents.len()].copy_from_slice(contents.as_bytes());
        out.write_all(&block)?;
        bytes += contents.len() as u64;
    }
    out.write_all(&[0; 1024])?;
    out.flush()?;
    Ok(bytes)
}

fn layerfs(scratch: &Scratch) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_layerfs"));
    command.arg("--root").arg(scratch.join("store")).arg("--runroot").arg(scratch.join("run"));
    command
}

/// Brings the image in. Answers what its files hold, and the most memory that took, in KiB.
fn imported(scratch: &Scratch, files: u32) -> (u64, u64) {
    let figures = scratch.join("figures");
    let mut import = Command::new("python3");
    import.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hostile/measure.py")).arg(&figures);
    import.arg(env!("CARGO_BIN_EXE_layerfs")).arg("--root").arg(scratch.join("store"));
    import.args(["import", "--quiet", "-", "large:1"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut import = import.spawn().unwrap();
    let bytes = archive(import.stdin.take().unwrap(), files).unwrap();
    assert!(import.wait().unwrap().success());
    let told = fs::read_to_string(figures).unwrap();
    (bytes, told.split_whitespace().next().unwrap().parse().unwrap())
}

/// A figure of a process in KiB.
fn status_kib(pid: u32, key: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// What the process takes: memory of its own in KiB, and descriptors.
fn taken(server: u32) -> (u64, usize) {
    let descriptors = fs::read_dir(format!("/proc/{server}/fd")).unwrap().count();
    (status_kib(server, "RssAnon:").unwrap(), descriptors)
}

/// Asks for everything below, and reads its files: of many, one of each hundred. Answers how many files there are, and their bytes.
fn walk(dir: &Path) -> (u32, u64) {
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            let below = walk(&entry.path());
            (files, bytes) = (files + below.0, bytes + below.1);
            continue;
        }
        (files, bytes) = (files + 1, bytes + metadata.len());
        if !soak() || files % 100 == 0 {
            assert!(fs::read(entry.path()).unwrap().starts_with(b"contents of file "));
        }
    }
    (files, bytes)
}

/// Mounts it. Answers the process that serves it, and how long it took until the command ended.
fn mounted(scratch: &Scratch, at: &Path) -> (u32, Duration) {
    let began = Instant::now();
    assert!(layerfs(scratch).args(["mount", "large:1"]).arg(at).status().unwrap().success());
    let usable = began.elapsed();
    let serves = |pid: &u32| {
        let line = machine::command_line(*pid);
        line.contains(" serve ") && machine::mentions(line.as_bytes(), at)
    };
    (machine::pids().into_iter().find(serves).unwrap(), usable)
}

#[test]
fn a_walk_through_a_large_image_takes_little_memory_and_none_more_the_next_time() {
    need_root!();
    need!("python3");
    let files = if soak() { 1_000_000 } else { 40_000 };
    let _watch = watchdog(if soak() { 3600 } else { 600 });
    let scratch = Scratch::on_disk();
    let (bytes, peak) = imported(&scratch, files);
    let at = scratch.join("mnt");
    fs::create_dir(&at).unwrap();
    let (server, usable) = mounted(&scratch, &at);
    let mut seen = vec![taken(server)];
    let walks = if soak() { 12 } else { SETTLING };
    for _ in 0..walks {
        assert_eq!(walk(&at), (files, bytes));
        seen.push(taken(server));
        if soak() {
            // The kernel lets go of all nodes, and asks for them again.
            fs::write("/proc/sys/vm/drop_caches", "2").unwrap();
        }
    }
    assert!(layerfs(&scratch).arg("umount").arg(&at).status().unwrap().success());
    while Path::new(&format!("/proc/{server}")).exists() {
        std::thread::yield_now();
    }
    let shown: Vec<String> =
        seen.iter().map(|(kib, fds)| format!("{kib} KiB, {fds} descriptors")).collect();
    figure(format!(
        "{files} files: import takes {peak} KiB at its peak; usable after {} ms; RssAnon after 0 to {walks} walks: {}",
        usable.as_millis(),
        shown.join("; ")
    ));
    let growth = growth_kib(files);
    assert!(seen[1].0 <= seen[0].0 + growth, "a walk added more than {growth} KiB: {seen:?}");
    assert!(seen.iter().all(|(kib, _)| *kib <= BOUND_KIB), "more than {BOUND_KIB} KiB: {seen:?}");
    assert!(seen[SETTLING].0 <= seen[1].0 + 1024 + u64::from(files) / 1000, "it grows: {seen:?}");
    assert!(seen[walks].0 <= seen[walks / 2 + 1].0 + LATE_KIB, "it goes on growing: {seen:?}");
    assert!(seen.iter().all(|(_, fds)| *fds <= 64), "too many descriptors: {seen:?}");
}
