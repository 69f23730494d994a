//! Processes: made in new namespaces, signalled and waited for through their descriptors.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use layerfs_driver::sys::{dir, file};
use rustix::process::{DumpableBehavior, Signal, WaitId, WaitIdOptions, WaitIdStatus, WaitOptions};

use super::{Errno, SysError, call, last_errno};

/// Bytes of `/proc/PID/status`: some fifty lines, of which the lists of groups and processors are the longest.
const STATUS_LEN_MAX: u64 = 1 << 20;

/// A child, held by a descriptor that can never come to mean another process.
#[derive(Debug)]
pub struct Child {
    /// Its number, as this process sees it.
    pub pid: u32,
    /// Its descriptor.
    pub pidfd: OwnedFd,
}

/// Which of the two processes goes on here.
#[derive(Debug)]
pub enum Forked {
    /// The one that asked.
    Parent(Child),
    /// The new one: process 1 of its namespace.
    Child,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It said so, with this status.
    Exited(u8),
    /// A signal of this number ended it.
    Killed(u8),
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ended::Exited(status) => write!(f, "ended with status {status}"),
            Ended::Killed(signal) => write!(f, "was killed by signal {signal}"),
        }
    }
}

/// `struct clone_args` of `linux/sched.h`, as long as Linux 5.7 knows it.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// So much of it a kernel knows that can't have a child begin in a group (before that).
const CLONE_ARGS_LEN_1: usize = 64;

/// `CLONE_INTO_CGROUP` of `linux/sched.h`.
const INTO_CGROUP: u64 = 0x2_0000_0000;

/// Makes a child in new namespaces `namespaces` (`CLONE_NEW*`), with a copy of this process's memory.
///
/// The caller runs no other thread: what such a thread holds would stay locked in the child for ever.
pub fn fork_into(namespaces: i32) -> Result<Forked, SysError> {
    clone(namespaces, libc::SIGCHLD, None)
}

/// The same, in a control group of version 2 from its beginning (Linux 5.7).
pub fn fork_into_group(namespaces: i32, group: Option<BorrowedFd<'_>>) -> Result<Forked, SysError> {
    clone(namespaces, libc::SIGCHLD, group)
}

/// The same without new namespaces, as a child of this process's parent: that one is to wait for it. The kernel tells the
/// parent of its end by the signal of this process's own.
pub fn fork_beside() -> Result<Forked, SysError> {
    clone(libc::CLONE_PARENT, 0, None)
}

fn clone(flags: i32, exit_signal: i32, group: Option<BorrowedFd<'_>>) -> Result<Forked, SysError> {
    let mut pidfd: RawFd = -1;
    let flags = u64::from((flags | libc::CLONE_PIDFD).cast_unsigned());
    let (into, len) =
        group.map_or((0, CLONE_ARGS_LEN_1), |_| (INTO_CGROUP, size_of::<CloneArgs>()));
    let mut args = CloneArgs {
        flags: flags | into,
        cgroup: group.map_or(0, |group| u64::from(group.as_raw_fd().cast_unsigned())),
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: u64::from(exit_signal.cast_unsigned()),
        ..CloneArgs::default()
    };
    let pid = call(
        "clone3",
        || "new namespaces".to_owned(),
        || {
            // SAFETY: `args` is at least as long as the size that is passed with it, and `pidfd` lives until the call is over.
            // Without CLONE_VM the child works on a copy of this memory, and this process has one thread.
            let answer = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, len) };
            if answer < 0 { Err(last_errno()) } else { Ok(answer) }
        },
    )?;
    if pid == 0 {
        return Ok(Forked::Child);
    }
    // SAFETY: the kernel has just opened this descriptor for us, and nobody else has it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let pid =
        u32::try_from(pid).map_err(|_| SysError::of_deed("clone3", "a strange process id"))?;
    Ok(Forked::Parent(Child { pid, pidfd }))
}

/// The same with new namespaces.
pub fn fork_beside_into(namespaces: i32) -> Result<Forked, SysError> {
    clone(libc::CLONE_PARENT | namespaces, 0, None)
}

