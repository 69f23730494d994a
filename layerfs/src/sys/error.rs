//! The one error of this room: which call, on what, and the kernel's answer.

use std::{fmt, io};

use rustix::io::Errno;

use super::fault;

/// A system call that the kernel refused. Prints as `openat("index.json"): No such file or directory`.
#[derive(Debug)]
pub struct SysError {
    call: &'static str,
    args: Box<str>,
    errno: Errno,
}

impl SysError {
    /// The kernel's answer.
    pub fn errno(&self) -> Errno {
        self.errno
    }

    /// The arguments of the call, as they are printed.
    pub fn args(&self) -> &str {
        &self.args
    }

    /// Whether the object is absent (`ENOENT`). No other error means absent.
    pub fn is_absent(&self) -> bool {
        self.errno == Errno::NOENT
    }

    /// An error that stands for a deed above the calls; its errno is `EIO`.
    pub fn of_deed(deed: &'static str, reason: impl Into<Box<str>>) -> Self {
        SysError::new(deed, reason, Errno::IO)
    }

    /// An error of a call that no wrapper here makes, or of a deed that this process decided itself, such as a short read
    /// of a file whose size was known.
    pub fn new(call: &'static str, args: impl Into<Box<str>>, errno: Errno) -> Self {
        SysError { call, args: args.into(), errno }
    }
}

impl fmt::Display for SysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({}): {}", self.call, self.args, describe(self.errno))
    }
}

impl std::error::Error for SysError {}

impl From<SysError> for io::Error {
    fn from(error: SysError) -> Self {
        io::Error::new(io::Error::from(error.errno).kind(), error)
    }
}

/// The kernel's words for an errno, without the number that `io::Error` adds.
fn describe(errno: Errno) -> String {
    let text = io::Error::from(errno).to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// Makes one call: passes its fault point, tries again after `EINTR`, names call and arguments in the error. For wrappers
/// in a `sys` room only, this one or the runtime's.
pub fn call<T>(
    name: &'static str,
    args: impl FnOnce() -> String,
    mut make: impl FnMut() -> Result<T, Errno>,
) -> Result<T, SysError> {
    loop {
        match fault::point(name).and_then(|()| make()) {
            Ok(value) => return Ok(value),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(SysError::new(name, args(), errno)),
        }
    }
}

/// A file name as it stands in messages: quoted, with unprintable bytes escaped.
pub(super) fn shown(name: &[u8]) -> String {
    format!("\"{}\"", name.escape_ascii())
}
