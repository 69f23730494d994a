//! Containers in the background: what they write, how they are ended, waited for and started again.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::carried::until;
use crate::place::{Place, ran};
use crate::support::rights::have_loop_devices;
use crate::support::{Scratch, machine, need, need_root};

/// A container on a copy of this machine's root, in the background.
fn begun(place: &Place, options: &[&str], script: &str) -> String {
    let words = [&["run", "-d"], options, &["--rootfs", "/", "sh", "-c", script]].concat();
    let id = place.layerfs(&words).said();
    assert_eq!(id.trim_end().len(), 64, "{id}");
    id.trim_end().to_owned()
}

/// What `ps -a --json` says of the only container.
fn state(place: &Place) -> serde_json::Value {
    let said = place.layerfs(&["ps", "-a", "--json"]).said();
    let listed: serde_json::Value = serde_json::from_str(&said).unwrap();
    listed[0].clone()
}

#[test]
fn one_in_the_background_is_listed_waited_for_and_leaves_its_output() {
    need_root!();
    let place = Place::new();
    // It goes on when it is told to.
    let go = place.join("go");
    std::fs::create_dir(&go).unwrap();
    let volume = format!("{}:/mnt", go.display());
    let script = "echo one; echo two >&2; printf three; until test -e /mnt/go; do sleep 0.05; done; echo; exit 4";
    let id = begun(&place, &["--name", "job", "-v", &volume], script);
    assert_eq!(state(&place)["state"], "running");
    std::fs::write(go.join("go"), b"").unwrap();
    assert_eq!(place.layerfs(&["wait", "job"]).said(), "4\n");
    let said = state(&place);
    assert_eq!((&said["id"], &said["exit_code"]), (&id.into(), &4.into()));
    let logs = place.layerfs(&["logs", "job"]);
    assert_eq!((logs.out.as_str(), logs.err.as_str()), ("one\nthree\n", "two\n"));
    place.layerfs(&["rm", "job"]).said();
    std::fs::remove_dir_all(&go).unwrap();
    place.assert_nothing_left();
}

/// The process that stands by does not begin in the directory that they are relative to.
#[test]
fn places_that_are_said_from_where_the_caller_is_are_found_by_who_stands_by() {
    need_root!();
    let place = Place::new();
    let said = |words: &[&str]| {
        let mut command = place.command(&[words[0], "--root", "store", "--runroot", "run"]);
        command.args(&words[1..]).current_dir(place.join(""));
        ran(command.output().unwrap()).said()
    };
    said(&["run", "-d", "--name", "on", "--rootfs", "/", "sleep", "100"]);
    assert_eq!(said(&["exec", "on", "echo", "here"]), "here\n");
    said(&["stop", "-t", "0", "on"]);
    said(&["start", "on"]);
    said(&["rm", "-f", "on"]);
    place.assert_nothing_left();
}

#[test]
fn the_last_word_on_the_background_counts() {
    need_root!();
    let place = Place::new();
    let run = |options: &[&str], program: &[&str]| {
        place.layerfs(&[&["run"], options, &["--rootfs", "/"], program].concat()).said()
    };
    assert_eq!(run(&["--rm", "-di", "--detach=false"], &["echo", "here"]), "here\n");
    assert_eq!(run(&["--rm", "-d", "-d=false", "-i"], &["echo", "here"]), "here\n");
    let id = run(&["--detach=false", "-di", "--name", "web"], &["sleep", "1000"]);
    assert_eq!(id.len(), 65, "{id}");
    place.layerfs(&["rm", "-f", "web"]).said();
    place.assert_nothing_left();
}

