//! The process that serves a mount: how it begins, what it keeps of its caller, how it ends.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::live::{Holder, Live, live, step};
use crate::place::finished;
use crate::support::machine;

const CHANGED: [&str; 4] = ["mount", "-o", "lowerdir=base,upperdir=up,workdir=work", "mnt"];

#[test]
fn what_is_logged_before_the_mount_is_usable_does_not_stop_it() {
    let Some(live) = live() else { return };
    live.place.pull_small("small");
    for words in [&CHANGED[..], &["mount", "small:1", "mnt"]] {
        let mut by_option = live.place.command(&["--log-level=debug"]);
        let mut by_variable = live.place.command(words);
        for command in [by_variable.env("LAYERFS_LOG", "trace"), by_option.args(words)] {
            let run = finished(command);
            assert_eq!((run.status, &*run.stdout), (Some(0), ""), "{run:?}");
            assert!(run.stderr.contains("layerfs: debug: mounted at "), "the server's: {run:?}");
            assert!(!live.place.join("mnt/in").exists());
            live.umount();
        }
    }
    let mut refused = live.place.command(&["mount", "-o", "lowerdir=base,upperdir=up", "mnt"]);
    assert_eq!(finished(refused.env("LAYERFS_LOG", "trace")).status, Some(2));
    live.assert_nothing_left();
}

/// What the serving processes of `mnt` hold: the target of each descriptor.
fn held(live: &Live) -> Vec<(u32, String)> {
    let [pid] = live.servers()[..] else { panic!("one process serves: {:?}", live.servers()) };
    let entries = machine::entries(Path::new(&format!("/proc/{pid}/fd")));
    let target = |entry: &PathBuf| {
        let number = entry.file_name().unwrap().to_str().unwrap().parse().unwrap();
        Some((number, std::fs::read_link(entry).ok()?.to_str().unwrap().to_owned()))
    };
    entries.iter().filter_map(target).collect()
}

#[test]
fn nothing_of_its_caller_is_kept_by_a_serving_process() {
    let Some(live) = live() else { return };
    std::fs::write(live.place.join("lock"), "").unwrap();
    let script = "exec 7<>lock 8<lock 9<lock; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_layerfs")]).args(CHANGED);
    let run = finished(command.current_dir(live.place.join("")));
    assert_eq!((run.status, &*run.stderr), (Some(0), ""));
    let held = held(&live);
    for stream in 0..3 {
        assert!(held.contains(&(stream, "/dev/null".to_owned())), "{stream}: {held:?}");
    }
    // The rest is the connection, and the directories by path or, as detached copies, by nothing but `/`. The copy that
    // the streams were made of may not be closed yet.
    let own = ["/dev/fuse", "/", "/dev/null"].map(String::from);
    let inside = ["up", "work", "base"].map(|dir| live.place.join(dir));
    for (number, target) in held.iter().filter(|(number, _)| *number > 2) {
        let known =
            own.contains(target) || inside.iter().any(|dir| Path::new(target).starts_with(dir));
        assert!(known, "{number}: {target}");
    }
    live.umount();
    live.assert_nothing_left();
}

#[test]
fn nothing_is_mounted_for_a_caller_that_has_gone() {
    let Some(live) = live() else { return };
    let Some(holder) = Holder::of(&live.place.join("up")) else { return };
    let mut mount = live.place.command(&CHANGED).spawn().unwrap();
    while live.servers().is_empty() {
        assert_eq!(mount.try_wait().unwrap(), None, "it waits for the upper");
        step();
    }
    mount.kill().unwrap();
    mount.wait().unwrap();
    // Before the upper is free, so that it is the caller's end that ends it.
    let until = Instant::now() + Duration::from_secs(5);
    while !live.servers().is_empty() && Instant::now() < until {
        step();
    }
    let left = live.servers();
    holder.let_go();
    live.assert_nothing_left();
    assert_eq!(left, [0; 0], "it still waits for the upper");
}