/// The same as [`fork_into_group`].
pub fn fork_beside_into_group(
    namespaces: i32,
    group: Option<BorrowedFd<'_>>,
) -> Result<Forked, SysError> {
    clone(libc::CLONE_PARENT | namespaces, 0, group)
}

/// The number of a process that has not been waited for, as this one sees it (`pidfd_open(2)`).
pub fn number_of(pidfd: impl AsFd) -> Result<u32, SysError> {
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_fd().as_raw_fd());
    let text = file::read_all(file::open_read_path(path.as_str())?, STATUS_LEN_MAX)?;
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find_map(|line| line.strip_prefix("Pid:"));
    line.and_then(|number| number.trim().parse().ok())
        .ok_or_else(|| SysError::of_deed("read", "a process without a number"))
}

/// A descriptor for a process that has not been waited for.
pub fn open(pid: u32) -> Result<OwnedFd, SysError> {
    let raw = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let raw = raw.ok_or_else(|| SysError::of_deed("pidfd_open", "a strange process id"))?;
    let open = || rustix::process::pidfd_open(raw, rustix::process::PidfdFlags::empty());
    call("pidfd_open", || pid.to_string(), open)
}

/// Sends a signal; a process that has ended is no failure.
pub fn signal(pidfd: impl AsFd, number: i32) -> Result<(), SysError> {
    let Some(signal) = Signal::from_named_raw(number) else { return Ok(()) };
    let send = || match rustix::process::pidfd_send_signal(&pidfd, signal) {
        Err(Errno::SRCH) => Ok(()),
        other => other,
    };
    call("pidfd_send_signal", || number.to_string(), send)
}

/// Whether a process has a function of its own for a signal (`SigCgt`, `proc_pid_status(5)`). One that has ended has none.
/// The caller has not waited for it, so that its number is still its own.
pub fn catches(pid: u32, signal: i32) -> Result<bool, SysError> {
    let status = file::open_read_path(format!("/proc/{pid}/status").as_str())
        .and_then(|status| file::read_all(status, STATUS_LEN_MAX));
    match status {
        Err(error) if error.is_absent() || error.errno() == Errno::SRCH => Ok(false),
        status => Ok(caught(&String::from_utf8_lossy(&status?)) >> (signal - 1) & 1 == 1),
    }
}

/// The process that one is a child of (`PPid`, `proc_pid_status(5)`), which it can't say otherwise: in its name a line's end is
/// written as another sign.
pub fn parent_of(pid: u32) -> Result<u32, SysError> {
    parent_in(&status_of(&pid.to_string())?)
        .ok_or_else(|| SysError::of_deed("read", "a process without a parent"))
}

fn status_of(process: &str) -> Result<String, SysError> {
    let status = file::open_read_path(format!("/proc/{process}/status").as_str())?;
    let status = file::read_all(status, STATUS_LEN_MAX)?;
    Ok(String::from_utf8_lossy(&status).into_owned())
}

fn parent_in(status: &str) -> Option<u32> {
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    parent.and_then(|number| number.trim().parse().ok())
}

/// How many namespaces of processes one is in, as far as this file system of processes shows them.
fn depth_in(status: &str) -> usize {
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    numbers.map_or(0, |numbers| numbers.split_ascii_whitespace().count())
}

/// Takes away the status of each child that has ended in a namespace of processes below this process's own, but for one child.
/// Those of this process's own namespace keep theirs.
pub fn reap_below(but: u32) -> Result<(), SysError> {
    let own = status_of("self")?;
    let me = std::process::id();
    for listed in dir::list(dir::open_path("/proc")?)? {
        let name = String::from_utf8_lossy(&listed.name);
        let Ok(pid) = name.parse::<u32>() else { continue };
        let status = match status_of(&name) {
            Err(error) if error.is_absent() || error.errno() == Errno::SRCH => continue,
            status => status?,
        };
        if pid == but || parent_in(&status) != Some(me) || depth_in(&status) <= depth_in(&own) {
            continue;
        }
        // A child that nobody has waited for: its number is its own.
        let pidfd = open(pid)?;
        if how_ended(&pidfd)?.is_some() {
            wait(&pidfd)?;
        }
    }
    Ok(())
}