#[test]
fn a_caller_that_is_gone_takes_nothing_with_it() {
    need_root!();
    let place = Place::new();
    // The shell that started it, and its process group, end.
    let words =
        ["run", "-d", "--name", "on", "--rootfs", "/", "sh", "-c", "sleep 0.5; echo still here"];
    let layerfs = env!("CARGO_BIN_EXE_layerfs");
    let line = format!("exec setsid sh -c '\"$0\" \"$@\"; kill -9 0' {layerfs} \"$@\"");
    let mut shell = std::process::Command::new("sh");
    shell.env("LAYERFS_ROOT", place.join("store")).env("LAYERFS_RUNROOT", place.join("run"));
    let ended = shell.args(["-c", &line, "sh"]).args(words).stdin(Stdio::null()).output().unwrap();
    assert!(!ended.status.success(), "{ended:?}");
    assert_eq!(place.layerfs(&["wait", "on"]).said(), "0\n");
    assert_eq!(place.layerfs(&["logs", "on"]).said(), "still here\n");
    place.layerfs(&["rm", "on"]).said();
    place.assert_nothing_left();
}

#[test]
fn the_process_that_stands_by_keeps_nothing_of_its_caller() {
    need_root!();
    let place = Place::new();
    let (read, write) = std::io::pipe().unwrap();
    let words = ["run", "-d", "--name", "on", "--rootfs", "/", "sleep", "100"];
    let mut command = place.command(&words);
    command.stdout(write.try_clone().unwrap()).stderr(write);
    assert!(command.spawn().unwrap().wait().unwrap().success());
    drop(command);
    // A pipe's end comes when the last writer is gone.
    let said = std::io::read_to_string(read).unwrap();
    assert_eq!(said.trim_end().len(), 64, "{said}");
    place.layerfs(&["rm", "-f", "on"]).said();
    place.assert_nothing_left();
}

#[test]
fn what_cannot_be_started_is_told_with_its_status_and_leaves_nothing() {
    need_root!();
    let place = Place::new();
    let missing = place.layerfs(&["run", "-d", "--rootfs", "/", "no-such-program"]);
    let told = "layerfs: `no-such-program`: no such program in the container's PATH\n";
    assert_eq!((missing.status, missing.err.as_str()), (127, told));
    let plain = place.layerfs(&["run", "-d", "--rm", "--rootfs", "/", "/etc/passwd"]);
    assert_eq!(plain.status, 126, "{plain:?}");
    let strange = ["--mount", "type=bind,source=/none,target=/mnt"];
    let refused =
        place.layerfs(&[&["run", "-d"], &strange[..], &["--rootfs", "/", "true"]].concat());
    assert_eq!(refused.status, 125, "{refused:?}");
    place.assert_nothing_left();
}

#[test]
fn a_throwaway_in_the_background_goes_when_it_ends_and_who_waits_is_told() {
    need_root!();
    let place = Place::new();
    begun(&place, &["--rm", "--name", "job"], "trap 'exit 9' TERM; while :; do sleep 0.05; done");
    assert_eq!(state(&place)["kept"], false);
    let again = place.layerfs(&["restart", "job"]);
    assert!(again.err.contains("goes when it ends (--rm)"), "{again:?}");
    let waits = place.command(&["wait", "job"]).stdout(Stdio::piped()).spawn().unwrap();
    let notes = place.join("run/exits");
    until(|| notes.is_dir() && machine::entries(&notes).len() == 1);
    place.layerfs(&["kill", "-s", "TERM", "job"]).said();
    let told = waits.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&told.stdout), "9\n", "{told:?}");
    until(|| place.containers().is_empty() && machine::entries(&notes).is_empty());
    // One that nobody waits for leaves no note, and neither does waiting for a kept one.
    place.layerfs(&["run", "--rm", "--rootfs", "/", "true"]).said();
    begun(&place, &["--name", "kept"], "sleep 0.2; exit 3");
    assert_eq!(place.layerfs(&["wait", "kept"]).said(), "3\n");
    place.layerfs(&["rm", "kept"]).said();
    assert!(machine::entries(&notes).is_empty());
    std::fs::remove_dir_all(place.join("run")).unwrap();
    place.assert_nothing_left();
}

