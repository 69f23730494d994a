//! One container, from its making to its end, in each of the ways in which that happens.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::place::{Ran, ran};

/// The way of that number. `command` makes `layerfs` of words, and `options` are those of what makes a container.
pub fn cycle(command: &dyn Fn(&[&str]) -> Command, options: &[&str], number: u32) {
    let layerfs = |words: &[&str]| -> Ran { ran(command(words).output().unwrap()) };
    let making = |verb: &[&str], words: &[&str]| -> Vec<String> {
        let all = [verb, options, &["--rootfs", "/"], words].concat();
        all.into_iter().map(str::to_owned).collect()
    };
    let make = |verb: &[&str], words: &[&str]| {
        let all = making(verb, words);
        layerfs(&all.iter().map(String::as_str).collect::<Vec<_>>())
    };
    match number % 5 {
        0 => assert_eq!(make(&["run", "--rm"], &["echo", "ran"]).said(), "ran\n"),
        1 => {
            let id = make(&["create"], &["sh", "-c", "exit 3"]).said();
            assert_eq!(layerfs(&["start", id.trim_end()]).status, 0);
            assert_eq!(layerfs(&["wait", id.trim_end()]).said(), "3\n");
            assert_eq!(layerfs(&["rm", id.trim_end()]).said(), id);
        }
        2 => {
            let id = make(&["run", "-d"], &["sleep", "1000"]).said();
            assert_eq!(layerfs(&["rm", "-f", id.trim_end()]).said(), id);
        }
        3 => {
            let missing = make(&["run", "--rm"], &["nothing"]);
            assert_eq!(missing.status, 127, "{missing:?}");
        }
        _ => {
            // The command is killed whatever it is at; the next one clears what it left.
            let all = making(&["run", "--rm"], &["sleep", "9"]);
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            let mut child = command(&all).stdout(Stdio::null()).spawn().unwrap();
            // tidy: allow(sleep) an instant to be killed at
            std::thread::sleep(Duration::from_millis(u64::from(number) % 97));
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
