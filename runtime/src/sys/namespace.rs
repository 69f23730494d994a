//! What belongs to a namespace: made new, named, set up.

use std::os::fd::AsRawFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::{SysError, call, last_errno};

/// Processes, mounts, host name, System V IPC: what every container has of its own.
pub const ALWAYS: i32 =
    libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC;

/// Processes and mounts only.
pub const PROCESSES_AND_MOUNTS: i32 = libc::CLONE_NEWPID | libc::CLONE_NEWNS;

/// A network of its own, with nothing but a loopback that is down.
pub const NETWORK: i32 = libc::CLONE_NEWNET;

/// Roots the view of control groups where this process is now.
pub fn unshare_cgroups() -> Result<(), SysError> {
    call(
        "unshare",
        || "CLONE_NEWCGROUP".to_owned(),
        || {
            // SAFETY: takes a number and touches no memory of ours.
            let done = unsafe { libc::unshare(libc::CLONE_NEWCGROUP) };
            if done == 0 { Ok(()) } else { Err(last_errno()) }
        },
    )
}

/// Names the machine that this process sees.
pub fn set_hostname(name: &str) -> Result<(), SysError> {
    let set = || rustix::system::sethostname(name.as_bytes());
    call("sethostname", || format!("{name:?}"), set)
}

/// `struct ifreq` of `linux/if.h`, its flags only.
#[repr(C)]
struct InterfaceFlags {
    name: [u8; libc::IFNAMSIZ],
    flags: u16,
    rest: [u8; 22],
}

/// Brings the loopback of this process's network up.
pub fn raise_loopback() -> Result<(), SysError> {
    let open = || socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
    let socket = call("socket", || "AF_INET, SOCK_DGRAM".to_owned(), open)?;
    let mut name = [0; libc::IFNAMSIZ];
    name[..2].copy_from_slice(b"lo");
    // IFF_UP and IFF_RUNNING.
    let request = InterfaceFlags { name, flags: 0x41, rest: [0; 22] };
    call(
        "ioctl",
        || "SIOCSIFFLAGS, lo, up".to_owned(),
        || {
            // SAFETY: `request` has the layout and the size (40 bytes) of `struct ifreq`, and the kernel only reads it.
            let done =
                unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
            if done == 0 { Ok(()) } else { Err(last_errno()) }
        },
    )
}