fn caught(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

/// Waits until the child has ended, and takes its status away.
pub fn wait(pidfd: impl AsFd) -> Result<Ended, SysError> {
    let wait = || rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
    let status = call("waitid", || "pidfd".to_owned(), wait)?;
    Ok(status.map_or(Ended::Exited(0), |status| ended(&status)))
}

/// How a child has ended, its status left for whoever waits for it; `None` where it has not.
pub fn how_ended(pidfd: impl AsFd) -> Result<Option<Ended>, SysError> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let wait = || rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), options);
    Ok(call("waitid", || "pidfd, WNOHANG|WNOWAIT".to_owned(), wait)?.map(|status| ended(&status)))
}

/// Takes away the status of every child that has ended, and tells each by its number. For process 1 of a namespace, which gets
/// the children of all that have ended.
pub fn reap() -> Result<Vec<(u32, Ended)>, SysError> {
    let mut gone = Vec::new();
    loop {
        let look = || match rustix::process::wait(WaitOptions::NOHANG) {
            Err(Errno::CHILD) => Ok(None),
            other => other,
        };
        let Some((pid, status)) = call("wait4", || "-1, WNOHANG".to_owned(), look)? else {
            return Ok(gone);
        };
        let number = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
        let ended = match status.terminating_signal() {
            Some(signal) => Ended::Killed(number(signal)),
            None => Ended::Exited(status.exit_status().map_or(u8::MAX, number)),
        };
        gone.push((pid.as_raw_nonzero().get().unsigned_abs(), ended));
    }
}

fn ended(status: &WaitIdStatus) -> Ended {
    let number = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
    match status.terminating_signal() {
        Some(signal) => Ended::Killed(number(signal)),
        None => Ended::Exited(status.exit_status().map_or(u8::MAX, number)),
    }
}

/// How soon the kernel ends a process where memory runs out.
pub fn oom_score(pid: u32) -> Result<i16, SysError> {
    let proc = dir::open_path(format!("/proc/{pid}").as_str())?;
    let text = super::control::read(&proc, "oom_score_adj")?;
    text.trim().parse().map_err(|_| SysError::new("read", format!("{text:?}"), Errno::INVAL))
}

/// Tells the kernel how soon to end a process where memory runs out (`proc_pid_oom_score_adj(5)`); its children take it over.
pub fn set_oom_score(pid: u32, score: i16) -> Result<(), SysError> {
    let proc = dir::open_path(format!("/proc/{pid}").as_str())?;
    super::control::write(&proc, "oom_score_adj", &score.to_string())
}

/// Lets the kernel kill this process when its parent ends. A change of ids or of capabilities takes that back.
pub fn die_with_parent() -> Result<(), SysError> {
    let set = || rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    call("prctl", || "PR_SET_PDEATHSIG, SIGKILL".to_owned(), set)
}

/// Begins a group of processes of its own in its session.
pub fn begin_group() -> Result<(), SysError> {
    call("setpgid", || "0, 0".to_owned(), || rustix::process::setpgid(None, None))
}

/// Lets no process look into this one, its memory or its descriptors, but who has CAP_SYS_PTRACE over it. Holds until it is
/// another program, or another user.
pub fn hide() -> Result<(), SysError> {
    let set = || rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    call("prctl", || "PR_SET_DUMPABLE, 0".to_owned(), set)
}

/// Ends this process at once: no buffer that its parent has filled is written a second time.
pub fn exit_now(status: u8) -> ! {
    // SAFETY: ends the process; nothing after it can be unsound.
    unsafe { libc::_exit(i32::from(status)) }
}

/// Ends this process when it is dropped: by a panic, as long as whoever holds it does not return. A forked child that unwound
/// further would clear up what belongs to its parent.
#[derive(Debug)]
pub struct EndsHere {
    /// The exit status then.
    pub status: u8,
}

impl Drop for EndsHere {
    fn drop(&mut self) {
        exit_now(self.status);
    }
}
