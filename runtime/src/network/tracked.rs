//! What the kernel tracks of connections (`nf_conntrack`): forgotten with who had them.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP};

use super::error::{Doing, NetworkError};
use super::rules::message_of;
use super::talk::errno_of;
use crate::sys::netlink::{self, Tables};
use crate::sys::{Errno, SysError};

// Of `linux/netfilter/nfnetlink_conntrack.h`.
const SUBSYSTEM: u16 = 1;
const GET: u16 = SUBSYSTEM << 8 | 1;
const DELETE: u16 = SUBSYSTEM << 8 | 2;
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;
const FILTER: u16 = 25;
const TUPLE_IP: u16 = 1;
const IP_SOURCE: u16 = 1;

/// Of a filter: by the source alone.
const BY_SOURCE: u32 = 1;
/// An attribute that holds others.
const NESTED: u16 = 0x8000;
const KIND: u16 = 0x3fff;
/// IPv4, and a version of the form.
const FAMILY: [u8; 4] = [2, 0, 0, 0];

// Kinds of answers (`netlink(7)`).
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// Bytes of the headers of a message: `struct nlmsghdr`, and `struct nfgenmsg` after it.
const HEADER_LEN: usize = 16;
const BOTH_LEN: usize = 20;
/// Where the number of a message is in its header.
const NUMBER: Range<usize> = 8..12;
/// The kernel fills at most 32 KiB at once.
const ANSWER_LEN: usize = 64 * 1024;

/// Connections that one message to the kernel forgets. As many answers have room in a socket.
const AT_ONCE: usize = 64;

/// How long forgetting may take: other containers that begin or end may wait for it. A container has as many as it likes.
const FORGET_MAX: Duration = Duration::from_secs(1);

/// Which connections of an address are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// What it has begun.
    Begun,
    /// That, and what reached it.
    All,
}

/// Has the kernel forget connections of an address in the network that this process is in. Datagrams that still come would go where
/// they went before, whatever the rules say now. For each direction the kernel goes through all that it tracks.
pub fn forget_connections(address: Ipv4Addr, which: Connections) -> Result<(), NetworkError> {
    let deed = || format!("forget the connections of {address}");
    let socket = netlink::open(Tables::Filter).doing(deed)?;
    let until = Instant::now() + FORGET_MAX;
    let directions: &[u16] = match which {
        Connections::Begun => &[ORIGINAL],
        Connections::All => &[ORIGINAL, REPLY],
    };
    for &direction in directions {
        let connections = tracked(&socket, address, direction).doing(deed)?;
        for some in connections.chunks(AT_ONCE) {
            if Instant::now() > until {
                tracing::debug!("{}: the kernel forgets the rest by itself", deed());
                return Ok(());
            }
            forget(&socket, some).doing(deed)?;
        }
    }
    Ok(())
}

/// One answer comes of each that is gone already, and one of the last in any case.
fn forget(socket: &OwnedFd, connections: &[Vec<u8>]) -> Result<(), SysError> {
    let mut messages = Vec::new();
    for (connection, number) in connections.iter().zip(1_u32..) {
        let flags = if number as usize == connections.len() { NLM_F_ACK } else { 0 };
        let mut message = message_of(DELETE, flags, FAMILY, connection);
        message[NUMBER].copy_from_slice(&number.to_ne_bytes());
        // Each begins at four bytes.
        message.resize(message.len().next_multiple_of(4), 0);
        messages.extend(message);
    }
    netlink::send(socket, &messages)?;
    let last = u32::try_from(connections.len()).unwrap_or(u32::MAX);
    let mut refused = Ok(());
    answers(socket, |answer| match answer.kind {
        DONE | ERROR => {
            match answer.done() {
                // It has ended meanwhile.
                Err(error) if error.is_absent() => {}
                Err(error) => refused = Err(error),
                Ok(()) => {}
            }
            if answer.number == last { Next::Enough } else { Next::More }
        }
        _ => Next::More,
    })?;
    refused
}

/// What names each connection whose source, in that direction, is the address. The kernel chooses from Linux 5.8 on; it is looked
/// at again here, since what names nothing would name all of them.
fn tracked(socket: &OwnedFd, address: Ipv4Addr, direction: u16) -> Result<Vec<Vec<u8>>, SysError> {
    let source = attribute(IP_SOURCE, &address.octets());
    let tuple = attribute(NESTED | direction, &attribute(NESTED | TUPLE_IP, &source));
    let by_source = attribute(direction, &BY_SOURCE.to_ne_bytes());
    let other = attribute(ORIGINAL + REPLY - direction, &0_u32.to_ne_bytes());
    let filter = attribute(NESTED | FILTER, &[by_source, other].concat());
    netlink::send(socket, &message_of(GET, NLM_F_DUMP, FAMILY, &[tuple, filter].concat()))?;
    let mut found = Vec::new();
    let mut whole = Ok(());
    answers(socket, |answer| match answer.kind {
        DONE | ERROR => {
            whole = answer.done();
            Next::Enough
        }
        _ => {
            let connection = answer.held.get(BOTH_LEN - HEADER_LEN..).unwrap_or_default();
            found.extend(named(connection, address, direction));
            Next::More
        }
    })?;
    whole.map(|()| found)
}

