//! Limits of a process (`getrlimit(2)`).

pub use rustix::process::Resource;
use rustix::process::{Rlimit, getrlimit, setrlimit};

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

/// Limits this process, and those that it starts.
pub fn set(limit: &ResourceLimit) -> Result<(), SysError> {
    let ResourceLimit { resource, soft, hard } = *limit;
    let wanted = Rlimit { current: soft, maximum: hard };
    call("setrlimit", || format!("{resource:?}"), || setrlimit(resource, wanted))
}
