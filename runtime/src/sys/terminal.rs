//! Terminals: a new pair, the modes of the user's own, sizes.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, Winsize};

/// The modes of a terminal.
pub use rustix::termios::Termios as Modes;

use super::{Errno, SysError, call};

/// A new terminal of the devpts file system mounted at `devpts`: the supervisor's end and the program's.
pub fn open_pair(devpts: impl AsFd) -> Result<(OwnedFd, OwnedFd), SysError> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let open = || rustix::fs::openat(&devpts, "ptmx", flags, Mode::empty());
    let master = call("openat", || "ptmx".to_owned(), open)?;
    call("ioctl", || "TIOCSPTLCK".to_owned(), || rustix::pty::unlockpt(&master))?;
    let peer = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = call(
        "ioctl",
        || "TIOCGPTPEER".to_owned(),
        || rustix::pty::ioctl_tiocgptpeer(&master, peer),
    )?;
    Ok((master, slave))
}

/// Begins a session of its own, which no terminal controls.
pub fn new_session() -> Result<(), SysError> {
    call("setsid", String::new, rustix::process::setsid).map(drop)
}

/// Makes a terminal the one that controls this process's session.
pub fn control(terminal: impl AsFd) -> Result<(), SysError> {
    call("ioctl", || "TIOCSCTTY".to_owned(), || rustix::process::ioctl_tiocsctty(&terminal))
}

/// Has this process's group be the one in the foreground of the terminal that controls its session. The caller lets no
/// signal stop it for that.
pub fn come_to_front(terminal: impl AsFd) -> Result<(), SysError> {
    let own = rustix::process::getpgrp();
    call("ioctl", || "TIOCSPGRP".to_owned(), || rustix::termios::tcsetpgrp(&terminal, own))
}

/// Whether this is a terminal.
pub fn is_terminal(file: impl AsFd) -> bool {
    rustix::termios::isatty(file)
}

/// How many rows and columns it has.
pub fn size(terminal: impl AsFd) -> Result<Winsize, SysError> {
    call("ioctl", || "TIOCGWINSZ".to_owned(), || rustix::termios::tcgetwinsize(&terminal))
}

/// Gives it so many rows and columns.
pub fn set_size(terminal: impl AsFd, size: Winsize) -> Result<(), SysError> {
    call("ioctl", || "TIOCSWINSZ".to_owned(), || rustix::termios::tcsetwinsize(&terminal, size))
}

/// Lets every byte through as it is; answers the modes it had.
pub fn make_raw(terminal: impl AsFd) -> Result<Modes, SysError> {
    let before = call("ioctl", || "TCGETS".to_owned(), || rustix::termios::tcgetattr(&terminal))?;
    let mut raw = before.clone();
    raw.make_raw();
    set_modes(&terminal, &raw)?;
    Ok(before)
}

/// Gives it these modes.
pub fn set_modes(terminal: impl AsFd, modes: &Modes) -> Result<(), SysError> {
    let set = || rustix::termios::tcsetattr(&terminal, OptionalActions::Now, modes);
    call("ioctl", || "TCSETS".to_owned(), set)
}

/// Reads what is there; `None` at the end, which the end of the last program on a terminal is, too.
pub fn read(file: impl AsFd, buf: &mut [u8]) -> Result<Option<usize>, SysError> {
    match call("read", String::new, || rustix::io::read(&file, &mut *buf)) {
        Ok(0) => Ok(None),
        Ok(len) => Ok(Some(len)),
        Err(error) if error.errno() == Errno::IO => Ok(None),
        Err(error) if error.errno() == Errno::AGAIN => Ok(Some(0)),
        Err(error) => Err(error),
    }
}

/// Writes what the file takes now; 0 where it takes nothing.
pub fn write(file: impl AsFd, bytes: &[u8]) -> Result<usize, SysError> {
    match call("write", || format!("{} bytes", bytes.len()), || rustix::io::write(&file, bytes)) {
        Err(error) if error.errno() == Errno::AGAIN => Ok(0),
        written => written,
    }
}

/// From here on a read or write that would have to wait answers at once.
pub fn never_wait(file: impl AsFd) -> Result<(), SysError> {
    let set = || rustix::io::ioctl_fionbio(&file, true);
    call("ioctl", || "FIONBIO".to_owned(), set)
}