#[test]
fn stop_asks_with_the_containers_signal_and_kills_when_the_time_is_over() {
    need_root!();
    let place = Place::new();
    let script = "trap 'echo asked; exit 5' USR1; echo on; while :; do sleep 0.05; done";
    begun(&place, &["--name", "web", "--stop-signal", "SIGUSR1"], script);
    until(|| place.layerfs(&["logs", "web"]).out == "on\n");
    place.layerfs(&["stop", "web"]).said();
    assert_eq!(state(&place)["exit_code"], 5);
    assert_eq!(place.layerfs(&["logs", "web"]).said(), "on\nasked\n");
    // It has ended: nothing to do.
    assert_eq!(place.layerfs(&["stop", "web"]).said(), "web\n");
    place.layerfs(&["rm", "web"]).said();

    begun(&place, &["--name", "deaf"], "exec sleep 1000");
    let before = Instant::now();
    place.layerfs(&["stop", "-t", "1", "deaf"]).said();
    assert!(before.elapsed() >= Duration::from_secs(1));
    assert_eq!(state(&place)["exit_code"], 137);
    place.layerfs(&["rm", "deaf"]).said();
    place.assert_nothing_left();
}

#[test]
fn kill_sends_the_signal_that_is_named() {
    need_root!();
    let place = Place::new();
    let script = "trap 'echo hup' HUP; echo on; while :; do sleep 0.05; done";
    begun(&place, &["--name", "web"], script);
    until(|| place.layerfs(&["logs", "web"]).out == "on\n");
    place.layerfs(&["kill", "-s", "hup", "web"]).said();
    until(|| place.layerfs(&["logs", "web"]).out == "on\nhup\n");
    let slip = place.layerfs(&["kill", "-s", "NONE", "web"]);
    assert_eq!(slip.status, 1);
    assert!(slip.err.contains("`NONE` is no signal"), "{slip:?}");
    place.layerfs(&["kill", "web"]).said();
    assert_eq!(place.layerfs(&["wait", "web"]).said(), "137\n");
    let ended = place.layerfs(&["kill", "web"]);
    assert!(ended.err.contains("does not run"), "{ended:?}");
    place.layerfs(&["rm", "web"]).said();
    place.assert_nothing_left();
}

#[test]
fn a_container_starts_again_with_its_words_and_finds_what_it_wrote() {
    need_root!();
    let place = Place::new();
    let script =
        "echo $WORD >> /root/seen; cat /root/seen; hostname; cat /etc/hosts | grep -c 127.0.1.1";
    let mut command = place.command(&[
        "create",
        "-e",
        "WORD",
        "--name",
        "box",
        "--hostname",
        "here",
        "--rootfs",
        "/",
        "sh",
        "-c",
        script,
    ]);
    let made = command.env("WORD", "kept").output().unwrap();
    assert!(made.status.success(), "{made:?}");
    assert_eq!(state(&place)["state"], "created");
    // Sweeps of other commands pass it over.
    place.layerfs(&["run", "--rm", "--rootfs", "/", "true"]).said();
    assert_eq!(place.layerfs(&["start", "box"]).said(), "box\n");
    assert_eq!(place.layerfs(&["wait", "box"]).said(), "0\n");
    let again = place.layerfs(&["start", "-a", "box"]);
    assert_eq!((again.status, again.out.as_str()), (0, "kept\nkept\nhere\n1\n"), "{again:?}");
    assert_eq!(place.layerfs(&["logs", "box"]).said(), "kept\nhere\n1\n");
    place.layerfs(&["rename", "box", "crate"]).said();
    let old = place.layerfs(&["start", "box"]);
    assert_eq!(old.status, 1);
    assert!(old.err.contains("no container `box`"), "{old:?}");
    place.layerfs(&["rm", "crate"]).said();
    place.assert_nothing_left();
}