#[test]
fn limits_of_the_caller_do_not_end_the_process() {
    let Some(live) = live() else { return };
    // The hard limit of files' sizes stays: whoever writes more is told, and nobody is cut off.
    let script = "ulimit -f 100 && ulimit -Sn 100 && exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_layerfs")]).args(CHANGED);
    let run = finished(command.args(["-o", "io=cached"]).current_dir(live.place.join("")));
    assert_eq!((run.status, &*run.stderr), (Some(0), ""));
    let written = std::fs::write(live.place.join("mnt/big"), vec![1; 1 << 20]);
    assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::FileTooLarge);
    assert_eq!(live.read("mnt/only"), "only", "it is served on");
    let [pid] = live.servers()[..] else { panic!("one process serves") };
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    for name in ["Max file size", "Max open files"] {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[0], words[1], "{name}: as much as it may");
    }
    live.umount();
    live.assert_nothing_left();
}

pub fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

pub fn wait_until_ended(pid: u32) {
    while machine::command_line(pid).contains(" serve --source=") {
        step();
    }
}

#[test]
fn a_signal_to_end_unmounts_and_ends() {
    let Some(live) = live() else { return };
    for number in [Signal::TERM, Signal::INT, Signal::HUP] {
        live.place.said(&CHANGED);
        let [pid] = live.servers()[..] else { panic!("one process serves") };
        std::fs::write(live.place.join("mnt/only"), format!("{number:?}")).unwrap();
        signal(pid, number);
        wait_until_ended(pid);
        assert!(live.place.join("mnt/in").exists(), "nothing is mounted");
        assert_eq!(live.read("up/only"), format!("{number:?}"));
    }
    live.assert_nothing_left();
}

#[test]
fn a_second_signal_ends_a_mount_that_is_in_use() {
    let Some(live) = live() else { return };
    live.place.said(&CHANGED);
    let [pid] = live.servers()[..] else { panic!("one process serves") };
    let mut used = std::fs::File::open(live.place.join("mnt/only")).unwrap();
    signal(pid, Signal::TERM);
    while !live.place.join("mnt/in").exists() {
        step();
    }
    let mut text = String::new();
    used.read_to_string(&mut text).unwrap();
    assert_eq!((&*text, live.servers()), ("only", vec![pid]), "served until its last user goes");
    signal(pid, Signal::TERM);
    wait_until_ended(pid);
    assert!(used.metadata().is_err(), "it had its time");
    drop(used);
    live.assert_nothing_left();
}

#[test]
fn a_signal_to_end_leaves_a_mount_that_stands_on_top() {
    let Some(live) = live() else { return };
    live.place.said(&CHANGED);
    let [below] = live.servers()[..] else { panic!("one process serves") };
    live.place.said(&["mount", "-o", "lowerdir=top,fsname=above", "mnt"]);
    signal(below, Signal::TERM);
    wait_until_ended(below);
    assert_eq!(live.read("mnt/both"), "top", "the mount on top is somebody else's");
    live.umount();
    // What was below has nobody to serve it, and can be taken away.
    live.umount();
    assert!(live.place.join("mnt/in").exists());
    live.assert_nothing_left();
}

/// The mount is made, and then the serving process can't let go of its caller.
#[cfg(feature = "fault")]
#[test]
fn a_mount_that_is_made_and_not_served_is_taken_away() {
    let Some(live) = live() else { return };
    for point in 1..=3 {
        let mut command = live.place.command(&CHANGED);
        let line =
            finished(command.env("LAYERFS_FAULT", format!("fail:{point}:EIO:dup2"))).refusal(1);
        assert!(line.starts_with("dup2("), "{line}");
        assert!(live.place.join("mnt/in").exists(), "nothing is mounted");
        live.assert_nothing_left();
    }
}

#[test]
fn umount_finds_the_mount_by_every_path() {
    let Some(live) = live() else { return };
    std::os::unix::fs::symlink("mnt", live.place.join("link")).unwrap();
    std::os::unix::fs::symlink(".", live.place.join("here")).unwrap();
    for path in ["mnt/", "here/mnt", "top/../mnt", "link", "./mnt/."] {
        live.place.said(&["mount", "-o", "lowerdir=base", "mnt"]);
        live.place.said(&["umount", path]);
        assert!(live.place.join("mnt/in").exists(), "{path}");
    }
    for (path, why) in [
        ("mnt", "is not a layerfs mount"),
        ("nope", "`nope`: it does not exist"),
        ("mnt/in", "is not a layerfs mount"),
    ] {
        let line = live.place.refused(&["umount", path]);
        assert!(line.contains(why), "{line}");
    }
    live.assert_nothing_left();
}

