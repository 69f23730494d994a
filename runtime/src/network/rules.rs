//! The rules of the packet filter: written whole by `nft`, looked for by netlink.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST};

use super::error::{Doing, NetworkError};
use super::talk::errno_of;
use crate::sys::inside;
use crate::sys::netlink::{self, Tables};
use crate::sys::process::Ended;
use crate::sys::{SysError, program};

/// Where programs for root lie, also where a user's `PATH` does not lead there.
const PLACES: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin"];

/// `NFPROTO_INET`: rules for both versions of IP.
const INET: u8 = 1;

/// Where `nft` is; `None` where it is not installed.
pub fn program() -> Option<PathBuf> {
    let mut all = PLACES.iter().map(|place| Path::new(place).join("nft"));
    all.find(|path| inside::may_execute(path.as_os_str()).is_ok())
}

/// Lets the kernel take all of `rules`, in the language of `nft`, or none.
pub fn feed(rules: &str) -> Result<(), NetworkError> {
    let nft = program().ok_or(NetworkError::NoNft)?;
    let told = program::feed(&nft, &["-f".into(), "-".into()], rules.as_bytes())
        .doing(|| format!("start `{}`", nft.display()))?;
    if told.ended == Ended::Exited(0) {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&told.errors);
    let line = words.lines().find(|line| !line.trim().is_empty());
    Err(NetworkError::Rules(line.map_or_else(|| format!("it {}", told.ended), str::to_owned)))
}

/// Whether there is a table of that name for both versions of IP.
pub fn is_there(table: &str) -> Result<bool, NetworkError> {
    let deed = || format!("look for the rules `inet {table}`");
    match ask(&message(GET_TABLE, 0, &about(table))).doing(deed) {
        Err(NetworkError::Refused { source, .. }) if source.is_absent() => Ok(false),
        answered => answered.map(|()| true),
    }
}

/// The number of the last change of any rule in this network (`NFT_MSG_GETGEN`).
pub fn generation() -> Result<u32, NetworkError> {
    let deed = || "ask which change of rules was the last".to_owned();
    let answer = answer_of(&message(GET_GENERATION, 0, &[])).doing(deed)?;
    // It comes first: a length, a kind, and the number as networks write it.
    let number = match answer.get(20..28) {
        Some([8, 0, kind, 0, number @ ..]) if u16::from(*kind) == GENERATION => {
            number.try_into().ok()
        }
        _ => None,
    };
    let none = || SysError::of_deed("recv", "no number of a change of rules");
    number.map(u32::from_be_bytes).ok_or_else(none).doing(deed)
}

/// The socket by which rules were taken away. Who closes it waits until the kernel has freed them (`nft_rcv_nl_event`): so it is held
/// while something else is done.
#[derive(Debug)]
#[must_use]
pub struct Dropped {
    _socket: OwnedFd,
}

/// Takes a table away with everything in it; one that is not there is no failure. Needs no `nft`: it may be gone.
pub fn drop_table(table: &str) -> Result<Dropped, NetworkError> {
    let deed = || format!("remove the rules `inet {table}`");
    // Changes are made between a begin and an end, all or none.
    let bounds = |kind| message_of(kind, 0, [0, 0, 0, SUBSYSTEM_LOW], &[]);
    let all =
        [bounds(BATCH_BEGIN), message(DROP_TABLE, NLM_F_ACK, &about(table)), bounds(BATCH_END)];
    let socket = netlink::open(Tables::Filter).doing(deed)?;
    match asked_by(&socket, &all.concat()).doing(deed) {
        Err(NetworkError::Refused { source, .. }) if source.is_absent() => {}
        answered => drop(answered?),
    }
    Ok(Dropped { _socket: socket })
}

// Of `linux/netfilter/nfnetlink.h` and `nf_tables.h`.
const SUBSYSTEM: u16 = 10;
const SUBSYSTEM_LOW: u8 = 10;
const GET_TABLE: u16 = SUBSYSTEM << 8 | 1;
const DROP_TABLE: u16 = SUBSYSTEM << 8 | 2;
const GET_GENERATION: u16 = SUBSYSTEM << 8 | 16;
const GENERATION: u16 = 1;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const TABLE_NAME: u16 = 1;
/// What the kernel answers where something was refused, or where an answer was asked for: an errno, negated.
const ERROR: u16 = 2;

/// Sends messages of which one is answered.
fn ask(messages: &[u8]) -> Result<(), SysError> {
    answer_of(messages).map(drop)
}

/// The same, and that answer where it is no refusal.
fn answer_of(messages: &[u8]) -> Result<Vec<u8>, SysError> {
    asked_by(&netlink::open(Tables::Filter)?, messages)
}

fn asked_by(socket: &OwnedFd, messages: &[u8]) -> Result<Vec<u8>, SysError> {
    netlink::send(socket, messages)?;
    let mut answer = [0; 4096];
    let len = netlink::receive(socket, &mut answer)?;
    let word = |at: usize| -> Option<[u8; 4]> { answer[..len].get(at..at + 4)?.try_into().ok() };
    let kind = word(4).map(|[a, b, _, _]| u16::from_ne_bytes([a, b]));
    match (kind, word(16)) {
        (Some(ERROR), Some(code)) => match i32::from_ne_bytes(code) {
            0 => Ok(Vec::new()),
            code => Err(SysError::new("netlink", "nf_tables", errno_of(code))),
        },
        (Some(_), Some(_)) => Ok(answer[..len].to_vec()),
        _ => Err(SysError::of_deed("recv", "an answer of netlink that is too short")),
    }
}

/// The attribute that names a table: its length, its kind, the name with its zero, and what is missing of four bytes.
fn about(table: &str) -> Vec<u8> {
    let len = u16::try_from(4 + table.len() + 1).unwrap_or(u16::MAX);
    let mut bytes = [len.to_ne_bytes(), TABLE_NAME.to_ne_bytes()].concat();
    bytes.extend(table.as_bytes());
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn message(kind: u16, flags: u16, attributes: &[u8]) -> Vec<u8> {
    message_of(kind, flags, [INET, 0, 0, 0], attributes)
}

/// `struct nlmsghdr`, `struct nfgenmsg`, attributes.
pub(super) fn message_of(kind: u16, flags: u16, family: [u8; 4], attributes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(16 + family.len() + attributes.len()).unwrap_or(u32::MAX);
    let mut bytes = len.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    // The number of the message, and no port of the sender's.
    bytes.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(family);
    bytes.extend(attributes);
    bytes
}
