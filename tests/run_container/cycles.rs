//! Many containers, one after the other and all at once, leave nothing: no mount, process, descriptor, group or file.

use std::process::Stdio;

use crate::cycle::cycle;
use crate::place::Place;
use crate::support::{figure, need_root, soak};

#[test]
fn containers_in_every_way_one_after_the_other_leave_nothing() {
    need_root!();
    let count = if soak() { 1000 } else { 20 };
    let place = Place::lasting(if soak() { 1800 } else { 300 });
    for number in 0..count {
        cycle(&|words| place.command(words), &["--network", "none"], number);
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
