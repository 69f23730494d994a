//! A program of others, run to its end: what it printed, and how it ended.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use layerfs_driver::sys::again::THIS_PROGRAM;

use super::process::Ended;
use super::{Errno, SysError, call};

/// What is run, and how.
#[derive(Debug)]
pub struct Program<'a> {
    /// The program: a path, or a name that is looked for where the variable PATH of `environment`, or else the caller's, says.
    pub name: &'a Path,
    /// The words after it.
    pub words: &'a [OsString],
    /// The directory it starts in; `None` for the caller's own.
    pub dir: Option<&'a Path>,
    /// Variables set for it beside the caller's own.
    pub environment: &'a [(&'a str, OsString)],
}

/// What a program came to.
#[derive(Debug)]
pub struct Told {
    /// How it ended.
    pub ended: Ended,
    /// Its standard output.
    pub output: Vec<u8>,
    /// Its standard error.
    pub errors: Vec<u8>,
}

/// Runs a program that reads nothing, and waits until it has ended and nobody writes to its streams any more.
pub fn run(program: &Program<'_>) -> Result<Told, SysError> {
    let mut command = command(program);
    command.stdin(Stdio::null());
    let run =
        || command.output().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL));
    let output = call("execve", || format!("{:?}", program.name), run)?;
    Ok(told(output))
}

fn command(program: &Program<'_>) -> Command {
    let mut command = Command::new(program.name);
    command.args(program.words);
    command.envs(program.environment.iter().map(|(name, value)| (*name, value)));
    if let Some(dir) = program.dir {
        command.current_dir(dir);
    }
    command
}

/// A program that goes on. Dropped, it still does.
#[derive(Debug)]
pub struct Going {
    child: Child,
    /// Its standard error comes here.
    pub errors: OwnedFd,
}

/// Has this process become this very program under the name `called`, with these words and standard streams. Returns only where that
/// is refused.
pub fn become_again(
    called: &str,
    words: &[OsString],
    (input, output): (OwnedFd, OwnedFd),
) -> SysError {
    let mut command = Command::new(THIS_PROGRAM);
    command.arg0(called).args(words).stdin(Stdio::from(input)).stdout(Stdio::from(output));
    let run = || -> Result<SysError, Errno> {
        Err(Errno::from_io_error(&command.exec()).unwrap_or(Errno::INVAL))
    };
    call("execve", || format!("{THIS_PROGRAM:?}"), run).unwrap_or_else(|error| error)
}

/// Starts a program that has `input` as its standard input, prints nothing, and goes on.
pub fn begin(program: &Program<'_>, input: OwnedFd) -> Result<Going, SysError> {
    let mut command = command(program);
    command.stdin(input).stdout(Stdio::null()).stderr(Stdio::piped());
    let begin =
        || command.spawn().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL));
    let mut child = call("execve", || format!("{:?}", program.name), begin)?;
    let errors = child.stderr.take();
    let errors = errors.ok_or_else(|| SysError::of_deed("execve", "no pipe for standard error"))?;
    Ok(Going { child, errors: errors.into() })
}

impl Going {
    /// Waits until it has ended, and takes its status away.
    pub fn wait(&mut self) -> Result<Ended, SysError> {
        let pid = self.child.id();
        let wait = || {
            self.child.wait().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
        };
        call("wait4", || pid.to_string(), wait).map(ended)
    }
}

/// Runs a program that reads `input`, and waits until it has ended. It reads all of that before it says much.
pub fn feed(name: &Path, words: &[OsString], input: &[u8]) -> Result<Told, SysError> {
    use std::io::Write;
    let run = || {
        let mut command = Command::new(name);
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input));
        let output = child.wait_with_output()?;
        // Who ended before it had read everything tells why.
        match written {
            Err(error) if output.status.success() => Err(error),
            _ => Ok(output),
        }
    };
    let run = || {
        run().map_err(|error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
    };
    Ok(told(call("execve", || format!("{name:?}"), run)?))
}

fn told(output: Output) -> Told {
    Told { ended: ended(output.status), output: output.stdout, errors: output.stderr }
}

fn ended(status: ExitStatus) -> Ended {
    let number = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
    match status.signal() {
        Some(signal) => Ended::Killed(number(signal)),
        None => Ended::Exited(status.code().map_or(u8::MAX, number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(line: &str) -> Told {
        let words = ["-c".into(), line.into()];
        let environment = [("SAID", "by us".into())];
        let dir = Some(Path::new("/proc"));
        run(&Program { name: Path::new("sh"), words: &words, dir, environment: &environment })
            .unwrap()
    }

    #[test]
    fn what_a_program_printed_and_how_it_ended_is_told() {
        let told = shell("cat; echo $SAID; pwd; echo no >&2; exit 3");
        assert_eq!(
            (told.ended, told.output.as_slice()),
            (Ended::Exited(3), &b"by us\n/proc\n"[..])
        );
        assert_eq!(told.errors, b"no\n");
        assert_eq!(shell("kill -9 $$").ended, Ended::Killed(9));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let name = Path::new("/no/such");
        let absent = run(&Program { name, words: &[], dir: None, environment: &[] }).unwrap_err();
        assert_eq!(absent.to_string(), r#"execve("/no/such"): No such file or directory"#);
    }
}
