//! Signals of this process: taken one by one through a descriptor, and given back before another program starts.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use super::{Errno, SysError, call, last_errno};

/// Asks to end, from a terminal.
pub const INTERRUPT: i32 = libc::SIGINT;
/// Asks to end.
pub const TERMINATE: i32 = libc::SIGTERM;
/// Ends.
pub const KILL: i32 = libc::SIGKILL;
/// Tells that a terminal has another size.
pub const WINDOW: i32 = libc::SIGWINCH;

/// What is passed on to a container: what people and their tools send to end or steer a program. The kernel's own words
/// (SIGCHLD, SIGPIPE) and those that stop a process keep their effect.
const TAKEN: [i32; 8] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGWINCH,
];

/// Signals by name, as `kill -l` has them without SIG.
const NAMES: [(&str, i32); 31] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

/// The number of a signal by its name, with SIG or without, in capitals or not, or by that number itself.
pub fn named(word: &str) -> Option<i32> {
    let upper = word.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let known = NAMES.iter().find(|(known, _)| *known == name).map(|(_, at)| *at);
    known.or_else(|| real_time(name)).or_else(|| {
        let number: i32 = word.parse().ok()?;
        name_of_number(number).is_some().then_some(number)
    })
}

/// Those without a name of their own, from the least or the greatest on.
fn real_time(name: &str) -> Option<i32> {
    let (least, most) = (libc::SIGRTMIN(), libc::SIGRTMAX());
    let distance = |rest: &str, sign: char| match rest {
        "" => Some(0),
        rest => rest.strip_prefix(sign)?.parse::<i32>().ok(),
    };
    let number = match name.strip_prefix("RTMIN") {
        Some(rest) => least.checked_add(distance(rest, '+')?)?,
        None => most.checked_sub(distance(name.strip_prefix("RTMAX")?, '-')?)?,
    };
    (least..=most).contains(&number).then_some(number)
}

fn name_of_number(number: i32) -> Option<String> {
    let (least, most) = (libc::SIGRTMIN(), libc::SIGRTMAX());
    match NAMES.iter().find(|(_, known)| *known == number) {
        Some((name, _)) => Some(format!("SIG{name}")),
        None if number == least => Some("SIGRTMIN".into()),
        None if (least..=most).contains(&number) => Some(format!("SIGRTMIN+{}", number - least)),
        None => None,
    }
}

/// The name of a signal, with SIG.
pub fn name(number: i32) -> Option<String> {
    name_of_number(number)
}

fn set_of(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set that it is given.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: initialised by the call above.
    let mut set = unsafe { set.assume_init() };
    for signal in signals {
        // SAFETY: the set is initialised and the signal is one of Linux's.
        unsafe { libc::sigaddset(&raw mut set, *signal) };
    }
    set
}

/// Keeps signals from being delivered, and gives a descriptor that tells of each. Call it before any child is made.
pub fn take() -> Result<OwnedFd, SysError> {
    let set = set_of(&TAKEN);
    mask(libc::SIG_BLOCK, &set)?;
    let fd = call("signalfd", String::new, || {
        // SAFETY: the set is initialised and outlives the call.
        let fd =
            unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 { Err(last_errno()) } else { Ok(fd) }
    })?;
    // SAFETY: the kernel has just opened this descriptor for us, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The next signal that came; `None` where there is no further one.
pub fn next(taken: impl AsFd) -> Result<Option<i32>, SysError> {
    let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
    let fd = taken.as_fd().as_raw_fd();
    let read = || {
        // SAFETY: `info` has room for the bytes that may be written.
        let len = unsafe {
            libc::read(fd, info.as_mut_ptr().cast(), size_of::<libc::signalfd_siginfo>())
        };
        if len < 0 { Err(last_errno()) } else { Ok(()) }
    };
    match call("read", || "signalfd".to_owned(), read) {
        Ok(()) => {}
        Err(error) if error.errno() == Errno::AGAIN => return Ok(None),
        Err(error) => return Err(error),
    }
    // SAFETY: all zeros, or what the kernel wrote: plain numbers either way.
    let info = unsafe { info.assume_init() };
    Ok(Some(info.ssi_signo.cast_signed()))
}

/// Whether one of the signals that came asks to end; the others that came are passed over.
pub fn asks_to_end(taken: impl AsFd) -> Result<bool, SysError> {
    let mut asked = false;
    while let Some(signal) = next(&taken)? {
        asked |= [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM].contains(&signal);
    }
    Ok(asked)
}

/// Lets signals through and gives each the effect that a new program expects.
pub fn give_back() -> Result<(), SysError> {
    for signal in 1..=libc::SIGRTMAX() {
        // SIGKILL and SIGSTOP refuse, and the numbers that the C library keeps for itself: no program expects others.
        // SAFETY: sets the default effect, which names no function of ours.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    mask(libc::SIG_SETMASK, &set_of(&[]))
}

/// Has children of this process be gone when they have ended: nobody waits for them.
pub fn forget_children() {
    // SAFETY: ignores a signal, which names no function of ours.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
}

/// Keeps every signal from being delivered, until they are given back.
pub fn hold_all() -> Result<(), SysError> {
    let mut set = set_of(&[]);
    // SAFETY: the set is initialised.
    unsafe { libc::sigfillset(&raw mut set) };
    mask(libc::SIG_SETMASK, &set)
}

fn mask(how: i32, set: &libc::sigset_t) -> Result<(), SysError> {
    call("sigprocmask", String::new, || {
        // SAFETY: the set is initialised and outlives the call; no old set is asked for.
        let done = unsafe { libc::sigprocmask(how, set, std::ptr::null_mut()) };
        if done == 0 { Ok(()) } else { Err(last_errno()) }
    })
}