#[test]
fn one_that_cannot_start_again_stays_and_says_why() {
    need_root!();
    let place = Place::new();
    let source = place.join("data");
    std::fs::create_dir(&source).unwrap();
    let volume = format!("{}:/mnt", source.display());
    // Nobody is there who could start it with a program of its own: what was taken is put back.
    place
        .layerfs(&[
            "create",
            "--rm",
            "--name",
            "bare",
            "-v",
            &volume,
            "--rootfs",
            "/",
            "/mnt/program",
        ])
        .said();
    let refused = place.layerfs(&["start", "bare"]);
    assert!(refused.err.contains("/mnt/program"), "{refused:?}");
    assert_eq!(
        (&state(&place)["state"], &state(&place)["kept"]),
        (&"created".into(), &true.into())
    );
    place.layerfs(&["rm", "bare"]).said();
    place.layerfs(&["create", "--name", "box", "-v", &volume, "--rootfs", "/", "true"]).said();
    assert_eq!(place.layerfs(&["wait", "box"]).said(), "0\n");
    std::fs::remove_dir(&source).unwrap();
    let refused = place.layerfs(&["start", "box"]);
    assert_eq!(refused.status, 1);
    assert!(
        refused.err.contains("container `box`") && refused.err.contains("mkdir"),
        "{refused:?}"
    );
    assert_eq!(state(&place)["state"], "created");
    std::fs::create_dir(&source).unwrap();
    place.layerfs(&["start", "box"]).said();
    assert_eq!(place.layerfs(&["wait", "box"]).said(), "0\n");
    std::fs::remove_dir(&source).unwrap();
    place.layerfs(&["rm", "box"]).said();
    place.assert_nothing_left();
}

#[test]
fn restart_ends_it_and_starts_it_again() {
    need_root!();
    let place = Place::new();
    begun(&place, &["--name", "web"], "trap 'exit 0' TERM; echo on; while :; do sleep 0.05; done");
    until(|| place.layerfs(&["logs", "web"]).out == "on\n");
    let before = state(&place)["pid"].clone();
    place.layerfs(&["restart", "web"]).said();
    let after = state(&place);
    assert_eq!(after["state"], "running");
    assert_ne!(after["pid"], before);
    // One that runs is started already.
    assert_eq!(place.layerfs(&["start", "web"]).said(), "web\n");
    assert_eq!(state(&place)["pid"], after["pid"]);
    place.layerfs(&["rm", "-f", "web"]).said();
    place.assert_nothing_left();
}

#[test]
fn logs_show_the_end_times_and_what_comes() {
    need_root!();
    let place = Place::new();
    begun(&place, &["--name", "job"], "seq 100; printf 'no end'; sleep 0.5; echo; echo last");
    let followed = place.layerfs(&["logs", "-f", "--tail", "2", "job"]).said();
    assert!(followed.ends_with("no end\nlast\n"), "{followed}");
    assert_eq!(place.layerfs(&["logs", "--tail", "3", "job"]).said(), "100\nno end\nlast\n");
    assert_eq!(place.layerfs(&["logs", "-n", "0", "job"]).said(), "");
    let timed = place.layerfs(&["logs", "-t", "-n", "1", "job"]).said();
    let (time, rest) = timed.split_once(' ').unwrap();
    assert!(time.ends_with('Z') && time.len() == 30, "{timed}");
    assert_eq!(rest, "last\n");
    assert_eq!(place.layerfs(&["logs", "--since", "2000000000", "job"]).said(), "");
    assert_eq!(place.layerfs(&["logs", "--until", "1h", "job"]).said(), "");
    let slip = place.layerfs(&["logs", "--since", "soon", "job"]);
    assert!(slip.err.contains("--since `soon`"), "{slip:?}");
    place.layerfs(&["rm", "job"]).said();
    place.assert_nothing_left();
}

#[test]
fn a_terminal_in_the_background_writes_into_the_log() {
    need_root!();
    let place = Place::new();
    begun(
        &place,
        &["-t", "--name", "job"],
        "test -t 1 && echo terminal; stty size >/dev/null && echo sized",
    );
    assert_eq!(place.layerfs(&["wait", "job"]).said(), "0\n");
    assert_eq!(place.layerfs(&["logs", "job"]).said(), "terminal\r\nsized\r\n");
    place.layerfs(&["rm", "job"]).said();
    place.assert_nothing_left();
}

