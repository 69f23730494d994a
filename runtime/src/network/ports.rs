//! Ports of the host that are kept for a container, so that nothing else of the host takes them meanwhile; its own address.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;

pub use crate::sys::sockets::{PATH_MAX as SOCKET_PATH_MAX, Transport};
use crate::sys::{SysError, sockets};

/// A port of the host's, taken for as long as this lives.
#[derive(Debug)]
pub struct Reserved {
    /// Which one it is: where none was said, one that was free.
    pub address: SocketAddrV4,
    _socket: OwnedFd,
}

/// Takes a port; any that is free where it is 0.
pub fn reserve(transport: Transport, address: SocketAddrV4) -> Result<Reserved, SysError> {
    let (socket, address) = sockets::take(transport, address)?;
    Ok(Reserved { address, _socket: socket })
}

/// The address by which the host leaves for elsewhere; `None` where it has no way there.
pub fn way_out() -> Result<Option<Ipv4Addr>, SysError> {
    sockets::way_out()
}
