//! Sockets that hold a port of the host's, tell its address, or ask a program for something.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::path::Path;

use layerfs_driver::sys::file;
use rustix::net::{
    AddressFamily, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType, socket_with,
    sockopt,
};

use super::{Errno, SysError, call};

/// An address that nobody has (RFC 5737): the way to it is the way to everywhere.
const ELSEWHERE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 9);

/// Bytes of a path that a socket can have, at most: `sun_path` of `unix(7)`, which ends with a zero.
pub const PATH_MAX: usize = 107;

/// What a port belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Takes the port, or one that is free for 0, and answers which.
///
/// One of TCP listens: only so a second one of the host's that reuses addresses, as servers do, is refused, and this one is
/// not refused for the sake of connections that are over. What comes in is led to the container before it gets here.
pub fn take(
    transport: Transport,
    address: SocketAddrV4,
) -> Result<(OwnedFd, SocketAddrV4), SysError> {
    let kind = match transport {
        Transport::Tcp => SocketType::STREAM,
        Transport::Udp => SocketType::DGRAM,
    };
    let open = || socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, None);
    let socket = call("socket", || format!("AF_INET, {transport:?}"), open)?;
    if transport == Transport::Tcp {
        let set = || sockopt::set_socket_reuseaddr(&socket, true);
        call("setsockopt", || "SO_REUSEADDR".to_owned(), set)?;
    }
    call("bind", || address.to_string(), || rustix::net::bind(&socket, &address))?;
    if transport == Transport::Tcp {
        call("listen", || address.to_string(), || rustix::net::listen(&socket, 1))?;
    }
    let name = || rustix::net::getsockname(&socket);
    let bound = call("getsockname", || address.to_string(), name)?;
    let bound = SocketAddrV4::try_from(bound)
        .map_err(|_| SysError::of_deed("getsockname", "no address of IPv4"))?;
    Ok((socket, bound))
}

/// The address by which this host leaves for elsewhere; `None` where it has no way there. Nothing is sent.
pub fn way_out() -> Result<Option<Ipv4Addr>, SysError> {
    let open = || socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
    let socket = call("socket", || "AF_INET, SOCK_DGRAM".to_owned(), open)?;
    match call("connect", || ELSEWHERE.to_string(), || rustix::net::connect(&socket, &ELSEWHERE)) {
        Err(error) if matches!(error.errno(), Errno::NETUNREACH | Errno::HOSTUNREACH) => {
            return Ok(None);
        }
        connected => connected?,
    }
    let name = call("getsockname", String::new, || rustix::net::getsockname(&socket))?;
    Ok(SocketAddrV4::try_from(name).ok().map(|own| *own.ip()))
}

/// Sends a request to the socket at `path`, says that it was all, and takes the answer of at most `len_max` bytes.
pub fn ask(path: &Path, request: &[u8], len_max: u64) -> Result<Vec<u8>, SysError> {
    let shown = || format!("{path:?}");
    let open = || socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    let socket = call("socket", || "AF_UNIX, SOCK_STREAM".to_owned(), open)?;
    let connect = || rustix::net::connect(&socket, &SocketAddrUnix::new(path)?);
    call("connect", shown, connect)?;
    let send = || rustix::net::send(&socket, request, SendFlags::NOSIGNAL);
    let sent = call("send", || format!("{} bytes", request.len()), send)?;
    if sent < request.len() {
        return Err(SysError::of_deed("send", "a request that is too long"));
    }
    call("shutdown", shown, || rustix::net::shutdown(&socket, Shutdown::Write))?;
    file::read_all(&socket, len_max)
}
