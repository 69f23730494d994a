//! How a container ends, and what stays.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use layerfs_runtime::cgroup::{Cgroup, Limits};

use crate::place::Place;
use crate::support::rights::have_loop_devices;
use crate::support::{Scratch, figure, fixtures, machine, need, need_root};

#[test]
fn the_exit_status_is_the_commands() {
    need_root!();
    let place = Place::new();
    assert_eq!(place.script(&[], "exit 3").status, 3);
    assert_eq!(place.script(&[], "sh -c 'kill -9 $$'; exit $?").status, 137);
    let missing = place.layerfs(&["run", "--rm", "--rootfs", "/", "no-such-program"]);
    let told = "layerfs: `no-such-program`: no such program in the container's PATH\n";
    assert_eq!((missing.status, missing.err.as_str()), (127, told));
    let plain = place.layerfs(&["run", "--rm", "--rootfs", "/", "/etc/passwd"]);
    assert_eq!(plain.status, 126, "{plain:?}");
    let nobody = place.layerfs(&["run", "--rm", "-u", "no-such-user", "--rootfs", "/", "true"]);
    assert_eq!(nobody.status, 125, "{nobody:?}");
    place.assert_nothing_left();
}

#[test]
fn input_is_passed_on_when_asked_for() {
    need_root!();
    let place = Place::new();
    let mut command = place.command(&["run", "--rm", "-i", "--rootfs", "/", "cat"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"through").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"through");
    place.assert_nothing_left();
}

#[test]
fn signals_reach_the_command() {
    need_root!();
    let place = Place::new();
    let script = "trap 'echo got; exit 7' TERM; echo ready; while :; do sleep 0.1; done";
    let mut command = place.command(&["run", "--rm", "--rootfs", "/", "sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    assert_eq!(line, "ready\n");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(7));
    line.clear();
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    assert_eq!(line, "got\n");
    place.assert_nothing_left();
}

#[test]
fn a_program_that_handles_a_signal_gets_it_however_often_and_a_deaf_one_is_killed() {
    need_root!();
    let place = Place::new();
    let script = "trap 'echo got' INT; trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done";
    let (mut child, mut out) = started(&place, script);
    for _ in 0..5 {
        signal(&child, rustix::process::Signal::INT);
        assert_eq!(line_of(&mut out), "got\n");
    }
    signal(&child, rustix::process::Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(7));
    // Of signals of one number that wait, one is left: they are sent until it has ended.
    let (mut child, _out) = started(&place, "echo ready; exec sleep 1000");
    // The shell itself is not deaf.
    let sleeps = || {
        let said = place.layerfs(&["ps", "--json"]).said();
        let listed: serde_json::Value = serde_json::from_str(&said).unwrap();
        let name = std::fs::read_to_string(format!("/proc/{}/comm", listed[0]["pid"]));
        name.is_ok_and(|name| name == "sleep\n")
    };
    while !sleeps() {
        std::thread::yield_now();
    }
    while child.try_wait().unwrap().is_none() {
        signal(&child, rustix::process::Signal::INT);
        std::thread::yield_now();
    }
    assert_eq!(child.wait().unwrap().code(), Some(137));
    place.assert_nothing_left();
}

#[test]
fn a_signal_ends_a_container_that_is_still_being_made() {
    need_root!();
    let place = Place::new();
    for _ in 0..50 {
        let mut command = place.command(&["run", "--rm", "--rootfs", "/", "sleep", "1000"]);
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let stopped = server_of(&child);
        rustix::process::kill_process(stopped, rustix::process::Signal::STOP).unwrap();
        let made = place.layerfs(&["ps", "-a"]).out;
        if !made.contains("Created") {
            // It was faster.
            rustix::process::kill_process(stopped, rustix::process::Signal::CONT).unwrap();
            assert!(place.layerfs(&["rm", "-f", &only_id(&place)]).status == 0);
            child.wait_with_output().unwrap();
            continue;
        }
        let until = Instant::now() + Duration::from_secs(10);
        while child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "it is deaf to signals");
            signal(&child, rustix::process::Signal::INT);
            std::thread::yield_now();
        }
        match child.wait().unwrap().code() {
            Some(130) => {}
            // Its program ran and nobody had said so yet: that one is deaf.
            Some(137) => continue,
            other => panic!("{other:?}"),
        }
        place.assert_nothing_left();
        return;
    }
    panic!("each of 50 containers ran before its server could be stopped");
}