/// The process that stands by a container that runs.
pub fn standing_by(place: &Place, name: &str) -> u32 {
    let first = crate::userns::inspected(place, name)["State"]["Pid"].to_string();
    let status = std::fs::read_to_string(format!("/proc/{first}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    parent.trim().parse().unwrap()
}

#[test]
fn a_container_whose_process_that_stands_by_is_killed_ends_and_starts_again() {
    need_root!();
    let place = Place::new();
    begun(&place, &["--name", "web"], "exec sleep 1000");
    let first = state(&place)["pid"].as_u64().unwrap();
    let parent = standing_by(&place, "web").cast_signed();
    let parent = rustix::process::Pid::from_raw(parent).unwrap();
    rustix::process::kill_process(parent, rustix::process::Signal::KILL).unwrap();
    assert_eq!(place.layerfs(&["wait", "web"]).said(), "137\n");
    until(|| !std::path::Path::new(&format!("/proc/{first}")).exists());
    place.layerfs(&["start", "web"]).said();
    assert_eq!(state(&place)["state"], "running");
    place.layerfs(&["rm", "-f", "web"]).said();
    place.assert_nothing_left();
}

#[test]
fn the_id_is_written_where_it_is_wanted() {
    need_root!();
    let place = Place::new();
    let path = place.join("id");
    let file = path.to_str().unwrap();
    let id = begun(&place, &["--cidfile", file, "--label", "a=b", "--name", "job"], "true");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), id);
    let again = place.layerfs(&["run", "--rm", "--cidfile", file, "--rootfs", "/", "true"]);
    assert_eq!(again.status, 125);
    assert!(again.err.contains("--cidfile") && again.err.contains("new file"), "{again:?}");
    let inspected: serde_json::Value =
        serde_json::from_str(&place.layerfs(&["inspect", "job"]).said()).unwrap();
    assert_eq!(inspected[0]["Config"]["Labels"], serde_json::json!({"a": "b"}));
    place.layerfs(&["wait", "job"]).said();
    place.layerfs(&["rm", "job"]).said();
    std::fs::remove_file(&path).unwrap();
    place.assert_nothing_left();
}

