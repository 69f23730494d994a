//! Sockets to the kernel's own tables of links, addresses, routes and rules (`netlink(7)`).

use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, socket_with,
};

use super::{SysError, call};

/// Which of the kernel's tables a socket speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tables {
    /// Links, addresses, routes.
    Routes,
    /// Rules of the packet filter.
    Filter,
}

impl Tables {
    /// `NETLINK_ROUTE` is 0, which stands for none.
    fn protocol(self) -> Option<Protocol> {
        match self {
            Tables::Routes => None,
            Tables::Filter => Some(netlink::NETFILTER),
        }
    }
}

/// A socket that speaks of the network this process is in.
pub fn open(tables: Tables) -> Result<OwnedFd, SysError> {
    let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
    let open = || socket_with(family, kind, SocketFlags::CLOEXEC, tables.protocol());
    call("socket", || format!("AF_NETLINK, {tables:?}"), open)
}

/// Sends one message to the kernel, which has dealt with it when this returns.
pub fn send(socket: impl AsFd, message: &[u8]) -> Result<(), SysError> {
    let send = || rustix::net::send(&socket, message, SendFlags::empty());
    call("send", || "AF_NETLINK".to_owned(), send).map(drop)
}

/// Takes what the kernel has to answer next, as much of it as comes at once.
pub fn receive(socket: impl AsFd, into: &mut [u8]) -> Result<usize, SysError> {
    let receive = || rustix::net::recv(&socket, &mut *into, RecvFlags::empty()).map(|(len, _)| len);
    call("recv", || "AF_NETLINK".to_owned(), receive)
}
