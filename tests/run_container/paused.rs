//! `layerfs pause` and `unpause`: a container that stands still, and what ends it or lets it go on.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::exec::Up;
use crate::place::{Place, ran};
use crate::support::{need, need_root};

/// Makes a file longer, for as long as it runs.
const COUNTS: &str = "while :; do echo >> /dev/shm/count; done";

/// Root of a container's own users shows its files to nobody outside.
const USERS: [&str; 2] = ["--userns", "host"];

/// How far it has come. From outside: who enters a paused container stands still, too.
fn counted(up: &Up<'_>) -> u64 {
    let path = format!("/proc/{}/root/dev/shm/count", up.pid());
    std::fs::metadata(path).map_or(0, |file| file.len())
}

#[track_caller]
fn assert_counts_on(up: &Up<'_>) {
    let (before, until) = (counted(up), Instant::now() + Duration::from_secs(20));
    while counted(up) == before {
        assert!(Instant::now() < until, "it stands still");
    }
}

fn states(place: &Place) -> (String, String, Value) {
    let listed = place.layerfs(&["ps", "--format", "{{.State}} {{.Status}}"]).said();
    let filtered = place.layerfs(&["ps", "--filter", "status=paused", "--format", "{{.Names}}"]);
    let all: Value = serde_json::from_str(&place.layerfs(&["inspect", "box"]).said()).unwrap();
    (listed, filtered.said(), all[0]["State"].clone())
}

#[test]
fn a_paused_container_stands_still_is_shown_so_and_goes_on() {
    need_root!();
    let place = Place::new();
    let up = Up::new(&place, &USERS, COUNTS);
    assert_counts_on(&up);
    assert_eq!(place.layerfs(&["pause", "box"]).said(), "box\n");
    let before = counted(&up);
    let (listed, filtered, state) = states(&place);
    assert!(listed.starts_with("paused Up ") && listed.ends_with(" (Paused)\n"), "{listed}");
    assert_eq!((filtered.as_str(), &state["Status"]), ("box\n", &Value::from("paused")));
    assert_eq!((&state["Paused"], &state["Running"]), (&Value::from(true), &Value::from(true)));
    // Nobody gets in, and is told at once.
    let exec = up.exec(&[], &["true"]);
    let told =
        "layerfs: container `box`: the container is paused; `layerfs unpause` lets it go on\n";
    assert_eq!((exec.status, exec.err.as_str()), (125, told));
    let again = place.layerfs(&["pause", "box"]);
    let told = "layerfs: container `box` is paused already\n";
    assert_eq!((again.status, again.err.as_str()), (1, told));
    // Its processes are still told by `top`.
    assert!(place.layerfs(&["top", "box"]).said().contains("sh -c echo ready"));
    assert_eq!(counted(&up), before);
    assert_eq!(place.layerfs(&["unpause", "box"]).said(), "box\n");
    assert_counts_on(&up);
    let (listed, filtered, state) = states(&place);
    assert!(listed.starts_with("running Up ") && !listed.contains("Paused"), "{listed}");
    assert_eq!((filtered.as_str(), &state["Paused"]), ("", &Value::from(false)));
    let again = place.layerfs(&["unpause", "box"]);
    assert_eq!((again.status, again.err.as_str()), (1, "layerfs: container `box` is not paused\n"));
    up.end();
    for verb in ["pause", "unpause"] {
        assert_eq!(place.layerfs(&[verb, "box"]).status, 1);
    }
    place.assert_nothing_left();
}

#[test]
fn a_paused_container_is_ended_by_rm_stop_and_kill() {
    need_root!();
    let place = Place::new();
    let hears = "trap 'exit 7' TERM; while :; do :; done";
    for (words, status) in
        [(&["rm", "-f", "box"][..], 137), (&["kill", "box"], 137), (&["stop", "box"], 7)]
    {
        let up = Up::new(&place, &[], hears);
        assert_eq!(place.layerfs(&["pause", "box"]).said(), "box\n");
        assert_eq!(place.layerfs(words).said(), "box\n", "{words:?}");
        assert_eq!(up.ended(), status, "{words:?}");
    }
    place.assert_nothing_left();
}

/// The command that runs it is killed: nothing of it could end by itself.
#[test]
fn what_is_left_of_a_paused_container_is_cleared_by_the_next_command() {
    need_root!();
    let place = Place::new();
    let mut run = place.command(&["run", "--rm", "--name", "box", "--rootfs", "/", "sh", "-c"]);
    let mut child = run.arg("echo ready; exec sleep 1000").stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(place.layerfs(&["pause", "box"]).said(), "box\n");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(place.layerfs(&["run", "--rm", "--rootfs", "/", "true"]).said(), "");
    place.assert_nothing_left();
}