#[test]
fn a_full_disk_loses_lines_of_the_log_and_nothing_else() {
    need_root!();
    if !have_loop_devices() {
        need!("loop devices");
    }
    let place = Place::on(Scratch::ext4(32));
    let script = "seq 9000000; cat /tmp/go; echo at the end; exit 6";
    let place_of_go = place.join("go");
    std::fs::create_dir(&place_of_go).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        place_of_go.join("go"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let volume = format!("{}:/tmp", place_of_go.display());
    begun(&place, &["--name", "job", "-v", &volume], script);
    // It waits here when all of it has been written, or lost.
    let mut go = std::fs::OpenOptions::new().write(true).open(place_of_go.join("go")).unwrap();
    let log = place.containers()[0].join("log");
    let len = || std::fs::metadata(&log).unwrap().len();
    assert!(len() > 1 << 20, "{} bytes", len());
    let gone = rustix::fs::statvfs(place.join("").as_path()).unwrap();
    assert_eq!(gone.f_bavail, 0, "the disk is full");
    std::fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(len() / 2).unwrap();
    // tidy: allow(sleep) what is carried still comes before this, and nothing tells when
    std::thread::sleep(Duration::from_millis(200));
    std::io::Write::write_all(&mut go, b"room\n").unwrap();
    drop(go);
    assert_eq!(place.layerfs(&["wait", "job"]).said(), "6\n");
    let said = place.layerfs(&["logs", "--tail", "2", "job"]).said();
    assert_eq!(said, "room\nat the end\n");
    place.layerfs(&["rm", "job"]).said();
    std::fs::remove_dir_all(&place_of_go).unwrap();
    place.assert_nothing_left();
}

#[test]
fn what_begins_or_ends_is_waited_for() {
    need_root!();
    let place = Place::new();
    begun(&place, &["--name", "web"], "exec sleep 1000");
    for _ in 0..5 {
        place.layerfs(&["kill", "web"]).said();
        // It is over when that returns.
        assert_eq!(state(&place)["state"], "exited");
        place.layerfs(&["start", "web"]).said();
        assert_eq!(state(&place)["state"], "running");
        place.layerfs(&["kill", "web"]).said();
        place.layerfs(&["stop", "web"]).said();
        assert_eq!(state(&place)["exit_code"], 137);
        place.layerfs(&["start", "web"]).said();
    }
    place.layerfs(&["stop", "-t", "0", "web"]).said();
    place.layerfs(&["rm", "web"]).said();
    place.assert_nothing_left();
}

#[test]
fn a_log_that_ends_within_a_line_is_read_to_its_last_whole_one() {
    need_root!();
    let place = Place::new();
    begun(&place, &["--name", "job"], "echo one; echo two");
    place.layerfs(&["wait", "job"]).said();
    let log = place.containers()[0].join("log");
    let len = std::fs::metadata(&log).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(len - 2).unwrap();
    assert_eq!(place.layerfs(&["logs", "-f", "job"]).said(), "one\n");
    place.layerfs(&["start", "job"]).said();
    place.layerfs(&["wait", "job"]).said();
    // What is left of the line is one by now, and none of the others is glued to it.
    assert_eq!(place.layerfs(&["logs", "job"]).said(), "one\ntw\none\ntwo\n");
    // The older file comes first.
    std::fs::rename(&log, log.with_extension("1")).unwrap();
    place.layerfs(&["start", "job"]).said();
    place.layerfs(&["wait", "job"]).said();
    assert_eq!(place.layerfs(&["logs", "job"]).said(), "one\ntw\none\ntwo\none\ntwo\n");
    place.layerfs(&["rm", "job"]).said();
    place.assert_nothing_left();
}

#[test]
fn words_and_paths_of_any_bytes_start_again() {
    use std::os::unix::ffi::OsStringExt;
    need_root!();
    let place = Place::new();
    let strange = place.join(std::ffi::OsString::from_vec(b"a:\xff".to_vec()));
    std::fs::create_dir_all(strange.join("bin")).unwrap();
    std::fs::write(strange.join("seen"), b"here\n").unwrap();
    std::os::unix::fs::symlink(&strange, place.join("link")).unwrap();
    let volume = format!("{}:/mnt", place.join("link").display());
    let words =
        ["create", "--name", "box", "-e", "LAYERFS_TEST_UNSET", "-v", &volume, "--rootfs", "/"];
    let mut command = place.command(&words);
    command.args(["sh", "-c", "cat /mnt/seen; echo ${LAYERFS_TEST_UNSET-unset}"]);
    assert!(command.output().unwrap().status.success());
    let mut again = place.command(&["start", "-a", "box"]);
    let again = again.env("LAYERFS_TEST_UNSET", "set later").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&again.stdout), "here\nunset\n", "{again:?}");
    place.layerfs(&["rm", "box"]).said();
    // A root of such a name, too.
    let mut command = place.command(&["run", "--name", "odd", "--rootfs"]);
    let ran = command.arg(&strange).arg("/none").output().unwrap();
    assert_eq!(ran.status.code(), Some(127), "{ran:?}");
    std::fs::remove_file(place.join("link")).unwrap();
    std::fs::remove_dir_all(&strange).unwrap();
    place.assert_nothing_left();
}

#[test]
fn a_limit_of_the_callers_files_is_no_end_of_the_container() {
    need_root!();
    let place = Place::new();
    let line = "ulimit -f 40; exec \"$0\" run -d --name job --rootfs / sh -c 'seq 90000; exit 6'";
    let mut shell = std::process::Command::new("sh");
    shell.env("LAYERFS_ROOT", place.join("store")).env("LAYERFS_RUNROOT", place.join("run"));
    let ran = shell.args(["-c", line, env!("CARGO_BIN_EXE_layerfs")]).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    assert_eq!(place.layerfs(&["wait", "job"]).said(), "6\n");
    assert!(place.layerfs(&["logs", "job"]).said().starts_with("1\n2\n"));
    place.layerfs(&["rm", "job"]).said();
    place.assert_nothing_left();
}

#[cfg(feature = "fault")]
#[test]
fn a_container_that_cannot_say_that_it_runs_ends() {
    need_root!();
    let place = Place::new();
    // Of the states that are written the one that says so: each is written aside, and renamed.
    let mut refused = 0;
    for n in 1..12 {
        let mut command =
            place.command(&["run", "--name", "box", "--rootfs", "/", "sleep", "1000"]);
        command.env("LAYERFS_FAULT", format!("fail:{n}:ENOSPC:renameat"));
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let began = Instant::now();
        while child.try_wait().unwrap().is_none() && began.elapsed() < Duration::from_secs(3) {
            std::thread::yield_now();
        }
        if child.try_wait().unwrap().is_none() {
            place.layerfs(&["rm", "-f", "box"]).said();
            child.wait().unwrap();
            break;
        }
        refused += 1;
        place.layerfs(&["rm", "-f", "box"]);
    }
    assert!(refused >= 3, "{refused}");
    place.assert_nothing_left();
}

