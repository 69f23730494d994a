//! Many containers, one after the other and all at once, leave nothing: no mount, process, descriptor, group or file.

use std::process::Stdio;

use crate::place::Place;
use crate::support::{figure, need_root, soak};

/// One container, from its making to its end, in one of the ways in which that happens.
fn cycle(place: &Place, number: u32) {
    match number % 5 {
        0 => assert_eq!(place.script(&["--network", "none"], "echo ran").said(), "ran\n"),
        1 => {
            let made = ["create", "--network", "none", "--rootfs", "/", "sh", "-c", "exit 3"];
            let id = place.layerfs(&made).said();
            assert_eq!(place.layerfs(&["start", id.trim_end()]).status, 0);
            assert_eq!(place.layerfs(&["wait", id.trim_end()]).said(), "3\n");
            assert_eq!(place.layerfs(&["rm", id.trim_end()]).said(), id);
        }
        2 => {
            let begun = ["run", "-d", "--network", "none", "--rootfs", "/", "sleep", "1000"];
            let id = place.layerfs(&begun).said();
            assert_eq!(place.layerfs(&["rm", "-f", id.trim_end()]).said(), id);
        }
        3 => {
            let missing =
                place.layerfs(&["run", "--rm", "--network", "none", "--rootfs", "/", "nothing"]);
            assert_eq!(missing.status, 127, "{missing:?}");
        }
        _ => {
            // The command is killed whatever it is at; the next one clears what it left.
            let words = [
                "run",
                "--rm",
                "--network",
                "none",
                "--rootfs",
                "/",
                "sh",
                "-c",
                "echo on; sleep 9",
            ];
            let mut child = place.command(&words).stdout(Stdio::piped()).spawn().unwrap();
            // tidy: allow(sleep) an instant to be killed at
            std::thread::sleep(std::time::Duration::from_millis(u64::from(number) % 60));
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

#[test]
fn containers_in_every_way_one_after_the_other_leave_nothing() {
    need_root!();
    let count = if soak() { 1000 } else { 20 };
    let place = Place::lasting(if soak() { 1800 } else { 300 });
    for number in 0..count {
        cycle(&place, number);
    }
    // What the last one that was killed left goes with the next.
    assert_eq!(place.script(&["--network", "none"], "echo ran").said(), "ran\n");
    figure(format_args!("containers: {count}"));
    place.assert_nothing_left();
}

#[test]
fn fifty_containers_at_once_are_fifty_and_leave_nothing() {
    need_root!();
    let place = Place::lasting(300);
    let start = |number: usize| {
        let script = format!("echo {number}; hostname");
        let words = ["run", "--rm", "--network", "none", "--rootfs", "/", "sh", "-c", &script];
        place.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let started: Vec<_> = (0..50).map(start).collect();
    let mut names = std::collections::BTreeSet::new();
    for (number, child) in started.into_iter().enumerate() {
        let ran = crate::place::ran(child.wait_with_output().unwrap());
        let said = ran.said();
        let (told, name) = said.split_once('\n').unwrap();
        assert_eq!(told, number.to_string());
        assert!(names.insert(name.to_owned()), "{name} is there twice");
    }
    place.assert_nothing_left();
}
