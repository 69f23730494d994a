//! Limits of a process (`getrlimit(2)`).

pub use rustix::process::Resource;
use rustix::process::{Pid, Rlimit, getrlimit, prlimit, setrlimit};

use super::{SysError, call};
use crate::spec::ResourceLimit;

/// What docker calls them, and the kernel's word.
pub const NAMES: [(&str, Resource); 15] = [
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("data", Resource::Data),
    ("fsize", Resource::Fsize),
    ("locks", Resource::Locks),
    ("memlock", Resource::Memlock),
    ("msgqueue", Resource::Msgqueue),
    ("nice", Resource::Nice),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("rss", Resource::Rss),
    ("rtprio", Resource::Rtprio),
    ("rttime", Resource::Rttime),
    ("sigpending", Resource::Sigpending),
    ("stack", Resource::Stack),
];

/// Up to where this process may raise a limit of its own; `None` for no limit.
pub fn hard(resource: Resource) -> Option<u64> {
    getrlimit(resource).maximum
}

/// Lets a child of the number `pid`, which has the limits of this process still, raise one of them to where `limit` ends.
pub fn allow(pid: u32, limit: &ResourceLimit) -> Result<(), SysError> {
    let now = getrlimit(limit.resource);
    if limit.hard.unwrap_or(u64::MAX) <= now.maximum.unwrap_or(u64::MAX) {
        return Ok(());
    }
    let child = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let wanted = Rlimit { current: now.current, maximum: limit.hard };
    let set = || prlimit(child, limit.resource, wanted.clone()).map(drop);
    call("prlimit", || format!("{pid}, {:?}", limit.resource), set)
}

/// Limits this process, and those that it starts.
pub fn set(limit: &ResourceLimit) -> Result<(), SysError> {
    let ResourceLimit { resource, soft, hard } = *limit;
    let wanted = Rlimit { current: soft, maximum: hard };
    call("setrlimit", || format!("{resource:?}"), || setrlimit(resource, wanted))
}
