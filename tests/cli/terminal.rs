//! What a terminal shows: bars, lines where there can be no bars, colours and none.

use std::process::Command;

use crate::layout::{Layout, three_layers};
use crate::place::{Place, Run, finished};
use layerfs_driver::store::digest::Digest;

/// Runs the words on a terminal of 80 columns and passes on what it shows.
const TERMINAL: &str = "\
import fcntl, os, pty, struct, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
    os.execv(sys.argv[1], sys.argv[1:])
while True:
    try:
        shown = os.read(terminal, 65536)
    except OSError:  # how Linux says that the other side is closed
        break
    if not shown:
        break
    sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";

/// What the terminal shows while the command runs, which must end well.
fn shown(place: &Place, words: &[&str], environment: &[(&str, &str)]) -> String {
    let run = on_terminal(place, words, environment);
    assert_eq!(run.status, Some(0), "{words:?}: {run:?}");
    run.stdout
}

fn on_terminal(place: &Place, words: &[&str], environment: &[(&str, &str)]) -> Run {
    let command = place.command(words);
    let mut terminal = Command::new("python3");
    terminal.args(["-c", TERMINAL]).arg(command.get_program()).args(command.get_args());
    terminal.current_dir(place.join(".")).env("TERM", "xterm").env_remove("NO_COLOR");
    // Where it stands, the crate that colours the help takes every terminal for one that can.
    terminal.env_remove("CI");
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => terminal.env(key, value),
            None => terminal.env_remove(key),
        };
    }
    finished(terminal.envs(environment.iter().copied()))
}

fn short_diff_ids() -> Vec<String> {
    three_layers().iter().map(|layer| Digest::of(layer).short()).collect()
}

#[test]
fn a_terminal_has_a_bar_for_each_layer_and_clears_them_at_the_end() {
    let place = Place::new();
    Layout::small().write(&place.join("small"));
    let shown = shown(&place, &["pull", "oci:small"], &[]);
    for layer in short_diff_ids() {
        assert!(shown.contains(&format!("{layer}: imported")), "{layer}: {shown:?}");
    }
    assert!(!shown.contains("importing"), "lines are for what is no terminal: {shown:?}");
    let after_bars = shown.rsplit_once("\u{1b}[").expect("bars move the cursor").1;
    assert!(!after_bars.contains("imported"), "the bars are cleared: {shown:?}");
    assert!(shown.ends_with("small:1\r\n"), "{shown:?}");
}

#[test]
fn a_terminal_that_can_not_move_its_cursor_has_lines() {
    let place = Place::new();
    Layout::small().write(&place.join("small"));
    let shown = shown(&place, &["pull", "oci:small"], &[("TERM", "dumb")]);
    let done = shown.lines().filter(|line| line.ends_with(": imported")).count();
    assert_eq!(done, 3, "{shown:?}");
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
}

#[test]
fn what_is_written_has_bars_on_a_terminal_and_nothing_elsewhere() {
    let place = Place::new();
    Layout::small().write(&place.join("small"));
    assert_eq!(place.run(&["pull", "-q", "oci:small"]).status, Some(0));
    let rows: [&[&str]; 4] = [
        &["save", "-o", "saved.tar", "small:1"],
        &["save", "--format", "oci-archive", "-o", "saved.tar", "small:1"],
        &["push", "small:1", "oci:pushed:1"],
        &["push", "small:1", "docker-archive:pushed.tar"],
    ];
    for words in rows {
        let seen = shown(&place, words, &[("NO_COLOR", "1")]);
        for layer in short_diff_ids() {
            assert!(seen.contains(&format!("{layer}: written")), "{words:?}: {seen:?}");
        }
        let after_bars = seen.rsplit_once("\u{1b}[").expect("bars move the cursor").1;
        assert!(!after_bars.contains("written"), "the bars are cleared: {seen:?}");
        assert!(!seen.contains("\u{1b}[3"), "no colours were wanted: {seen:?}");
        for (flag, environment) in [(&["--quiet"][..], ("TERM", "xterm")), (&[], ("TERM", "dumb"))]
        {
            let seen = shown(&place, &[words, flag].concat(), &[environment]);
            assert!(!seen.contains("written") && !seen.contains('\u{1b}'), "{words:?}: {seen:?}");
        }
        let run = place.run(words);
        assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""), "{words:?}");
    }
}

#[test]
fn help_has_colours_on_a_terminal_and_none_with_no_color() {
    let place = Place::new();
    for words in [&["--help"][..], &["pull", "-h"]] {
        assert!(shown(&place, words, &[]).contains("\u{1b}["), "{words:?}");
        for environment in [("NO_COLOR", "1"), ("TERM", "dumb")] {
            let plain = shown(&place, words, &[environment]);
            assert!(!plain.contains('\u{1b}'), "{words:?} {environment:?}: {plain:?}");
        }
        assert!(!place.said(words).contains('\u{1b}'), "{words:?}");
    }
}

#[test]
fn an_archive_is_not_written_to_a_terminal() {
    let place = Place::new();
    place.pull_small("small");
    for words in [&["save", "small:1"][..], &["save", "--format", "oci-archive", "small:1"]] {
        let run = on_terminal(&place, words, &[]);
        assert_eq!(run.status, Some(1), "{run:?}");
        assert!(run.stdout.contains("name a file with -o"), "{run:?}");
    }
}
