//! The process that dies in the midst of a change: the test binary run again for its test `worker`, with a task.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use layerfs_driver::lower::{ImageTree, Lower};
use layerfs_driver::store::Store;
use layerfs_driver::store::digest::Digest;
use layerfs_driver::union::Union;

use super::ground::{Ground, joined, lower_of};

/// What is to be done: a word a line.
const WORDS: &str = "LAYERFS_UNION_TASK";
/// Where: the upper's place, and what the lower is, a line each.
const WHERE: &str = "LAYERFS_UNION_WHERE";

/// Has another process do `words` with the union in `place`. Answers whether it was killed; `false` where it came to its end.
pub fn dies(ground: &Ground, place: &Path, words: &[&str]) -> bool {
    let mut at = vec![place.display().to_string()];
    at.extend(ground.words().iter().map(|word| word.display().to_string()));
    let ended = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "worker", "--nocapture", "--test-threads=1"])
        .env(WORDS, words.join("\n"))
        .env(WHERE, at.join("\n"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    let died = ended.signal() == Some(9);
    assert!(died || ended.success(), "the worker: {ended}");
    died
}

/// The words of the task and the union that it is about, in a process that has one.
pub fn given() -> Option<(Vec<String>, Union)> {
    let words = std::env::var(WORDS).ok()?;
    let at = std::env::var(WHERE).unwrap();
    let at: Vec<&str> = at.lines().collect();
    let lower = match at[1..] {
        [root, chain] if chain.starts_with("sha256:") => {
            let store = Store::open(Path::new(root)).unwrap();
            Lower::Image(ImageTree::open(&store, &Digest::parse(chain).unwrap()).unwrap())
        }
        ref dirs => lower_of(&dirs.iter().map(PathBuf::from).collect::<Vec<_>>()),
    };
    Some((words.lines().map(String::from).collect(), joined(lower, Path::new(at[0]))))
}
