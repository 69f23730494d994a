//! What belongs to a namespace: made new, named, set up.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use layerfs_driver::sys::dir;
use layerfs_driver::sys::file::{self, Symlinks};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::{SysError, call, control, last_errno};
use crate::spec::Groups;

/// Processes, mounts, host name: what every container has of its own from its first instruction on.
pub const ALWAYS: i32 = libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWUTS;

/// System V IPC and message queues, which every container has of its own, too.
pub const IPC: i32 = libc::CLONE_NEWIPC;

/// Processes only.
pub const PROCESSES: i32 = libc::CLONE_NEWPID;

/// Processes and mounts only.
pub const PROCESSES_AND_MOUNTS: i32 = libc::CLONE_NEWPID | libc::CLONE_NEWNS;

/// A network of its own, with nothing but a loopback that is down.
pub const NETWORK: i32 = libc::CLONE_NEWNET;

/// Users of its own, to whom the other namespaces that are made with it belong.
pub const USERS: i32 = libc::CLONE_NEWUSER;

/// Gives the users and groups of the user namespace that the process `pid` is in, from 0 on, `len` ids of ours from `first` on.
/// The process is a child that nobody has waited for, so that its number is its own.
pub fn give_ids(pid: u32, first: u32, len: u32) -> Result<(), SysError> {
    let process = dir::open_path(format!("/proc/{pid}").as_str())?;
    let line = format!("0 {first} {len}\n");
    control::write(&process, "gid_map", &line)?;
    control::write(&process, "uid_map", &line)
}

/// Lets user 0 and group 0 of the user namespace that the process `pid` is in, a child as above, be this user and this group. Its
/// groups stay what they are (user_namespaces(7)).
pub fn give_own_ids(pid: u32, (user, group): (u32, u32)) -> Result<(), SysError> {
    let process = dir::open_path(format!("/proc/{pid}").as_str())?;
    control::write(&process, "setgroups", "deny")?;
    control::write(&process, "gid_map", &format!("0 {group} 1\n"))?;
    control::write(&process, "uid_map", &format!("0 {user} 1\n"))
}

/// How many ids the user namespace that the process `pid` is in has, of users or of groups, whichever are fewer, and whether its
/// processes may have groups beside their own. The caller sees to it that the number is still that process's.
pub fn ids_of(pid: u32) -> Result<(u32, Groups), SysError> {
    let process = dir::open_path(format!("/proc/{pid}").as_str())?;
    let count = |map: &str| -> Result<u32, SysError> {
        let map = control::read(&process, map)?;
        let counts = map.lines().filter_map(|line| line.split_ascii_whitespace().nth(2));
        Ok(counts.filter_map(|count| count.parse::<u32>().ok()).fold(0, u32::saturating_add))
    };
    let count = count("uid_map")?.min(count("gid_map")?);
    let is_denied = control::read(&process, "setgroups")?.trim() == "deny";
    Ok((count, if is_denied { Groups::Kept } else { Groups::Set }))
}

/// What user 0 of the user namespace that the process `pid` is in is to this one (`user_namespaces(7)`). The caller sees to it that
/// the number is still that process's when this has returned.
pub fn root_of(pid: u32) -> Result<u32, SysError> {
    let process = dir::open_path(format!("/proc/{pid}").as_str())?;
    let map = control::read(&process, "uid_map")?;
    let mut words = map.split_ascii_whitespace();
    match (words.next(), words.next().map(str::parse)) {
        (Some("0"), Some(Ok(first))) => Ok(first),
        _ => Err(SysError::of_deed("read", format!("/proc/{pid}/uid_map has no user 0"))),
    }
}

/// The user namespace that the process `pid` is in, a child that nobody has waited for.
pub fn users_of(pid: u32) -> Result<OwnedFd, SysError> {
    let process = dir::open_path(format!("/proc/{pid}").as_str())?;
    file::open_read(&process, "ns/user", Symlinks::Follow)
}

/// The namespace of processes that this process is in.
pub fn own_processes() -> Result<OwnedFd, SysError> {
    open(Path::new("/proc/self/ns/pid"))
}

/// Roots the view of control groups where this process is now.
pub fn unshare_cgroups() -> Result<(), SysError> {
    unshare(libc::CLONE_NEWCGROUP, "CLONE_NEWCGROUP")
}

/// Parts from the IPC of others.
pub fn unshare_ipc() -> Result<(), SysError> {
    unshare(IPC, "CLONE_NEWIPC")
}

fn unshare(namespace: i32, shown: &str) -> Result<(), SysError> {
    call(
        "unshare",
        || shown.to_owned(),
        || {
            // SAFETY: takes a number and touches no memory of ours.
            let done = unsafe { libc::unshare(namespace) };
            if done == 0 { Ok(()) } else { Err(last_errno()) }
        },
    )
}

/// Names the machine that this process sees.
pub fn set_hostname(name: &str) -> Result<(), SysError> {
    let set = || rustix::system::sethostname(name.as_bytes());
    call("sethostname", || format!("{name:?}"), set)
}

/// Opens what may be a namespace.
pub fn open(path: &Path) -> Result<OwnedFd, SysError> {
    // What is none may be a pipe without a writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(CWD, path, flags, Mode::empty());
    call("openat", || format!("{path:?}"), open)
}

/// Whether it is a network. An error where it is no namespace at all.
pub fn is_network(file: impl AsFd) -> Result<bool, SysError> {
    /// `linux/nsfs.h`: `_IO(0xb7, 3)`.
    const NS_GET_NSTYPE: libc::c_ulong = 0xb703;
    let ask = || {
        // SAFETY: takes no argument and touches no memory of ours.
        let kind = unsafe { libc::ioctl(file.as_fd().as_raw_fd(), NS_GET_NSTYPE) };
        if kind < 0 { Err(last_errno()) } else { Ok(kind == NETWORK) }
    };
    call("ioctl", || "NS_GET_NSTYPE".to_owned(), ask)
}

/// Enters a network.
fn enter_network(network: impl AsFd) -> Result<(), SysError> {
    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
    let enter = || move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network));
    call("setns", || "CLONE_NEWNET".to_owned(), enter)
}

/// This process in another network for a while: dropped or ended, it is in its own again.
#[derive(Debug)]
pub struct Visit {
    own: Option<OwnedFd>,
}

impl Visit {
    /// Goes there. The caller has one thread.
    pub fn begin(network: impl AsFd) -> Result<Self, SysError> {
        let own = open(Path::new("/proc/self/ns/net"))?;
        enter_network(network)?;
        Ok(Visit { own: Some(own) })
    }

    /// Comes back.
    pub fn end(mut self) -> Result<(), SysError> {
        self.own.take().map_or(Ok(()), enter_network)
    }

    /// Does not come back: for the child that was made there.
    pub fn stay(mut self) {
        self.own = None;
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.own.take().map(enter_network) {
            tracing::warn!("come back to the host's network: {error}");
        }
    }
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