#[test]
fn umount_takes_away_a_mount_that_nobody_serves() {
    let Some(live) = live() else { return };
    live.place.said(&CHANGED);
    let [pid] = live.servers()[..] else { panic!("one process serves") };
    signal(pid, Signal::KILL);
    wait_until_ended(pid);
    live.place.said(&["umount", "top/../mnt"]);
    assert!(live.place.join("mnt/in").exists());
    live.assert_nothing_left();
}

#[test]
fn a_server_ends_with_its_mount() {
    let Some(live) = live() else { return };
    live.place.said(&CHANGED);
    let [pid] = live.servers()[..] else { panic!("one process serves") };
    live.umount();
    wait_until_ended(pid);
    live.assert_nothing_left();
}

#[test]
fn a_mount_in_use_is_taken_away_lazily_and_served_until_it_is_let_go() {
    let Some(live) = live() else { return };
    live.place.said(&CHANGED);
    let [pid] = live.servers()[..] else { panic!("one process serves") };
    let mut used = std::fs::File::open(live.place.join("mnt/only")).unwrap();
    let line = live.place.refused(&["umount", "mnt"]);
    assert!(line.contains("`mnt` is in use by process "), "{line}");
    live.place.said(&["umount", "-l", "mnt"]);
    assert!(live.place.join("mnt/in").exists(), "it is out of the tree");
    let mut text = String::new();
    used.read_to_string(&mut text).unwrap();
    assert_eq!((&*text, live.servers()), ("only", vec![pid]));
    drop(used);
    wait_until_ended(pid);
    live.assert_nothing_left();
}

#[test]
fn what_is_said_after_the_mount_goes_to_the_file_of_log() {
    let Some(live) = live() else { return };
    let mut command = live.place.command(&["--log-level=debug"]);
    let run = finished(command.args(CHANGED).args(["--log", "log"]));
    assert_eq!((run.status, &*run.stderr), (Some(0), ""), "the server's log is elsewhere");
    let [pid] = live.servers()[..] else { panic!("one process serves") };
    signal(pid, Signal::TERM);
    wait_until_ended(pid);
    let log = live.read("log");
    assert!(log.contains(" debug: mounted at "), "{log}");
    assert!(log.contains(" debug: told to end\n"), "{log}");
    let line = live.place.refused(&["mount", "-o", "lowerdir=base", "--log", "no/log", "mnt"]);
    assert!(line.contains("log file `") && line.contains("/no/log"), "{line}");
    live.assert_nothing_left();
}

#[test]
fn verbose_tells_what_was_agreed_with_the_kernel() {
    let Some(live) = live() else { return };
    let rows: [&[&str]; 2] =
        [&["-v", "-o", "lowerdir=base", "mnt"], &["-o", "lowerdir=base", "--verbose", "mnt"]];
    for words in rows {
        let run = live.place.run(&[&["mount"], words].concat());
        assert_eq!((run.status, &*run.stdout), (Some(0), ""), "{run:?}");
        let line = run.stderr.strip_prefix("layerfs: FUSE 7.").unwrap_or_else(|| panic!("{run:?}"));
        assert!(line.contains("DO_READDIRPLUS") && line.lines().count() == 1, "{line}");
        live.umount();
    }
    let run = live.run_named("mount.layerfs", &["given", "mnt", "-v", "-o", "lowerdir=base"]);
    assert!(run.stderr.starts_with("layerfs: FUSE 7."), "{run:?}");
    live.umount();
    live.assert_nothing_left();
}

#[test]
fn an_unmount_of_what_is_in_use_names_its_user_and_the_cure() {
    let Some(live) = live() else { return };
    live.place.said(&CHANGED);
    for (dir, file) in [("mnt", "/dev/null"), (".", "mnt/only")] {
        let mut user = Command::new("sh");
        user.args(["-c", &format!("exec 7<{file}; echo in; read line")])
            .current_dir(live.place.join(dir));
        let (said, speaks) = std::io::pipe().unwrap();
        let mut user = user.stdin(std::process::Stdio::piped()).stdout(speaks).spawn().unwrap();
        let mut told = [0; 3];
        (&said).read_exact(&mut told).unwrap();
        let expected = format!("`mnt` is in use by process {} (sh): end that, or take", user.id());
        let line = live.place.refused(&["umount", "mnt"]);
        assert!(line.starts_with(&expected), "{line}");
        drop(user.stdin.take());
        user.wait().unwrap();
    }
    live.umount();
    live.assert_nothing_left();
}
