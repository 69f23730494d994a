//! The process that dies in the midst of a change: the test binary run again for its test `worker`, with a task.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use layerfs_driver::union::Union;

use super::forms::Form;
use super::ground::{Ground, joined_as, lower_of_words};

/// What is to be done: a word a line.
const WORDS: &str = "LAYERFS_UNION_TASK";
/// Where: the upper's place, its form, and what the lower is, a line each.
const WHERE: &str = "LAYERFS_UNION_WHERE";

/// Has another process do `words` with the union in `place`, whose upper is of that form. Answers whether it was killed;
/// `false` where it came to its end.
pub fn dies(ground: &Ground, at: (&Path, Form), words: &[&str]) -> bool {
    let program = Command::new(std::env::current_exe().unwrap());
    let ended = worker(program, ground, at, words).status().unwrap();
    let died = ended.signal() == Some(9);
    assert!(died || ended.success(), "the worker: {ended}");
    died
}

/// The call of the test binary, which `command` may begin with another's name, that does so.
pub fn worker(
    mut command: Command,
    ground: &Ground,
    (place, form): (&Path, Form),
    words: &[&str],
) -> Command {
    let mut at = vec![place.display().to_string(), format!("{form:?}")];
    at.extend(ground.words().iter().map(|word| word.display().to_string()));
    command
        .args(["--exact", "worker", "--nocapture", "--test-threads=1"])
        .env(WORDS, words.join("\n"))
        .env(WHERE, at.join("\n"))
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// The words of the task, the union that it is about and the form of its upper, in a process that has one.
pub fn given() -> Option<(Vec<String>, Union, Form)> {
    let words = std::env::var(WORDS).ok()?;
    let at = std::env::var(WHERE).unwrap();
    let at: Vec<&str> = at.lines().collect();
    let [place, form, lower @ ..] = &at[..] else { panic!("a place and a form are missing") };
    let form = Form::of_word(form);
    let union = joined_as(lower_of_words(lower, form), Path::new(place), form);
    Some((words.lines().map(String::from).collect(), union, form))
}
