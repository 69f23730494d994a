//! The container's side, set up by its first process.

use std::net::Ipv4Addr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage as Message};

use super::bridge::{address_of, index_of, raise};
use super::pair::INSIDE;
use super::talk::Talk;
use crate::spec::Connection;
use crate::sys::SysError;

/// The table that routes stand in unless others are asked for (`RT_TABLE_MAIN`).
const MAIN: u8 = 254;

/// Gives the link its address, brings it up, and routes everything through the bridge.
pub(crate) fn set_up(connection: &Connection) -> Result<(), SysError> {
    let mut talk = Talk::open().map_err(|error| match error {
        super::NetworkError::Refused { source, .. } => source,
        _ => SysError::of_deed("netlink", "no socket"),
    })?;
    let index = index_of(&mut talk, INSIDE)?;
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    talk.change(address_of(index, connection.address, connection.subnet), flags)?;
    talk.change(raise(index), 0)?;
    talk.change(route_through(connection.gateway), flags)
}

fn route_through(gateway: Ipv4Addr) -> Message {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.table = MAIN;
    message.header.protocol = RouteProtocol::Boot;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message.attributes = vec![RouteAttribute::Gateway(RouteAddress::Inet(gateway))];
    Message::NewRoute(message)
}