fn only_id(place: &Place) -> String {
    place.containers()[0].file_name().unwrap().to_str().unwrap().to_owned()
}

/// The process that serves the container's root: the command's first child.
pub fn server_of(child: &Child) -> rustix::process::Pid {
    server_beside(child.id())
}

/// The same of the process that stands by one, wherever it does.
pub fn server_beside(command: u32) -> rustix::process::Pid {
    let children = format!("/proc/{command}/task/{command}/children");
    loop {
        let text = std::fs::read_to_string(&children).unwrap();
        let Some(pid) = text.split_whitespace().next() else { continue };
        // Until it has called `execve(2)` its words are the command's.
        if machine::command_line(pid.parse().unwrap()).contains(" serve ") {
            return rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
        }
    }
}

/// A container that has printed `ready`.
fn started(place: &Place, script: &str) -> (Child, BufReader<ChildStdout>) {
    let mut command = place.command(&["run", "--rm", "--rootfs", "/", "sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    assert_eq!(line_of(&mut out), "ready\n");
    (child, out)
}

fn line_of(out: &mut impl BufRead) -> String {
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    line
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
}

#[test]
fn a_killed_command_takes_its_container_along_and_the_next_one_clears_up() {
    need_root!();
    let place = Place::new();
    let script = "echo ready; exec sleep 1000";
    let mut command = place.command(&["run", "--rm", "--rootfs", "/", "sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    assert_eq!(line, "ready\n");
    child.kill().unwrap();
    child.wait().unwrap();
    // The container's end of the pipe closes with it.
    line.clear();
    assert_eq!(std::io::BufRead::read_line(&mut out, &mut line).unwrap(), 0);
    assert_eq!(place.script(&[], "true").status, 0);
    place.assert_nothing_left();
}

/// A change of its user takes back what the kernel was asked for: to end it with its parent. The process that serves its files
/// ends it, unless it is killed together with the command.
#[test]
fn a_first_process_that_changed_its_user_ends_with_a_killed_command() {
    need_root!();
    for (users, with_server) in [("auto", false), ("auto", true), ("host", false), ("host", true)] {
        assert_ends_with_its_command(users, with_server);
    }
}

fn assert_ends_with_its_command(users: &str, with_server: bool) {
    use rustix::process::{Signal, kill_process};
    let place = Place::new();
    let script = "exec python3 -c 'import os, time
os.setuid(65534)
print(\"ready\", flush=True)
time.sleep(1000)'";
    let words =
        ["run", "--rm", "--name", "box", "--userns", users, "--rootfs", "/", "sh", "-c", script];
    let mut child = place.command(&words).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    assert_eq!(line_of(&mut out), "ready\n");
    let first = crate::userns::inspected(&place, "box")["State"]["Pid"].to_string();
    let server = with_server.then(|| server_of(&child));
    // Once it is stopped it does nothing more before it is killed.
    if let Some(server) = server {
        kill_process(server, Signal::STOP).unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    if let Some(server) = server {
        kill_process(server, Signal::KILL).unwrap();
    }
    let is_there = || std::path::Path::new(&format!("/proc/{first}")).exists();
    let until = Instant::now() + Duration::from_secs(10);
    while is_there() && Instant::now() < until {
        std::thread::yield_now();
    }
    let lived_on = is_there();
    assert_eq!(place.script(&[], "true").status, 0);
    assert!(!lived_on, "{users}, {with_server}");
    place.assert_nothing_left();
}

#[test]
fn a_kept_container_keeps_its_changes_until_it_is_removed() {
    need_root!();
    let place = Place::new();
    let kept = ["run", "--name", "kept", "--rootfs", "/", "touch", "/new"];
    assert_eq!(place.layerfs(&kept).status, 0);
    assert!(place.containers()[0].join("upper/new").exists());
    let taken = place.layerfs(&kept);
    assert_eq!(taken.status, 125, "{taken:?}");
    assert!(taken.err.contains("layerfs rm kept"), "{taken:?}");
    let listed = place.layerfs(&["ps", "-a"]).said();
    assert!(listed.contains("kept") && listed.contains("Exited (0)"), "{listed}");
    assert_eq!(place.layerfs(&["rm", "kept"]).said(), "kept\n");
    place.assert_nothing_left();
}

#[test]
fn a_running_container_is_removed_by_force_every_time() {
    need_root!();
    let place = Place::new();
    for round in 0..20 {
        let script = "echo ready; exec sleep 1000";
        let run = ["run", "--name", "busy", "--rootfs", "/", "sh", "-c", script];
        let mut child = place.command(&run).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut out, &mut line).unwrap();
        assert_eq!(line, "ready\n");
        assert_eq!(place.layerfs(&["rm", "-f", "busy"]).said(), "busy\n", "round {round}");
        assert_eq!(child.wait().unwrap().code(), Some(137), "round {round}");
    }
    place.assert_nothing_left();
}

#[test]
fn a_container_that_is_being_started_is_removed_by_force() {
    need_root!();
    let place = Place::new();
    assert_eq!(place.script(&[], "true").status, 0);
    for round in 0..20 {
        let run = ["run", "--name", "new", "--rootfs", "/", "sleep", "1000"];
        let mut child = place.command(&run).stderr(Stdio::null()).spawn().unwrap();
        while place.containers().is_empty() {
            std::thread::yield_now();
        }
        let removed = loop {
            let removed = place.layerfs(&["rm", "-f", "new"]);
            // Its directory is there before its record is.
            if !removed.err.contains("no container") {
                break removed;
            }
        };
        assert_eq!(removed.said(), "new\n", "round {round}");
        assert_eq!(child.wait().unwrap().code(), Some(137), "round {round}");
    }
    place.assert_nothing_left();
}

/// What a command that was killed left in its groups is ended while nobody can start the container.
#[test]
fn one_that_is_removed_is_held_while_what_is_in_its_groups_is_ended() {
    need_root!();
    let place = Place::new();
    let words = ["run", "--name", "box", "--rootfs", "/", "true"];
    assert_eq!(place.layerfs(&words).status, 0);
    let id = place.layerfs(&["ps", "-aq", "--no-trunc"]).said();
    let groups = Cgroup::create(id.trim(), &Limits::default()).unwrap();
    // It may end by itself, for which is waited a while.
    let mut server = Command::new("sleep").arg("1000").spawn().unwrap();
    groups.add_server(server.id()).unwrap();
    let mut left = Command::new("sleep").arg("1000").spawn().unwrap();
    groups.add_payload(left.id()).unwrap();
    let remove = place.command(&["rm", "box"]).stdout(Stdio::null()).spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&left);
    let seen = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
    rustix::process::waitid(rustix::process::WaitId::Pid(pid), seen).unwrap();
    let own = std::fs::File::open(place.join("store/containers").join(id.trim())).unwrap();
    let is_held = own.try_lock_shared().is_err();
    drop(own);
    left.wait().unwrap();
    let removed = remove.wait_with_output().unwrap();
    server.wait().unwrap();
    assert!(is_held && removed.status.success(), "{is_held} {removed:?}");
    place.assert_nothing_left();
}

/// A frozen process does not even die.
#[test]
fn who_waits_for_what_is_killed_and_does_not_end_is_told() {
    need_root!();
    let frozen = std::path::PathBuf::from("/sys/fs/cgroup/freezer");
    if !frozen.join("cgroup.procs").exists() {
        crate::support::rights::skip("version 1's freezer is not mounted");
        return;
    }
    let frozen = frozen.join(format!("layerfs-frozen-{}", std::process::id()));
    let place = Place::new();
    let script = "echo ready; exec sleep 1000";
    let mut command = place.command(&["run", "--name", "box", "--rootfs", "/", "sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    assert_eq!(line_of(&mut out), "ready\n");
    let pid = place.layerfs(&["inspect", "-f", "{{.State.Pid}}", "box"]).said();
    std::fs::create_dir(&frozen).unwrap();
    std::fs::write(frozen.join("cgroup.procs"), pid.trim()).unwrap();
    std::fs::write(frozen.join("freezer.state"), "FROZEN").unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let mut wait = place.command(&["wait", "box"]).stderr(Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(50);
    while wait.try_wait().unwrap().is_none() && Instant::now() < until {
        // tidy: allow(sleep) a child's end by a deadline; others want the processor meanwhile
        std::thread::sleep(Duration::from_millis(20));
    }
    let is_deaf = wait.try_wait().unwrap().is_none();
    std::fs::write(frozen.join("freezer.state"), "THAWED").unwrap();
    if is_deaf {
        wait.kill().unwrap();
    }
    let told = wait.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&told.stderr);
    assert_eq!(place.layerfs(&["wait", "box"]).said(), "137\n");
    while std::fs::remove_dir(&frozen).is_err() {
        assert!(Instant::now() < until + Duration::from_secs(20), "it does not end");
        // tidy: allow(sleep) nothing tells when a group is empty
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!is_deaf && told.contains("is killed and does not end"), "{is_deaf} {told}");
    place.layerfs(&["rm", "box"]).said();
    place.assert_nothing_left();
}

#[test]
fn a_terminal_is_the_containers_own() {
    need_root!();
    need!("script");
    let place = Place::new();
    let run = format!(
        "{} run --rm -it --rootfs / sh -c 'tty; test -t 0 && test -t 1 && echo both'",
        env!("CARGO_BIN_EXE_layerfs")
    );
    let mut command = std::process::Command::new("script");
    command.args(["-qec", &run, "/dev/null"]).stdin(Stdio::null());
    command.env("LAYERFS_ROOT", place.join("store")).env("LAYERFS_RUNROOT", place.join("run"));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    assert!(said.contains("/dev/pts/0\nboth\n"), "{said}");
    place.assert_nothing_left();
}

#[test]
fn ten_idle_containers_are_thin() {
    need_root!();
    let place = Place::new();
    assert_thin(&place, &["--rootfs", "/"]);
}

#[test]
fn ten_idle_containers_of_an_image_are_thin_and_df_knows_them() {
    need_root!();
    let place = Place::new();
    let Some(layout) = fixtures::debian_layout() else { return };
    let source = format!("oci:{}:debian", layout.display());
    assert_eq!(place.layerfs(&["pull", &source, "--name", "debian"]).status, 0);
    assert_thin(&place, &["debian"]);
}

/// Where each directory takes a block, of an image that has none of the directories that a container needs.
#[test]
fn ten_idle_containers_of_a_bare_image_are_thin_on_ext4() {
    need_root!();
    need!("busybox", "mkfs.ext4");
    if !have_loop_devices() {
        return;
    }
    let place = Place::on(Scratch::ext4_of_blocks(1024));
    let bare = "mkdir -p bare/bin && cp \"$(command -v busybox)\" bare/bin/sh && tar -C bare -cf bare.tar .";
    let built =
        std::process::Command::new("sh").args(["-ec", bare]).current_dir(place.join("")).output();
    assert!(built.as_ref().unwrap().status.success(), "{built:?}");
    let tar = place.join("bare.tar");
    assert_eq!(place.layerfs(&["import", "-q", tar.to_str().unwrap(), "bare"]).status, 0);
    assert_thin(&place, &["-w", "/made/here", "bare"]);
}

/// Ten containers that do nothing take at most 64 KiB each, and `df` counts what `du` does.
fn assert_thin(place: &Place, base: &[&str]) {
    let of = |script: &'static str| [&["run", "--rm"], base, &["sh", "-c", script]].concat();
    assert_eq!(place.layerfs(&of("true")).status, 0);
    let before = taken(place);
    let mut children = Vec::new();
    for _ in 0..10 {
        let mut command = place.command(&of("echo ready; exec sleep 1000"));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut out, &mut line).unwrap();
        assert_eq!(line, "ready\n");
        children.push((child, out));
    }
    let all = taken(place);
    let counted = counted(place);
    for (child, _) in &mut children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    for (_, mut out) in children {
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut out, &mut rest).unwrap();
    }
    assert_eq!(place.layerfs(&of("true")).status, 0);
    figure(format_args!("ten idle containers of {}: {} KiB", base.join(" "), all - before));
    assert!(all - before <= 10 * 64, "{} KiB", all - before);
    assert!(counted.abs_diff(all) * 100 <= all, "df counts {counted} KiB, du {all}");
    place.assert_nothing_left();
}

/// KiB on disk by `df`.
fn counted(place: &Place) -> u64 {
    let rows: serde_json::Value =
        serde_json::from_str(&place.layerfs(&["df", "--json"]).said()).unwrap();
    let whole = |row: &&serde_json::Value| {
        ["images", "containers"].map(Some).contains(&row["type"].as_str())
    };
    rows.as_array()
        .unwrap()
        .iter()
        .filter(whole)
        .map(|row| row["size"].as_u64().unwrap())
        .sum::<u64>()
        / 1024
}

/// KiB on disk below the store.
fn taken(place: &Place) -> u64 {
    let output =
        std::process::Command::new("du").arg("-sk").arg(place.join("store")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().next().unwrap().parse().unwrap()
}
