//! The bridge that connects containers with each other and with the host.

use std::net::{IpAddr, Ipv4Addr};

use layerfs_driver::sys::dir;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage as Message};

use super::error::{Doing, NetworkError};
use super::removal::{Going, Until};
use super::subnet::Subnet;
use super::talk::Talk;
use crate::sys::{Errno, SysError, control};

/// What a hardware address is: that of a bridge says whose it is.
pub type Mac = [u8; 6];

/// A bridge of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Its name.
    pub name: String,
    /// Its own address, the containers' way out; `None` where whoever made it got no further.
    pub address: Option<(Ipv4Addr, Subnet)>,
    /// Bytes that it carries at once.
    pub mtu: u32,
}

/// Looks for a link by its name, and answers its hardware address and its bridge where it is one with an address of ours.
pub fn find(name: &str) -> Result<Option<(Mac, Bridge)>, NetworkError> {
    let deed = || format!("look for the bridge `{name}`");
    let mut talk = Talk::open()?;
    let Some(link) = link(&mut talk, name).doing(deed)? else { return Ok(None) };
    let mac = mac_of(&link);
    let mtu = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Mtu(bytes) => Some(*bytes),
        _ => None,
    });
    let mut ask = AddressMessage::default();
    ask.header.family = AddressFamily::Inet;
    let mut address = None;
    let index = link.header.index;
    talk.all(Message::GetAddress(ask), |answer| {
        let Message::NewAddress(one) = answer else { return };
        if one.header.index != index {
            return;
        }
        for attribute in &one.attributes {
            if let AddressAttribute::Local(IpAddr::V4(found)) = attribute {
                address = Some((*found, Subnet::of(*found, one.header.prefix_len)));
            }
        }
    })
    .doing(deed)?;
    Ok(Some((mac, Bridge { name: name.to_owned(), address, mtu: mtu.unwrap_or_default() })))
}

/// Makes it, or goes on where whoever made it got no further: up, with its address, and so that packets pass. `false` where
/// somebody else has made a link of that name meanwhile.
pub fn make(bridge: &Bridge, mac: Mac) -> Result<bool, NetworkError> {
    let name = &bridge.name;
    let deed = || format!("make the bridge `{name}`");
    let mut talk = Talk::open()?;
    let message = described(vec![
        LinkAttribute::IfName(name.clone()),
        LinkAttribute::Address(mac.to_vec()),
        LinkAttribute::Mtu(bridge.mtu),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
    ]);
    match talk.change(Message::NewLink(message), NLM_F_CREATE | NLM_F_EXCL) {
        Err(error) if error.errno() == Errno::EXIST => {}
        made => made.doing(deed)?,
    }
    let Some((found, _)) = find(name)? else { return Ok(false) };
    if found != mac {
        return Ok(false);
    }
    // What a container sends can make no route of the host's, and reaches nothing that listens on the host's loopback: rules
    // see to the latter, since connections of the host's own to a published port come from there.
    for (key, value) in [
        ("ipv6/conf/NAME/accept_ra", "0"),
        ("ipv6/conf/NAME/disable_ipv6", "1"),
        ("ipv4/conf/NAME/route_localnet", "1"),
        ("ipv4/conf/NAME/send_redirects", "0"),
        ("ipv4/ip_forward", "1"),
    ] {
        set(&key.replace("NAME", name), value)?;
    }
    let index = index_of(&mut talk, name).doing(deed)?;
    if let Some((address, subnet)) = bridge.address {
        match talk.change(address_of(index, address, subnet), NLM_F_CREATE | NLM_F_EXCL) {
            Err(error) if error.errno() == Errno::EXIST => {}
            made => made.doing(|| format!("give the bridge `{name}` the address {address}"))?,
        }
    }
    talk.change(raise(index), 0).doing(deed)?;
    Ok(true)
}

/// Looks for a link by its name, and answers its number and its hardware address.
pub fn number_of(name: &str) -> Result<Option<(u32, Mac)>, NetworkError> {
    let found = link(&mut Talk::open()?, name).doing(|| format!("look for the bridge `{name}`"))?;
    Ok(found.map(|link| (link.header.index, mac_of(&link))))
}

/// Has the bridge of that number taken away; one that has gone is no failure.
pub fn remove(index: u32, name: &str, until: Until) -> Result<Going, NetworkError> {
    Going::begin((index, name), until, || {})
}

fn mac_of(link: &LinkMessage) -> Mac {
    let mac = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Address(bytes) => Mac::try_from(bytes.as_slice()).ok(),
        _ => None,
    });
    mac.unwrap_or_default()
}

/// A setting of this network's that is as it should be is not written: then it may be one that can't be.
fn set(key: &str, value: &str) -> Result<(), NetworkError> {
    let path = format!("/proc/sys/net/{key}");
    let deed = || format!("set `{path}` to {value}, which a bridge needs");
    let all = dir::open_path("/proc/sys/net").doing(deed)?;
    match control::read(&all, key) {
        // A kernel without IPv6 has none of its settings.
        Err(error) if error.is_absent() => return Ok(()),
        Ok(now) if now.trim() == value => return Ok(()),
        Ok(_) | Err(_) => {}
    }
    control::write(&all, key, value).doing(deed)
}

/// A message about a link that its attributes describe.
pub(super) fn described(attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes = attributes;
    message
}

/// A link by its name.
pub(super) fn link(talk: &mut Talk, name: &str) -> Result<Option<LinkMessage>, SysError> {
    let ask = described(vec![LinkAttribute::IfName(name.to_owned())]);
    match talk.one(Message::GetLink(ask))? {
        Some(Message::NewLink(link)) => Ok(Some(link)),
        _ => Ok(None),
    }
}

/// The number of a link that is there.
pub(super) fn index_of(talk: &mut Talk, name: &str) -> Result<u32, SysError> {
    let link = link(talk, name)?;
    link.map(|link| link.header.index)
        .ok_or_else(|| SysError::new("netlink", format!("{name:?}"), Errno::NODEV))
}

/// Brings a link up.
pub(super) fn raise(index: u32) -> Message {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    Message::SetLink(message)
}

/// Gives a link an address.
pub(super) fn address_of(index: u32, address: Ipv4Addr, subnet: Subnet) -> Message {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = subnet.prefix_len();
    message.header.index = index;
    message.attributes = vec![
        AddressAttribute::Local(IpAddr::V4(address)),
        AddressAttribute::Address(IpAddr::V4(address)),
    ];
    Message::NewAddress(message)
}
