//! Sockets that hold a port of the host's and carry nothing.

use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};

use super::{SysError, call};

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
