//! Processes of others, by pid and the moment they started: a pid alone may have gone to another process meanwhile.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, Signal};

use super::error::{SysError, call};
use super::signal::last_errno;
use super::{Errno, file};

/// Bytes of `/proc/PID/stat`: 52 numbers and a name of at most 15.
const STAT_LEN_MAX: u64 = 4096;

/// A process that was alive when it was found, held so that its pid can't come to mean another.
#[derive(Debug)]
pub struct Process {
    pidfd: OwnedFd,
    pid: u32,
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Process {
    /// The process of that pid, if it is the one that started then; `None` where it has gone.
    pub fn find(pid: u32, start_ticks: u64) -> Result<Option<Self>, SysError> {
        let Some(own) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        let opened = call(
            "pidfd_open",
            || pid.to_string(),
            || rustix::process::pidfd_open(own, PidfdFlags::empty()),
        );
        let pidfd = match opened {
            Err(error) if error.errno() == Errno::SRCH => return Ok(None),
            opened => opened?,
        };
        // The pid is held from here on: who started at that tick under it is who the descriptor means.
        Ok((self::start_ticks(pid)? == Some(start_ticks)).then_some(Process { pidfd, pid }))
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Ends it with SIGKILL. One that has ended meanwhile is no error.
    pub fn kill(&self) -> Result<(), SysError> {
        self.send(Signal::KILL.as_raw())
    }

    /// Sends it a signal by its number. One that has ended meanwhile is no error.
    pub fn send(&self, number: i32) -> Result<(), SysError> {
        let shown = || format!("{}, signal {number}", self.pid);
        let send = || {
            let (pidfd, none) = (self.pidfd.as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
            // SAFETY: the descriptor is open, and no information about the signal is passed. The kernel refuses what is no
            // signal; those above 31 have no names to send them by.
            let sent =
                unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, number, none, 0) };
            if sent == 0 { Ok(()) } else { Err(last_errno()) }
        };
        let sent = call("pidfd_send_signal", shown, send);
        match sent {
            Err(error) if error.errno() == Errno::SRCH => Ok(()),
            sent => sent,
        }
    }
}

/// When a process started, in clock ticks since the machine did (`proc_pid_stat(5)`, field 22); `None` where there is
/// none of that pid.
pub fn start_ticks(pid: u32) -> Result<Option<u64>, SysError> {
    let path = format!("/proc/{pid}/stat");
    let text = file::open_read_path(path.as_str()).and_then(|fd| file::read_all(fd, STAT_LEN_MAX));
    let text = match text {
        // It ended between the two calls: then reading answers ESRCH.
        Err(error) if error.is_absent() || error.errno() == Errno::SRCH => return Ok(None),
        text => text?,
    };
    match field_22(&text) {
        Some(ticks) => Ok(Some(ticks)),
        None => Err(SysError::new("read", path, Errno::INVAL)),
    }
}

/// Whether a process has ended and waits for its status to be taken away, or is gone.
pub fn has_ended(pid: u32) -> bool {
    let path = format!("/proc/{pid}/stat");
    let text = file::open_read_path(path.as_str()).and_then(|fd| file::read_all(fd, STAT_LEN_MAX));
    let Ok(text) = text else { return true };
    let after = text.iter().rposition(|byte| *byte == b')');
    after.and_then(|at| text.get(at + 2)).is_none_or(|state| b"ZXx".contains(state))
}

/// The name in parentheses may itself hold spaces and parentheses: fields are counted from the last one that closes.
fn field_22(stat: &[u8]) -> Option<u64> {
    let after = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let text = std::str::from_utf8(&stat[after..]).ok()?;
    text.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Has all threads of this process share one heap: of glibc's, which would give each its own, those that come and go each leave one
/// behind that nobody uses. Asked for before there are threads; other libraries have one.
pub fn share_heap() {
    // SAFETY: it takes two numbers, and changes how memory is found that is asked for from here on.
    #[cfg(target_env = "gnu")]
    if unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) } != 1 {
        tracing::debug!("each thread has a heap of its own");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_process_is_read_whatever_its_name() {
        let rest: String = (3..=52).map(|n| format!(" {n}")).collect();
        for name in ["sh", "a b", ") 1 2", "(("] {
            assert_eq!(field_22(format!("7 ({name}){rest}\n").as_bytes()), Some(22), "{name}");
        }
        assert_eq!(field_22(b"7 (sh) S 1"), None);
        assert_eq!(field_22(b""), None);
    }

    #[test]
    fn a_process_is_found_by_its_start_and_killed() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let started = start_ticks(child.id()).unwrap().unwrap();
        assert!(Process::find(child.id(), started + 1).unwrap().is_none(), "another's start");
        let found = Process::find(child.id(), started).unwrap().unwrap();
        assert!(!has_ended(child.id()));
        found.send(64).unwrap();
        while !has_ended(child.id()) {
            std::thread::yield_now();
        }
        found.kill().unwrap();
        assert!(!child.wait().unwrap().success());
        found.kill().unwrap();
        assert!(Process::find(child.id(), started).unwrap().is_none(), "it is gone");
        assert!(Process::find(0, 0).unwrap().is_none());
    }
}
