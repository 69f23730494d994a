//! Entering the namespaces of a process that runs.

use std::os::fd::{AsFd, AsRawFd};

use layerfs_driver::sys::file;

use super::{SysError, call, last_errno};

/// The kinds, by their names below `/proc/PID/ns` and by the numbers that the kernel has for them.
const KINDS: [(&str, i32); 8] = [
    ("user", libc::CLONE_NEWUSER),
    ("cgroup", libc::CLONE_NEWCGROUP),
    ("ipc", libc::CLONE_NEWIPC),
    ("uts", libc::CLONE_NEWUTS),
    ("net", libc::CLONE_NEWNET),
    ("time", libc::CLONE_NEWTIME),
    ("pid", libc::CLONE_NEWPID),
    ("mnt", libc::CLONE_NEWNS),
];

/// Namespaces of a process that are not those of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Others(i32);

impl Others {
    /// Those of process `pid`. The caller sees to it that the number is still that process's when this has returned.
    pub fn of(pid: u32) -> Result<Self, SysError> {
        let mut flags = 0;
        for (name, flag) in KINDS {
            let of = |whose: &str| {
                let path = format!("/proc/{whose}/ns/{name}");
                match file::open_read_path(path.as_str()) {
                    // Linux before 5.6 has no time namespaces.
                    Err(error) if error.is_absent() && name == "time" => Ok(None),
                    opened => file::stat(opened?).map(|stat| Some((stat.st_dev, stat.st_ino))),
                }
            };
            if of(&pid.to_string())? != of("self")? {
                flags |= flag;
            }
        }
        Ok(Others(flags))
    }

    /// Those that say which files there are, and whose.
    pub fn of_files(self) -> Self {
        Others(self.0 & (libc::CLONE_NEWUSER | libc::CLONE_NEWNS))
    }

    /// Whether its user namespace is among them.
    pub fn have_users(self) -> bool {
        self.0 & libc::CLONE_NEWUSER != 0
    }
}

/// Enters them all at once, or none. Of processes only children of this one are there then; it itself stays where it is.
pub fn join(process: impl AsFd, others: Others) -> Result<(), SysError> {
    enter(process, others.0)
}

/// Has the children of this process be in the namespace of processes of `process`, a descriptor of that namespace or of a
/// process in it.
pub fn join_processes(process: impl AsFd) -> Result<(), SysError> {
    enter(process, libc::CLONE_NEWPID)
}

/// Becomes one of the users of the user namespace `users`, with every right over what is theirs.
pub fn join_users(users: impl AsFd) -> Result<(), SysError> {
    enter(users, libc::CLONE_NEWUSER)
}

fn enter(process: impl AsFd, kinds: i32) -> Result<(), SysError> {
    call(
        "setns",
        || format!("fd, {kinds:#x}"),
        || {
            // SAFETY: takes two numbers and touches no memory of ours.
            let done = unsafe { libc::setns(process.as_fd().as_raw_fd(), kinds) };
            if done == 0 { Ok(()) } else { Err(last_errno()) }
        },
    )
}