/// The attributes by which a connection is known again; `None` where it is another's.
fn named(connection: &[u8], address: Ipv4Addr, direction: u16) -> Option<Vec<u8>> {
    let of = |kind| attributes(connection).find(|(found, ..)| *found == kind);
    let (_, tuple, _) = of(direction)?;
    let (_, ip, _) = attributes(tuple).find(|(kind, ..)| *kind == TUPLE_IP)?;
    let (_, source, _) = attributes(ip).find(|(kind, ..)| *kind == IP_SOURCE)?;
    let (_, _, original) = of(ORIGINAL)?;
    let rest = [ID, ZONE].into_iter().filter_map(of).flat_map(|(_, _, whole)| whole);
    (source == address.octets()).then(|| original.iter().chain(rest).copied().collect())
}

/// Each attribute: its kind, what it holds, and all of it with its header and what is missing of four bytes.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8], &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & KIND;
        let (held, whole) = (bytes.get(4..len)?, bytes.get(..len.next_multiple_of(4))?);
        bytes = &bytes[whole.len()..];
        Some((kind, held, whole))
    })
}

fn attribute(kind: u16, held: &[u8]) -> Vec<u8> {
    let len = u16::try_from(4 + held.len()).unwrap_or(u16::MAX);
    let mut bytes = [len.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(held);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// One of the kernel's answers.
struct Answer<'a> {
    kind: u16,
    /// Of the message that it answers.
    number: u32,
    /// What comes after its first header.
    held: &'a [u8],
}

impl Answer<'_> {
    /// What an answer that ends something says of it. The end of a list has an errno, too, where the list is not whole.
    fn done(&self) -> Result<(), SysError> {
        let code = self.held.get(..4).and_then(|code| code.try_into().ok());
        match code.map(i32::from_ne_bytes) {
            Some(code) if code < 0 => Err(SysError::new("netlink", "nf_conntrack", errno_of(code))),
            Some(_) => Ok(()),
            None => Err(SysError::new("netlink", "nf_conntrack", Errno::IO)),
        }
    }
}

/// Whether there is more to come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    More,
    Enough,
}

/// Takes answers, until there is enough.
fn answers(socket: &OwnedFd, mut each: impl FnMut(&Answer<'_>) -> Next) -> Result<(), SysError> {
    let mut bytes = vec![0; ANSWER_LEN];
    loop {
        let len = netlink::receive(socket, &mut bytes)?;
        let mut rest = &bytes[..len];
        while let Some((answer, whole)) = next(rest) {
            if each(&answer) == Next::Enough {
                return Ok(());
            }
            rest = rest.get(whole..).unwrap_or_default();
        }
        if !rest.is_empty() || len == 0 {
            return Err(SysError::of_deed("recv", "an answer of netlink that is too short"));
        }
    }
}

/// The first message, and how long it is.
fn next(bytes: &[u8]) -> Option<(Answer<'_>, usize)> {
    let len = usize::try_from(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?)).ok()?;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let number = u32::from_ne_bytes(bytes.get(NUMBER)?.try_into().ok()?);
    let held = bytes.get(HEADER_LEN..len)?;
    Some((Answer { kind, number, held }, len.next_multiple_of(4)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection as the kernel tells of one.
    fn connection(original: [u8; 4], reply: [u8; 4]) -> Vec<u8> {
        let tuple = |kind: u16, source: [u8; 4]| {
            let ip = [attribute(IP_SOURCE, &source), attribute(2, &[9, 9, 9, 9])].concat();
            attribute(NESTED | kind, &attribute(NESTED | TUPLE_IP, &ip))
        };
        let id = attribute(ID, &[1, 2, 3, 4]);
        [tuple(ORIGINAL, original), tuple(REPLY, reply), attribute(3, &[0; 4]), id].concat()
    }

    #[test]
    fn a_connection_is_named_by_who_began_it_whichever_side_is_looked_at() {
        let (ours, other) = ([10, 80, 0, 2], [192, 0, 2, 1]);
        let begun = connection(other, ours);
        let named_so = named(&begun, ours.into(), REPLY).unwrap();
        let kinds: Vec<u16> = attributes(&named_so).map(|(kind, ..)| kind).collect();
        assert_eq!(kinds, [ORIGINAL, ID]);
        assert_eq!(named(&begun, ours.into(), ORIGINAL), None);
        assert_eq!(
            named(&connection(ours, other), ours.into(), ORIGINAL).map(|it| it.len()),
            Some(32)
        );
    }

    #[test]
    fn the_end_of_a_list_that_is_not_whole_is_an_error() {
        let answer = |code: i32| {
            let mut bytes = message_of(DONE, 0, [0; 4], &[]);
            bytes[HEADER_LEN..].copy_from_slice(&code.to_ne_bytes());
            let (answer, whole) = next(&bytes).unwrap();
            assert_eq!((answer.kind, answer.number, whole), (DONE, 1, 20));
            answer.done().map_err(|error| error.errno())
        };
        assert_eq!(
            [answer(0), answer(-4), answer(-105)],
            [Ok(()), Err(Errno::INTR), Err(Errno::NOBUFS)]
        );
    }

    #[test]
    fn what_is_cut_names_nothing_and_never_ends_in_a_panic() {
        let whole = connection([1, 2, 3, 4], [10, 80, 0, 2]);
        for len in 0..whole.len() {
            let found = named(&whole[..len], [10, 80, 0, 2].into(), REPLY);
            assert!(found.is_none_or(|found| !found.is_empty()), "{len}");
        }
        assert!(next(&[255; 20]).is_none() && next(&[0; 3]).is_none());
    }
}