/// As docker has it: what waits for input waits on, and nobody's comes.
#[test]
fn input_in_the_background_stays_open_where_it_is_wanted() {
    need_root!();
    let place = Place::new();
    let reads = "cat; echo at its end; exec sleep 1000";
    begun(&place, &["--name", "none"], reads);
    until(|| place.layerfs(&["logs", "none"]).out == "at its end\n");
    begun(&place, &["-i", "--name", "open"], &format!("ls -l /proc/self/fd/0; {reads}"));
    until(|| place.layerfs(&["logs", "open"]).out.contains("pipe:["));
    for _ in 0..2 {
        until(|| place.layerfs(&["exec", "open", "pidof", "cat"]).status == 0);
        assert!(!place.layerfs(&["logs", "open"]).out.contains("at its end"));
        // It is so again where it is started again.
        place.layerfs(&["restart", "-t", "0", "open"]).said();
    }
    place.layerfs(&["rm", "-f", "none", "open"]).said();
    place.assert_nothing_left();
}

/// As docker has it: it was made, and why it does not run is in its state.
#[test]
fn one_that_was_made_and_can_not_be_started_says_why() {
    need_root!();
    let place = Place::new();
    place.layerfs(&["create", "--name", "box", "--rootfs", "/", "/no/such/program"]).said();
    for _ in 0..2 {
        let refused = place.layerfs(&["start", "box"]);
        assert_eq!(refused.status, 1, "{refused:?}");
        let listed = place.layerfs(&["ps", "-a", "--format", "{{.Status}}"]).said();
        assert_eq!(listed, "Created\n");
        let shown = &crate::userns::inspected(&place, "box")["State"];
        assert_eq!((&shown["Status"], &shown["ExitCode"]), (&"created".into(), &127.into()));
        let why = shown["Error"].as_str().unwrap();
        assert!(why.contains("/no/such/program") && refused.err.contains(why), "{why} {refused:?}");
        assert_eq!(shown["StartedAt"], "0001-01-01T00:00:00Z");
        assert_eq!(
            (&state(&place)["error"], &state(&place)["exit_code"]),
            (&shown["Error"], &127.into())
        );
        assert_eq!(place.layerfs(&["wait", "box"]).said(), "127\n");
    }
    assert_eq!(place.layerfs(&["start", "-a", "box"]).status, 127);
    assert!(
        crate::userns::inspected(&place, "box")["State"]["Error"]
            .as_str()
            .unwrap()
            .contains("/no/such")
    );
    place.layerfs(&["rm", "box"]).said();
    place.assert_nothing_left();
}

#[test]
fn commands_that_stop_and_start_one_container_at_once_all_come_to_their_end() {
    need_root!();
    let place = Place::new();
    let id =
        place.layerfs(&["run", "-d", "--name", "box", "--rootfs", "/", "sleep", "1000"]).said();
    for verbs in [
        &[&["restart", "-t", "0", "box"][..]; 4][..],
        &[
            &["restart", "-t", "0", "box"],
            &["stop", "-t", "0", "box"],
            &["start", "box"],
            &["start", "box"],
            &["restart", "-t", "0", "box"],
        ],
    ] {
        let began = std::time::Instant::now();
        std::thread::scope(|scope| {
            let all: Vec<_> =
                verbs.iter().map(|words| scope.spawn(|| place.layerfs(words))).collect();
            for (one, words) in all.into_iter().zip(verbs) {
                let ran = one.join().unwrap();
                assert_eq!((ran.status, ran.out.as_str()), (0, "box\n"), "{words:?}: {ran:?}");
            }
        });
        assert!(began.elapsed().as_secs() < 60);
    }
    assert_eq!(place.layerfs(&["rm", "-f", "box"]).said(), "box\n", "{id}");
    place.assert_nothing_left();
}
