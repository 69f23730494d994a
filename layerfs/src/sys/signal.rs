//! Signals to a server: those that end it, waited for on a thread of their own, and one that must not.

use rustix::io::Errno;

use super::error::SysError;

/// Keeps SIGTERM, SIGINT and SIGHUP from ending the process, in this thread and all it starts: [`wait_for_end`] takes
/// them.
pub fn block_ends() -> Result<(), SysError> {
    let set = ends();
    // SAFETY: the set is initialised; the old mask is not asked for.
    let done =
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
    if done == 0 { Ok(()) } else { Err(refused("pthread_sigmask", done)) }
}

/// Waits for one of the blocked signals.
pub fn wait_for_end() -> Result<(), SysError> {
    let set = ends();
    let mut signal = 0;
    // SAFETY: both point to initialised memory of this frame.
    let done = unsafe { libc::sigwait(&raw const set, &raw mut signal) };
    if done == 0 { Ok(()) } else { Err(refused("sigwait", done)) }
}

/// Lets a write past the limit of a file's size answer `EFBIG`, where it would end the process.
pub fn ignore_file_size() -> Result<(), SysError> {
    super::error::call(
        "signal",
        || "SIGXFSZ, SIG_IGN".to_owned(),
        || {
            // SAFETY: no handler is set, so none can run at a bad moment.
            let before = unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
            if before == libc::SIG_ERR { Err(last_errno()) } else { Ok(()) }
        },
    )
}

/// Lets the ends of children be told, which a caller may have wanted to hear nothing of: then there is none to wait for
/// (`waitid(2)`). What is started from here does not take that over either.
pub fn heed_children() -> Result<(), SysError> {
    // SAFETY: no handler is set, so none can run at a bad moment.
    let before = unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    match before {
        libc::SIG_ERR => Err(SysError::new("signal", "SIGCHLD, SIG_DFL", last_errno())),
        _ => Ok(()),
    }
}

/// Lets who opens a file that this process holds a lease on go on: the lease is about to end, and the word of it would end the
/// process.
pub fn ignore_leases() -> Result<(), SysError> {
    // SAFETY: no handler is set, so none can run at a bad moment.
    let before = unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
    match before {
        libc::SIG_ERR => Err(SysError::new("signal", "SIGIO, SIG_IGN", last_errno())),
        _ => Ok(()),
    }
}

pub(super) fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Begins a session of its own: the terminal's signals go to the old one.
pub fn leave_terminal() -> Result<(), SysError> {
    match rustix::process::setsid() {
        Ok(_) | Err(Errno::PERM) => Ok(()),
        Err(errno) => Err(SysError::new("setsid", "", errno)),
    }
}

fn ends() -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set that it is given.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: initialised by the call above.
    let mut set = unsafe { set.assume_init() };
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        // SAFETY: the set is initialised and the signal is one of Linux's.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    set
}

fn refused(call: &'static str, errno: i32) -> SysError {
    SysError::new(call, "SIGTERM, SIGINT, SIGHUP", Errno::from_raw_os_error(errno))
}
