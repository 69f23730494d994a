//! A program started as a child of this process: this one again, with other words.
//!
//! The standard library makes the child: between fork and exec it does only what is safe there, resets the signals that it
//! took itself, and reports a refused exec. All its calls pass one point, as they have one answer.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::io::Errno;

use super::dir;
use super::error::{SysError, call};
use super::stream::FileReader;

/// What the kernel runs for this very program, also where no path leads to it any more.
pub const THIS_PROGRAM: &str = "/proc/self/exe";

/// A child, and the other end of its standard output. Dropped, it goes on.
#[derive(Debug)]
pub struct Again {
    child: Child,
    said: FileReader,
}

/// What the child has as its standard input.
#[derive(Debug)]
pub enum Input {
    /// Nothing to read.
    Nothing,
    /// An open file.
    File(OwnedFd),
}

/// The path that this program was started from, by which others may know it.
pub fn path_of_this_program() -> Result<PathBuf, SysError> {
    let path = dir::read_link(rustix::fs::CWD, THIS_PROGRAM)?;
    Ok(OsString::from_vec(path.into_vec()).into())
}

/// Starts `program` under the name `called`, with these words. Its standard error is this process's own.
pub fn start(
    program: &Path,
    called: &str,
    words: &[OsString],
    input: Input,
) -> Result<Again, SysError> {
    let mut command = Command::new(program);
    command.arg0(called).args(words).stdout(Stdio::piped());
    command.stdin(match input {
        Input::Nothing => Stdio::null(),
        Input::File(file) => Stdio::from(file),
    });
    let mut child = call(
        "execve",
        || shown(program.as_os_str()),
        || command.spawn().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL)),
    )?;
    let said = child.stdout.take();
    let said = said.ok_or_else(|| SysError::of_deed("execve", "no pipe for standard output"))?;
    Ok(Again { child, said: FileReader::new(said.into()) })
}

fn shown(program: &OsStr) -> String {
    super::error::shown(program.as_bytes())
}

impl Again {
    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it says on standard output.
    pub fn said(&mut self) -> &mut FileReader {
        &mut self.said
    }

    /// Waits until it has ended, and takes its status away; answers whether that was 0.
    pub fn ended_well(&mut self) -> Result<bool, SysError> {
        let pid = self.pid();
        let wait = || match self.child.wait() {
            Ok(status) => Ok(status.success()),
            Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::INVAL)),
        };
        call("wait4", || pid.to_string(), wait)
    }

    /// The same, whatever the status.
    pub fn wait(&mut self) -> Result<(), SysError> {
        self.ended_well().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn shell(line: &str, input: Input) -> Result<Again, SysError> {
        start(Path::new("/bin/sh"), "another", &["-c".into(), line.into()], input)
    }

    #[test]
    fn a_child_has_its_name_its_words_and_its_input() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::write(scratch.path().join("input"), b"given").unwrap();
        let file = std::fs::File::open(scratch.path().join("input")).unwrap();
        for (input, expected) in
            [(Input::Nothing, "another:"), (Input::File(file.into()), "another:given")]
        {
            let mut child = shell(r#"printf "$0:$(cat)""#, input).unwrap();
            let mut said = String::new();
            child.said().read_to_string(&mut said).unwrap();
            assert_eq!(said, expected);
            child.wait().unwrap();
            assert!(!Path::new(&format!("/proc/{}", child.pid())).exists(), "it was waited for");
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = start(Path::new("/no/such"), "x", &[], Input::Nothing).unwrap_err();
        assert_eq!(error.to_string(), r#"execve("/no/such"): No such file or directory"#);
    }

    #[test]
    fn the_path_of_this_program_is_the_one_it_was_started_from() {
        assert_eq!(path_of_this_program().unwrap(), std::env::current_exe().unwrap());
    }

    #[cfg(feature = "fault")]
    #[test]
    fn starting_and_waiting_have_fault_points() {
        use crate::sys::fault::{Plan, with_plan};

        let run = || shell("exit 0", Input::Nothing)?.wait();
        for call in ["execve", "wait4"] {
            for errno in [Errno::AGAIN, Errno::INTR] {
                let plan = Plan::Fail { n: 1, errno, call: Some(call.into()) };
                let (done, outcome) = with_plan(plan, run);
                assert!(outcome.fired, "{call}");
                assert_eq!(done.is_ok(), errno == Errno::INTR, "{call}: {done:?}");
            }
        }
    }
}
