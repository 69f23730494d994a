//! Ending processes by number: for those that a control group lists.

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use super::{SysError, call};

/// Sends SIGKILL to the process `pid`; never to a process group, never to everyone. A process that is gone is no error.
pub fn kill_now(pid: u32) -> Result<(), SysError> {
    let one = i32::try_from(pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw);
    let refused = || SysError::new("kill", format!("{pid}, SIGKILL"), Errno::SRCH);
    let one = one.ok_or_else(refused)?;
    match call("kill", || format!("{pid}, SIGKILL"), || kill_process(one, Signal::KILL)) {
        Err(error) if error.errno() == Errno::SRCH => Ok(()),
        other => other,
    }
}
