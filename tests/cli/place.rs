//! A store of a test's own, and the command run on it.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::layout::Layout;
use crate::support::Scratch;
use crate::support::watchdog::{Watchdog, watchdog};

/// Where one test works.
pub struct Place {
    scratch: Scratch,
    _watchdog: Watchdog,
}

/// What one run of the command came to.
#[derive(Debug)]
pub struct Run {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Place {
    pub fn new() -> Self {
        Place { scratch: Scratch::new(), _watchdog: watchdog(120) }
    }

    /// The same on a disk, where directories take blocks of their own.
    pub fn on_disk() -> Self {
        Place { scratch: Scratch::on_disk(), _watchdog: watchdog(120) }
    }

    /// A path of the test's own.
    pub fn join(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// The command with a clean environment and this place's store.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_layerfs"));
        command.args(words).current_dir(self.scratch.path()).stdin(Stdio::null());
        for (key, _) in std::env::vars_os() {
            if key.as_encoded_bytes().starts_with(b"LAYERFS_") {
                command.env_remove(key);
            }
        }
        command.env("LAYERFS_ROOT", self.join("store")).env("LAYERFS_RUNROOT", self.join("run"));
        command
    }

    pub fn run(&self, words: &[&str]) -> Run {
        finished(&mut self.command(words))
    }

    /// Runs the command with these bytes on its standard input.
    pub fn feed(&self, words: &[&str], input: &[u8]) -> Run {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command starts");
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        stdin.write_all(input).expect("the command reads its input to the end");
        drop(stdin);
        run_of(child.wait_with_output().expect("the command is waited for"))
    }

    /// Standard output of a run that must succeed.
    pub fn said(&self, words: &[&str]) -> String {
        let run = self.run(words);
        assert_eq!(run.status, Some(0), "{words:?}: {run:?}");
        run.stdout
    }

    /// The array that a run prints which must succeed.
    pub fn rows(&self, words: &[&str]) -> Vec<Value> {
        array(&self.said(words))
    }

    /// The message of a run that must fail: one line with the command's name, and no result.
    pub fn refused(&self, words: &[&str]) -> String {
        self.run(words).refusal(1)
    }

    /// Writes the small layout to `name`, and pulls it. Answers the id.
    pub fn pull_small(&self, name: &str) -> String {
        Layout::small().write(&self.join(name));
        self.said(&["pull", "-q", &format!("oci:{name}")]).trim_end().to_owned()
    }
}

impl Run {
    /// The one line on standard error of a run that failed with `status` and printed nothing.
    pub fn refusal(&self, status: i32) -> String {
        assert_eq!(self.status, Some(status), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        let [line] = self.stderr.lines().collect::<Vec<_>>()[..] else {
            panic!("not one line: {self:?}")
        };
        let words = line.strip_prefix("layerfs: ");
        words.unwrap_or_else(|| panic!("without the command's name: {self:?}")).to_owned()
    }
}

/// Reads one JSON array.
pub fn array(text: &str) -> Vec<Value> {
    match serde_json::from_str(text) {
        Ok(Value::Array(rows)) => rows,
        other => panic!("not one array: {other:?} in {text}"),
    }
}

pub fn finished(command: &mut Command) -> Run {
    run_of(command.output().unwrap_or_else(|error| panic!("start {command:?}: {error}")))
}

fn run_of(output: std::process::Output) -> Run {
    let text = |bytes| String::from_utf8(bytes).expect("the command prints UTF-8");
    Run { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}
