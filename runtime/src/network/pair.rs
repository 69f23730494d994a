//! The pair of links of each container: one end on the host's bridge, the other in its network.

use std::net::Ipv4Addr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage as Message;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo,
};

use super::bridge::{described, index_of, link};
use super::error::{Doing, NetworkError};
use super::removal::{Going, Until};
use super::talk::Talk;
use super::tracked::{Connections, forget_connections};
use crate::spec::Connection;
use crate::sys::Errno;

/// How the container's end is called, as everywhere.
pub(super) const INSIDE: &str = "eth0";

/// Makes the pair: the host's end up and on the bridge, the other one, still down, in the network of process `pid`.
pub(crate) fn connect(connection: &Connection, pid: u32) -> Result<(), NetworkError> {
    let name = &connection.link;
    let deed = || format!("connect the container with the bridge `{}`", connection.bridge);
    let mut talk = Talk::open()?;
    let bridge = index_of(&mut talk, &connection.bridge).doing(deed)?;
    let peer = described(vec![
        LinkAttribute::IfName(INSIDE.to_owned()),
        LinkAttribute::Address(connection.mac.to_vec()),
        LinkAttribute::Mtu(connection.mtu),
        LinkAttribute::NetNsPid(pid),
    ]);
    let mut ours = described(vec![
        LinkAttribute::IfName(name.clone()),
        LinkAttribute::Mtu(connection.mtu),
        LinkAttribute::Controller(bridge),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]),
    ]);
    ours.header.flags = LinkFlags::Up;
    ours.header.change_mask = LinkFlags::Up;
    talk.change(Message::NewLink(ours), NLM_F_CREATE | NLM_F_EXCL).doing(deed)
}

/// Lets nothing through any more; one that has gone is no failure.
pub fn shut(name: &str) -> Result<(), NetworkError> {
    let mut message = described(vec![LinkAttribute::IfName(name.to_owned())]);
    message.header.change_mask = LinkFlags::Up;
    match Talk::open()?.change(Message::SetLink(message), 0) {
        Err(error) if matches!(error.errno(), Errno::NODEV | Errno::NOENT) => Ok(()),
        done => done.doing(|| format!("bring the link `{name}` down")),
    }
}

/// Takes the host's end away, and with it the other; one that has gone with its container is no failure. Then has the kernel forget what
/// the address has begun, where one is given: as far as it does, and nobody waits for it where nobody waits for the link.
pub fn disconnect(name: &str, until: Until, begun: Option<Ipv4Addr>) -> Result<(), NetworkError> {
    let forget = || {
        let forgotten = begun.map(|address| forget_connections(address, Connections::Begun));
        if let Some(Err(error)) = forgotten {
            tracing::debug!("{error}");
        }
    };
    let found = link(&mut Talk::open()?, name).doing(|| format!("look for the link `{name}`"))?;
    match found {
        Some(found) => Going::begin((found.header.index, name), until, forget)?.end(),
        None => {
            forget();
            Ok(())
        }
    }
}
