//! The ids that containers with users of their own have on the host: each its own, for as long as it is there.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use serde_json::Value;

use crate::place::Place;
use crate::support::need_root;
use crate::userns::{auto, first_of, inspected, remove_all, waiting};

/// Locks of bytes that are held of the file of ranges.
fn ranges_in_use(place: &Place) -> usize {
    let inode = std::fs::metadata(place.join("run/ids")).unwrap().ino();
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    locks
        .lines()
        .filter(|line| line.contains("OFDLCK") && line.contains(&format!(":{inode} ")))
        .count()
}

#[test]
fn containers_that_run_have_no_id_in_common() {
    need_root!();
    let place = Place::new();
    let (one, _one, first) = waiting(&place, &["--userns", "auto"]);
    let (other, _other, second) = waiting(&place, &["--userns", "auto"]);
    assert_ne!(first, second);
    assert_eq!(ranges_in_use(&place), 2);
    remove_all(&place, [one, other]);
    assert_eq!(ranges_in_use(&place), 0);
    place.assert_nothing_left();
}

#[test]
fn ten_containers_that_start_at_once_have_ten_ranges() {
    need_root!();
    let place = Place::new();
    let running: Vec<_> = std::thread::scope(|scope| {
        let started: Vec<_> =
            (0..10).map(|_| scope.spawn(|| waiting(&place, &["--userns", "auto"]))).collect();
        started.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let ranges: BTreeSet<u32> = running.iter().map(|(_, _, first)| *first).collect();
    assert_eq!((ranges.len(), ranges_in_use(&place)), (10, 10));
    remove_all(&place, running.into_iter().map(|(child, ..)| child));
    assert_eq!(ranges_in_use(&place), 0);
    place.assert_nothing_left();
}

/// Whoever is killed: the command while it makes the container and while that runs, and the process that serves its root.
#[test]
fn a_range_is_free_once_what_had_it_is_gone_whoever_was_killed() {
    need_root!();
    let place = Place::new();
    place.script(&["--userns", "auto"], "true").said();
    let mut had = 0;
    for turn in 0..16 {
        let words = [
            "run",
            "--rm",
            "--userns",
            "auto",
            "--rootfs",
            "/",
            "sh",
            "-c",
            "cat /proc/self/uid_map; exec sleep 1000",
        ];
        let mut command = place.command(&words);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        if turn % 4 == 3 {
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            first_of(&line);
            had += ranges_in_use(&place);
        } else {
            // At whatever point it is after so many turns.
            (0..turn * 200).for_each(|_| std::thread::yield_now());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while ranges_in_use(&place) > 0 {
            assert!(std::time::Instant::now() < until, "a range is taken still in turn {turn}");
            std::thread::yield_now();
        }
    }
    assert_eq!(had, 4);
    let (mut child, _out, _) = waiting(&place, &["--userns", "auto"]);
    rustix::process::kill_process(crate::ended::server_of(&child), rustix::process::Signal::KILL)
        .unwrap();
    child.wait().unwrap();
    assert_eq!(ranges_in_use(&place), 0);
    assert_eq!(place.layerfs(&["ps", "-a"]).status, 0);
    place.assert_nothing_left();
}

/// In the background, and started again.
#[test]
fn a_container_that_is_started_again_has_its_range_again_and_what_it_wrote() {
    need_root!();
    let place = Place::new();
    let script = "cat /proc/self/uid_map >>/maps; chown 33 /maps; cat /maps; stat -c %u /maps; exec sleep 1000";
    place.layerfs(&["run", "-d", "--name", "box", "--rootfs", "/", "sh", "-c", script]).said();
    let ran = |times: usize| loop {
        let said = place.layerfs(&["logs", "box"]).out;
        if said.lines().count() >= times {
            return said;
        }
        std::thread::yield_now();
    };
    let first = first_of(ran(2).lines().next().unwrap());
    assert_eq!(ranges_in_use(&place), 1);
    let pid = inspected(&place, "box")["State"]["Pid"].clone();
    assert_eq!(std::fs::metadata(format!("/proc/{pid}")).unwrap().uid(), first);
    // A further process of it has the same users, and its programs gain nothing.
    let further = [
        "exec",
        "-u",
        "33",
        "box",
        "sh",
        "-c",
        "cat /proc/self/uid_map; id -u; grep NoNewPrivs /proc/self/status; echo x >/dev/stdout",
    ];
    let said = place.layerfs(&further).said();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((first_of(lines[0]), &lines[1..]), (first, &["33", "NoNewPrivs:\t1", "x"][..]));
    let beyond = place.layerfs(&["exec", "-u", "65536", "box", "id"]);
    assert!(beyond.status == 125 && beyond.err.contains("--userns host"), "{beyond:?}");
    assert_eq!(place.layerfs(&["kill", "box"]).status, 0);
    place.layerfs(&["wait", "box"]);
    assert_eq!(inspected(&place, "box")["HostConfig"]["IDMappings"], Value::Null);
    assert_eq!(place.layerfs(&["start", "box"]).said(), "box\n");
    let said = ran(5);
    let maps: Vec<u32> = [2, 3].map(|line| first_of(said.lines().nth(line).unwrap())).to_vec();
    assert_eq!((maps, said.lines().last().unwrap()), (vec![first, first], "33"));
    assert_eq!(place.layerfs(&["rm", "-f", "box"]).status, 0);
    place.assert_nothing_left();
}

/// What is left of a killed command's container has its ids still, until its files go.
#[test]
fn a_range_is_held_while_the_files_of_its_container_are_there() {
    need_root!();
    let place = Place::new();
    let (mut child, _out, _) = waiting(&place, &["--userns", "auto"]);
    let server = crate::ended::server_of(&child);
    rustix::process::kill_process(server, rustix::process::Signal::STOP).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(ranges_in_use(&place), 1);
    rustix::process::kill_process(server, rustix::process::Signal::CONT).unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while ranges_in_use(&place) > 0 {
        assert!(std::time::Instant::now() < until, "the range is taken still");
        std::thread::yield_now();
    }
    // The process that served it may still be ending.
    while !place.containers().is_empty() {
        assert!(std::time::Instant::now() < until, "it is not cleared up");
        place.script(&[], "true").said();
    }
    place.assert_nothing_left();
}

#[test]
fn a_container_takes_the_one_range_that_is_free_and_the_next_is_told() {
    use layerfs_driver::sys::lock::try_take_byte;
    need_root!();
    let place = Place::new();
    place.script(&["--userns", "auto"], "true").said();
    let others = std::fs::File::options().write(true).open(place.join("run/ids")).unwrap();
    const FREE: u32 = 4_000;
    for number in (0..4_094).filter(|number| *number != FREE) {
        assert!(try_take_byte(&others, number).unwrap());
    }
    let (child, _out, first) = waiting(&place, &["--userns", "auto"]);
    assert_eq!(first, 0x7000_0000 + FREE * 65_536);
    let ran = auto(&place, &[], "true");
    let told = "layerfs: each of the 4094 ranges of ids for containers is in use; end one first, or give this one the host's users with \
                --userns host\n";
    assert_eq!((ran.status, ran.err.as_str()), (125, told));
    place.script(&["--userns", "host"], "true").said();
    remove_all(&place, [child]);
    drop(others);
    place.assert_nothing_left();
}
