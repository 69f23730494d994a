//! `layerfs top`: the processes of a container, and no others.

use std::process::Command;

use crate::exec::Up;
use crate::place::Place;
use crate::support::{need, need_root};

/// The columns of each line after the headings.
fn rows(said: &str) -> Vec<Vec<String>> {
    let lines = said.lines().skip(1);
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

#[test]
fn the_processes_of_a_container_are_told_as_ps_tells_them() {
    need_root!();
    need!("ps");
    let place = Place::new();
    let other = "import os, time; os.setuid(1); time.sleep(1000)";
    // Users of its own have no names on the host.
    let script = format!("sleep 1000 & python3 -c '{other}' & wait");
    let up = Up::new(&place, &["--userns", "host"], &script);
    let first = up.pid();
    let mut all = Vec::new();
    // They come one by one.
    while all.len() != 3 || !all.iter().any(|row: &Vec<String>| row[0] == "daemon") {
        let said = place.layerfs(&["top", "box"]).said();
        let headings: Vec<&str> = said.lines().next().unwrap().split_whitespace().collect();
        assert_eq!(headings, ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
        all = rows(&said);
    }
    assert!(all.iter().all(|row| row[1] == first.to_string() || row[2] == first.to_string()));
    let pids: Vec<&str> = all.iter().map(|row| row[1].as_str()).collect();
    let mut ps = Command::new("ps");
    ps.args(["-o", "user=,pid=,ppid=,tty=,time=,args=", "-p"]).arg(pids.join(","));
    let ps = ps.output().unwrap();
    let theirs = String::from_utf8(ps.stdout).unwrap();
    for (line, row) in theirs.lines().zip(&all) {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let ours = [&row[..3], &row[5..]].concat();
        assert_eq!(columns, ours);
    }
    assert_eq!(theirs.lines().count(), 3);
    // And by the words of ps.
    let asked = place.layerfs(&["top", "box", "-o", "pid,args"]).said();
    let asked: Vec<String> = rows(&asked).into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(asked, pids);
    assert_eq!(place.layerfs(&["top", "box", "aux"]).said().lines().count(), 4);
    up.end();
    place.assert_nothing_left();
}

#[test]
fn a_process_with_very_many_words_is_listed() {
    need_root!();
    let place = Place::new();
    let script = "set --; for n in 1 2 3 4 5 6 7 8 9 10 11 12; do set -- \"$@\" \
        \"$(head -c 100000 /dev/zero | tr '\\0' x)\"; done; exec python3 -c 'import time; time.sleep(1000)' \"$@\"";
    let up = Up::new(&place, &[], script);
    crate::carried::until(|| {
        let words = std::fs::read(format!("/proc/{}/cmdline", up.pid())).unwrap();
        words.len() > 1 << 20
    });
    let listed = rows(&place.layerfs(&["top", "box"]).said());
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0][1], up.pid().to_string());
    up.end();
    place.assert_nothing_left();
}

#[test]
fn what_top_can_not_tell_is_one_line() {
    need_root!();
    need!("ps");
    let place = Place::new();
    let up = Up::idle(&place);
    for (words, told) in [
        (&["top", "box", "-o", "args"][..], "it prints no column PID"),
        (&["top", "box", "--no-such-option"], "ps: it ended with status 1"),
        (&["top", "absent"], "absent"),
    ] {
        let ran = place.layerfs(words);
        assert_eq!((ran.status, ran.err.lines().count()), (1, 1), "{ran:?}");
        assert!(ran.err.contains(told), "{ran:?}");
    }
    up.end();
    assert_eq!(place.layerfs(&["top", "box"]).status, 1);
    place.assert_nothing_left();
}