/// A commit has the container stand still for a moment, and lets go of what it holds alone.
#[test]
fn a_commit_of_a_paused_container_leaves_it_paused() {
    need_root!();
    need!("busybox", "tar");
    let place = Place::new();
    crate::image::make(&place, "small", &serde_json::json!({}));
    let up = Up::of(&place, &["--userns", "host", "small"], COUNTS);
    assert_counts_on(&up);
    assert_eq!(place.layerfs(&["pause", "box"]).said(), "box\n");
    assert_eq!(place.layerfs(&["commit", "box", "kept:1"]).status, 0);
    let before = counted(&up);
    assert!(states(&place).0.starts_with("paused "));
    assert_eq!(counted(&up), before);
    assert_eq!(place.layerfs(&["unpause", "box"]).said(), "box\n");
    // And of one that runs it leaves it running.
    assert_eq!(place.layerfs(&["commit", "box", "kept:2"]).status, 0);
    assert_counts_on(&up);
    up.end();
    place.assert_nothing_left();
}

/// Somebody is on the way in when it is paused: the command says so, and what was on the way ends with the pause.
#[test]
fn who_is_on_the_way_in_when_it_is_paused_is_told() {
    need_root!();
    need!("timeout");
    let place = Place::new();
    let up = Up::idle(&place);
    let mut told = 0;
    for _ in 0..30 {
        let mut commands: Vec<_> = (0..3)
            .map(|_| {
                let inner = up.command(&[], &["true"]);
                let mut command = Command::new("timeout");
                command.args(["20"]).arg(inner.get_program()).args(inner.get_args());
                command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
                command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        assert_eq!(place.layerfs(&["pause", "box"]).said(), "box\n");
        // Whose program runs stands still with the others.
        std::thread::scope(|scope| {
            let unpause = scope.spawn(|| {
                // tidy: allow(sleep) that nobody is told any more is told by nothing
                std::thread::sleep(Duration::from_millis(600));
                place.layerfs(&["unpause", "box"]).said()
            });
            for child in commands.drain(..) {
                let ran = ran(child.wait_with_output().unwrap());
                assert!([0, 125].contains(&ran.status), "{ran:?}");
                told += u32::from(ran.err.contains("is paused"));
                assert!(ran.status == 0 || ran.err.contains("is paused"), "{ran:?}");
            }
            assert_eq!(unpause.join().unwrap(), "box\n");
        });
    }
    assert!(told > 0, "nobody was on the way");
    up.end();
    place.assert_nothing_left();
}

/// Whoever is killed, who stands still can't die before it goes on again: the next command sees to that, whichever it is.
#[test]
fn what_is_killed_beside_a_paused_container_is_cleared_by_whatever_comes_next() {
    need_root!();
    need!("timeout");
    let next: [&[&str]; 4] = [
        &["ps", "-a"],
        &["wait", "box"],
        &["rm", "-f", "box"],
        &["run", "--rm", "--rootfs", "/", "true"],
    ];
    for (command, server) in [(true, false), (false, true), (true, true)] {
        for words in next {
            let place = Place::new();
            let run = ["run", "-d", "--name", "box", "--rootfs", "/", "sleep", "1000"];
            place.layerfs(&run).said();
            let first = crate::userns::inspected(&place, "box")["State"]["Pid"].to_string();
            let parent = crate::detached::standing_by(&place, "box");
            let serving = crate::ended::server_beside(parent);
            let parent = Pid::from_raw(parent.cast_signed()).unwrap();
            assert_eq!(place.layerfs(&["pause", "box"]).said(), "box\n");
            let killed = [(command, parent), (server, serving)];
            for (_, pid) in killed.iter().filter(|(is_killed, _)| *is_killed) {
                rustix::process::kill_process(*pid, Signal::KILL).unwrap();
            }
            let case = format!("{command} {server} {words:?}");
            // What comes next is done in time, and what comes then finds nothing of it.
            for words in [words, &["ps", "-a"], &["rm", "-f", "box"]] {
                let inner = place.command(words);
                let mut timed = Command::new("timeout");
                timed.args(["-s", "KILL", "30"]).arg(inner.get_program()).args(inner.get_args());
                timed.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
                let ran = ran(timed.stdin(Stdio::null()).output().unwrap());
                assert_eq!(ran.status, 0, "{case}: {words:?}: {ran:?}");
            }
            let until = Instant::now() + Duration::from_secs(10);
            while std::path::Path::new(&format!("/proc/{first}")).exists() {
                assert!(Instant::now() < until, "{case}: it is there still");
                std::thread::yield_now();
            }
            place.assert_nothing_left();
        }
    }
}
