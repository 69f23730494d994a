//! Limits of a process (`getrlimit(2)`).

use layerfs_driver::sys::file;
pub use rustix::process::Resource;
use rustix::process::{Rlimit, getrlimit, setrlimit};

use super::{SysError, call};
use crate::spec::ResourceLimit;

/// Bytes of a table of limits: a line of some eighty for each.
const LEN_MAX: u64 = 1 << 16;

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

/// What `/proc/PID/limits` calls them, one a line.
const WORDS: [(&str, Resource); 16] = [
    ("Max cpu time", Resource::Cpu),
    ("Max file size", Resource::Fsize),
    ("Max data size", Resource::Data),
    ("Max stack size", Resource::Stack),
    ("Max core file size", Resource::Core),
    ("Max resident set", Resource::Rss),
    ("Max processes", Resource::Nproc),
    ("Max open files", Resource::Nofile),
    ("Max locked memory", Resource::Memlock),
    ("Max address space", Resource::As),
    ("Max file locks", Resource::Locks),
    ("Max pending signals", Resource::Sigpending),
    ("Max msgqueue size", Resource::Msgqueue),
    ("Max nice priority", Resource::Nice),
    ("Max realtime priority", Resource::Rtprio),
    ("Max realtime timeout", Resource::Rttime),
];

/// The limits of another process.
pub fn of(pid: u32) -> Result<Vec<ResourceLimit>, SysError> {
    let path = format!("/proc/{pid}/limits");
    let text = file::read_all(file::open_read_path(path.as_str())?, LEN_MAX)?;
    Ok(String::from_utf8_lossy(&text).lines().filter_map(limit).collect())
}

fn limit(line: &str) -> Option<ResourceLimit> {
    let (word, resource) = WORDS.into_iter().find(|(word, _)| line.starts_with(word))?;
    let mut numbers = line[word.len()..].split_ascii_whitespace().map(|text| match text {
        "unlimited" => Some(None),
        number => number.parse().ok().map(Some),
    });
    Some(ResourceLimit { resource, soft: numbers.next()??, hard: numbers.next()?? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_a_process_are_read_as_the_kernel_has_them() {
        let read = of(std::process::id()).unwrap();
        assert_eq!(read.len(), WORDS.len());
        for ResourceLimit { resource, soft, hard } in read {
            let Rlimit { current, maximum } = getrlimit(resource);
            assert_eq!((soft, hard), (current, maximum), "{resource:?}");
        }
    }
}
