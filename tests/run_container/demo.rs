//! `make demo`: what it shows, and that nothing of it stays, wherever it is interrupted. Programs that need a network or
//! much time have stand-ins: `mmdebstrap` makes a base of busybox.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Scope, Scratch, figure, machine, need, need_root, photograph, watchdog};

/// Makes `base.tar`, as the demo calls it: what the demo changes and runs is in it.
const BASE: &str = r#"
base=$(mktemp -d)
mkdir -p "$base/bin" "$base/etc" "$base/usr/bin" "$base/usr/local/bin" "$base/usr/share/zoneinfo" "$base/usr/share/doc/x"
cp "$(command -v busybox)" "$base/bin/busybox"
for name in $(busybox --list); do [ -e "$base/bin/$name" ] || ln -s busybox "$base/bin/$name"; done
echo motd >"$base/etc/motd"; echo debian >"$base/etc/hostname"; echo 12 >"$base/etc/debian_version"
for word in "$@"; do case $word in *.tar) tar -C "$base" -cf "$word" . ;; esac; done
rm -rf "$base"
"#;

/// A base can't be had, as without a network.
const NO_BASE: &str = "echo no network >&2; exit 1";

/// Interrupted where the system directories are mounted and nobody takes them away, as 1 of 10 times.
const INTERRUPTED: &str =
    "mkdir -p \"$TMPDIR/m/proc\"; mount -t tmpfs none \"$TMPDIR/m/proc\"; kill -INT 0; sleep 10";

/// Whoever is impatient interrupts the removal as well.
const IMPATIENT: &str =
    "case $* in *one-file-system*) kill -INT 0 ;; esac\nexec /usr/bin/env -u PATH /bin/rm \"$@\"";

/// How a demo ended.
#[derive(Debug)]
struct Shown {
    status: Option<i32>,
    said: String,
    commands: usize,
}

/// Runs the demo with these stand-ins, interrupts it after the n-th command that it has printed, and compares the machine.
fn demo(stand_ins: &[(&str, &str)], interrupted_after: Option<usize>) -> Shown {
    let scratch = Scratch::on_disk();
    let before = photograph(&Scope::Below(scratch.path().to_path_buf()));
    let programs = scratch.join("programs");
    std::fs::create_dir(&programs).unwrap();
    for (name, text) in stand_ins {
        stand_in(&programs.join(name), text);
    }
    let room = scratch.join("rooms");
    std::fs::create_dir(&room).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    // Whoever runs the tests in the background has them ignore what a terminal's Ctrl-C sends.
    let mut child = Command::new("env")
        .arg("--default-signal=INT,QUIT")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/demo"))
        .arg(env!("CARGO_BIN_EXE_layerfs"))
        .env("PATH", path)
        .env("TMPDIR", &room)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Its own group, as a terminal has one for what it interrupts.
        .process_group(0)
        .spawn()
        .unwrap();
    let group = rustix::process::Pid::from_child(&child);
    let mut errors = child.stderr.take().unwrap();
    let errors = std::thread::spawn(move || {
        let mut said = String::new();
        errors.read_to_string(&mut said).map(|_| said)
    });
    let (mut said, mut commands) = (String::new(), 0);
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.starts_with("$ ") {
            commands += 1;
            if interrupted_after == Some(commands) {
                rustix::process::kill_process_group(group, rustix::process::Signal::INT).unwrap();
            }
        }
        said.push_str(&line);
        said.push('\n');
    }
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), None, "{said}");
    said.push_str(&errors.join().unwrap().unwrap());
    let rooms: Vec<PathBuf> = crate::support::machine::entries(&room);
    assert!(rooms.is_empty(), "{rooms:?} is left: {said}");
    photograph(&Scope::Below(scratch.path().to_path_buf())).assert_same(&before);
    Shown { status: status.code(), said, commands }
}

fn stand_in(path: &Path, text: &str) {
    std::fs::write(path, format!("#!/bin/bash\n{text}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_demo_leaves_nothing_wherever_it_is_interrupted() {
    need_root!();
    need!("busybox", "python3");
    let _watch = watchdog(600);
    let before = unserved_groups();
    let whole = demo(&[("mmdebstrap", BASE)], None);
    assert_eq!(whole.status, Some(0), "{whole:?}");
    assert!(whole.commands >= 20, "{whole:?}");
    assert!(whole.said.contains("$ layerfs run --rm --rootfs / sh -c 'rm -rf"), "{whole:?}");
    let step = if std::env::var_os("LAYERFS_SOAK").is_some() { 1 } else { 5 };
    for n in (1..=whole.commands).step_by(step) {
        let shown = demo(&[("mmdebstrap", BASE)], Some(n));
        // The last command may be over before the signal comes.
        let ended = shown.status == Some(130) || (shown.status == Some(0) && n == whole.commands);
        assert!(ended, "interrupted after command {n}: {shown:?}");
    }
    let left = groups_left(&before);
    assert!(left.is_empty(), "{left:?}");
    figure(format_args!("commands: {}, every {step}. interrupted", whole.commands));
}

#[test]
fn a_demo_that_is_interrupted_twice_leaves_nothing() {
    need_root!();
    need!("busybox", "python3");
    let _watch = watchdog(120);
    let shown = demo(&[("mmdebstrap", BASE), ("rm", IMPATIENT)], Some(3));
    assert_eq!(shown.status, Some(130), "{shown:?}");
}

#[test]
fn a_demo_whose_base_is_interrupted_leaves_no_mounts() {
    need_root!();
    let _watch = watchdog(120);
    let shown = demo(&[("mmdebstrap", INTERRUPTED)], None);
    assert_eq!(shown.status, Some(130), "{shown:?}");
}

#[test]
fn a_demo_without_a_mirror_shows_containers() {
    need_root!();
    let _watch = watchdog(120);
    let shown = demo(&[("mmdebstrap", NO_BASE)], None);
    assert_eq!(shown.status, Some(0), "{shown:?}");
    for kind in ["pid", "mnt", "uts", "ipc", "net", "cgroup"] {
        assert!(shown.said.contains(&format!("\n{kind}:[")), "{kind}: {shown:?}");
    }
    for line in ["ps -ef", "\n52428800\n", "exit status 137", "LAYERFS_DEMO_MIRROR"] {
        assert!(shown.said.contains(line), "{line}: {shown:?}");
    }
}

/// Groups of containers that no process serves and that stay: those of tests beside are served, or go in a moment.
fn groups_left(before: &[PathBuf]) -> Vec<PathBuf> {
    let mut left = unserved_groups();
    left.retain(|group| !before.contains(group));
    for _ in 0..50 {
        if left.is_empty() {
            break;
        }
        // tidy: allow(sleep) another test's container may be between being made and being filled; what stays is told
        std::thread::sleep(std::time::Duration::from_millis(100));
        let now = unserved_groups();
        left.retain(|group| now.contains(group));
    }
    left
}

fn unserved_groups() -> Vec<PathBuf> {
    let top = PathBuf::from("/sys/fs/cgroup");
    // Version 2 alone is mounted right there.
    let shared = machine::entries(&top).into_iter().chain([top]).map(|top| top.join("layerfs"));
    let groups = shared.flat_map(|shared| machine::entries(&shared));
    let words: Vec<String> = machine::pids().into_iter().map(machine::command_line).collect();
    let is_left = |group: &PathBuf| {
        let name = group.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_id = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id && group.is_dir() && !words.iter().any(|words| words.contains(name))
    };
    groups.filter(is_left).collect()
}
