//! `fusermount3` of libfuse: the program, set-uid root, that makes and takes away mounts of users who are not root.
//!
//! It is given a socket as its standard input, and sends the FUSE device over it (`_FUSE_COMMFD` of libfuse's protocol).
//! Nothing else of this process reaches it: all descriptors close on exec.

use std::ffi::{OsStr, OsString};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
};

use super::error::{SysError, call};
use super::mount::UnmountHow;

/// The program's name.
pub const PROGRAM: &str = "fusermount3";

/// Where it is looked for when no path is set.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What the package is called that has it.
const INSTALL: &str = "install it (`apt-get install fuse3` on Debian and Ubuntu)";

/// Why the program did not do it.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// It is on no directory of the path.
    #[error("{PROGRAM}, which mounts for users who are not root, is not in PATH; {INSTALL}")]
    Absent,
    /// It is not set-uid root.
    #[error(
        "{program}: it has no set-uid bit of root's, and mounts for nobody: {said}; cure: `chmod u+s {program}` as \
         root, or {INSTALL} again",
        program = .program.display()
    )]
    Powerless {
        /// Which one.
        program: PathBuf,
        /// What it said.
        said: String,
    },
    /// This process, and all that it starts, may gain no rights.
    #[error(
        "{PROGRAM}: {0}; this process was started with no_new_privs, under which no set-uid program works: start it \
         without"
    )]
    NoNewRights(String),
    /// It refused.
    #[error("{PROGRAM}: {0}")]
    Refused(String),
    /// It could not be started or listened to.
    #[error(transparent)]
    Call(#[from] SysError),
}

impl HelperError {
    /// Whether what was to be taken away is in use.
    pub fn is_busy(&self) -> bool {
        matches!(self, HelperError::Refused(said) if said.ends_with("Device or resource busy"))
    }
}

/// Where the program is; `None` where no directory of the path has it.
pub fn find() -> Option<PathBuf> {
    find_program(PROGRAM)
}

/// Where a program is; `None` where no directory of the path has it.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from(USUAL_PATH));
    let programs = std::env::split_paths(&path).map(|dir| dir.join(name));
    let is_program = |program: &PathBuf| {
        rustix::fs::access(program.as_path(), rustix::fs::Access::EXEC_OK).is_ok()
    };
    programs.into_iter().filter(|program| program.is_absolute()).find(is_program)
}

/// Whether the program has root's set-uid bit, which it needs.
pub fn is_privileged(program: &Path) -> Result<bool, SysError> {
    let args = || super::error::shown(program.as_os_str().as_bytes());
    let stat = call("stat", args, || rustix::fs::stat(program))?;
    Ok(stat.st_uid == 0 && stat.st_mode & 0o4000 != 0)
}

/// Mounts at `at` with these options, in the form of `-o`, and answers the device.
pub fn mount(at: &Path, options: &OsStr) -> Result<OwnedFd, HelperError> {
    let (ours, theirs) = sockets()?;
    let words: [&OsStr; 4] = ["-o".as_ref(), options, "--".as_ref(), at.as_os_str()];
    let (device, output) = run(&words, theirs.into(), || receive(&ours))?;
    match device {
        Some(device) if output.status.success() => {
            let said = told(&output);
            if !said.is_empty() {
                tracing::warn!("{PROGRAM}: {said}");
            }
            Ok(device)
        }
        _ => Err(refused(&output)),
    }
}

/// Takes the mount at `at` away.
pub fn unmount(at: &Path, how: UnmountHow) -> Result<(), HelperError> {
    let mut words: Vec<&OsStr> = vec!["-u".as_ref()];
    words.extend((how == UnmountHow::Lazy).then_some(OsStr::new("-z")));
    words.extend([OsStr::new("--"), at.as_os_str()]);
    let (_, output) = run(&words, Stdio::null(), || Ok(None))?;
    if output.status.success() { Ok(()) } else { Err(refused(&output)) }
}

/// Runs the program with these words, and does `meanwhile` as long as it runs.
fn run(
    words: &[&OsStr],
    input: Stdio,
    meanwhile: impl FnOnce() -> Result<Option<OwnedFd>, SysError>,
) -> Result<(Option<OwnedFd>, Output), HelperError> {
    let program = find().ok_or(HelperError::Absent)?;
    let mut command = Command::new(&program);
    // Called by its name alone: what it says of itself begins with that.
    command.arg0(PROGRAM).args(words).env("_FUSE_COMMFD", "0");
    command.stdin(input).stdout(Stdio::null()).stderr(Stdio::piped());
    let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL);
    let shown = || super::error::shown(program.as_os_str().as_bytes());
    let child = call("execve", shown, || command.spawn().map_err(errno))?;
    // Our copy of its end: while that is open, nobody would tell that it has gone without a word.
    drop(command);
    let got = meanwhile();
    let mut child = Some(child);
    let waited = call("wait4", shown, || match child.take() {
        Some(child) => child.wait_with_output().map_err(errno),
        None => Err(Errno::CHILD),
    })?;
    Ok((got?, waited))
}

fn sockets() -> Result<(OwnedFd, OwnedFd), SysError> {
    let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
    let make = || rustix::net::socketpair(family, SocketType::STREAM, flags, None);
    call("socketpair", || "AF_UNIX, SOCK_STREAM".to_owned(), make)
}

/// The descriptor that is sent; `None` where the other end closes without.
fn receive(socket: &OwnedFd) -> Result<Option<OwnedFd>, SysError> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let receive = || {
        let mut into = [IoSliceMut::new(&mut byte)];
        rustix::net::recvmsg(socket, &mut into, &mut beside, flags)
    };
    call("recvmsg", || PROGRAM.to_owned(), receive)?;
    let mut received = None;
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
            received = descriptors.next();
        }
    }
    Ok(received)
}

fn refused(output: &Output) -> HelperError {
    let said = told(output);
    let Some(program) = find() else { return HelperError::Absent };
    if is_privileged(&program).is_ok_and(|is_privileged| !is_privileged) {
        return HelperError::Powerless { program, said };
    }
    if rustix::thread::no_new_privs().unwrap_or(false) {
        return HelperError::NoNewRights(said);
    }
    HelperError::Refused(said)
}

/// The last line that it said, without its name.
fn told(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    let line = line.strip_prefix(PROGRAM).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(line);
    if line.is_empty() && !output.status.success() {
        return format!("it ended with {}", output.status);
    }
    line.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn output(status: i32, stderr: &str) -> Output {
        let status = std::process::ExitStatus::from_raw(status << 8);
        Output { status, stdout: Vec::new(), stderr: stderr.into() }
    }

    #[test]
    fn what_it_says_is_told_without_its_name() {
        let said = "fusermount3: failed to unmount /x: Device or resource busy\n";
        assert_eq!(told(&output(1, said)), "failed to unmount /x: Device or resource busy");
        assert_eq!(told(&output(1, "")), "it ended with exit status: 1");
        assert_eq!(told(&output(0, "")), "");
        assert!(HelperError::Refused(told(&output(1, said))).is_busy());
    }
}
