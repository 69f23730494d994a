//! Where the host's network leads.

use std::net::Ipv4Addr;

use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage as Message};

use super::error::{Doing, NetworkError};
use super::subnet::Subnet;
use super::talk::Talk;

/// What a link carries at once where nobody says less.
const MTU_USUAL: u32 = 1500;

/// What is routed, and how far at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routes {
    /// Ranges that lead somewhere already, the way to everywhere else left out.
    pub taken: Vec<Subnet>,
    /// Bytes that the host's way out carries at once.
    pub mtu: u32,
}

/// The routes of the network that this process is in.
pub fn routes() -> Result<Routes, NetworkError> {
    let deed = || "read the host's routes".to_owned();
    let mut talk = Talk::open()?;
    let mut ask = RouteMessage::default();
    ask.header.address_family = AddressFamily::Inet;
    let (mut taken, mut ways_out) = (Vec::new(), Vec::new());
    talk.all(Message::GetRoute(ask), |answer| {
        let Message::NewRoute(route) = answer else { return };
        match destination(&route) {
            Some(subnet) if subnet.prefix_len() > 0 => taken.push(subnet),
            _ => ways_out.extend(way_out(&route)),
        }
    })
    .doing(deed)?;
    ways_out.sort_unstable();
    let mtu = match ways_out.first() {
        Some((_, index)) => mtu_of(&mut talk, *index)?,
        None => None,
    };
    Ok(Routes { taken, mtu: mtu.unwrap_or(MTU_USUAL) })
}

fn destination(route: &RouteMessage) -> Option<Subnet> {
    let address = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(*address),
        _ => None,
    });
    address.map(|address: Ipv4Addr| Subnet::of(address, route.header.destination_prefix_length))
}

/// Its rank, the better the smaller, and its link.
fn way_out(route: &RouteMessage) -> Option<(u32, u32)> {
    let rank = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Priority(rank) => Some(*rank),
        _ => None,
    });
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some((rank.unwrap_or(0), *index)),
        _ => None,
    })
}

fn mtu_of(talk: &mut Talk, index: u32) -> Result<Option<u32>, NetworkError> {
    let mut ask = LinkMessage::default();
    ask.header.index = index;
    let answer = talk.one(Message::GetLink(ask)).doing(|| "read the host's way out".into())?;
    let Some(Message::NewLink(link)) = answer else { return Ok(None) };
    Ok(link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Mtu(mtu) => Some(*mtu),
        _ => None,
    }))
}
