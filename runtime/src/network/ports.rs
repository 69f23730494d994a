//! Ports of the host that are kept for a container, so that nothing else of the host takes them meanwhile.

use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;

pub use crate::sys::sockets::Transport;
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
