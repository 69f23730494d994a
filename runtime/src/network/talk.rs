//! Messages about links, addresses and routes, and the kernel's answers.

use std::os::fd::OwnedFd;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage as Message;

use super::error::{Doing, NetworkError};
use crate::sys::netlink::{self, Tables};
use crate::sys::{Errno, SysError};

/// The kernel fills at most 32 KiB at once.
const ANSWER_LEN: usize = 64 * 1024;

/// Bytes of the header of each message (`struct nlmsghdr`).
const HEADER_LEN: usize = 16;

/// A socket, and how many messages went through it.
#[derive(Debug)]
pub struct Talk {
    socket: OwnedFd,
    sent: u32,
}

impl Talk {
    /// With the kernel, of the network that this process is in.
    pub fn open() -> Result<Self, NetworkError> {
        Talk::begin().doing(|| "speak of the network".into())
    }

    /// The same, for whoever says what it is for.
    pub fn begin() -> Result<Self, SysError> {
        Ok(Talk { socket: netlink::open(Tables::Routes)?, sent: 0 })
    }

    /// Asks for a change, with `flags` beside the usual ones.
    pub fn change(&mut self, message: Message, flags: u16) -> Result<(), SysError> {
        let answered = self.ask(message, NLM_F_ACK | flags, |_| {});
        answered.map(drop)
    }

    /// Asks for one object; `None` where there is none.
    pub fn one(&mut self, message: Message) -> Result<Option<Message>, SysError> {
        let mut found = None;
        match self.ask(message, NLM_F_ACK, |message| found = Some(message)) {
            Err(error) if matches!(error.errno(), Errno::NODEV | Errno::NOENT) => Ok(None),
            answered => answered.map(|()| found),
        }
    }

    /// Asks for all objects. One of a kind that is not understood is passed over: it is none of ours.
    pub fn all(&mut self, message: Message, each: impl FnMut(Message)) -> Result<(), SysError> {
        self.ask(message, NLM_F_DUMP, each)
    }

    fn ask(
        &mut self,
        message: Message,
        flags: u16,
        mut each: impl FnMut(Message),
    ) -> Result<(), SysError> {
        self.sent = self.sent.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sent;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        netlink::send(&self.socket, &bytes)?;
        let mut answer = vec![0; ANSWER_LEN];
        loop {
            let len = netlink::receive(&self.socket, &mut answer)?;
            let mut rest = &answer[..len];
            while rest.len() >= HEADER_LEN {
                let said = u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]);
                let len = usize::try_from(said).unwrap_or(usize::MAX);
                if len < HEADER_LEN || len > rest.len() {
                    return Err(SysError::of_deed("recv", "a message longer than what came"));
                }
                if self.heed(&rest[..len], &mut each)? {
                    return Ok(());
                }
                rest = &rest[len.next_multiple_of(4).min(rest.len())..];
            }
        }
    }

    /// Whether that was the last of the answer.
    fn heed(&self, bytes: &[u8], each: &mut impl FnMut(Message)) -> Result<bool, SysError> {
        let message = match NetlinkMessage::<Message>::deserialize(bytes) {
            Ok(message) => message,
            Err(error) => {
                tracing::debug!("a message of netlink is passed over: {error}");
                return Ok(false);
            }
        };
        if message.header.sequence_number != self.sent {
            return Ok(false);
        }
        match message.payload {
            NetlinkPayload::InnerMessage(message) => each(message),
            NetlinkPayload::Done(_) => return Ok(true),
            NetlinkPayload::Error(error) => {
                return match error.code {
                    None => Ok(true),
                    Some(code) => {
                        Err(SysError::new("netlink", String::new(), errno_of(code.get())))
                    }
                };
            }
            _ => {}
        }
        Ok(false)
    }
}

/// What a message says was wrong: an errno, negated.
pub(super) fn errno_of(code: i32) -> Errno {
    match code.saturating_neg() {
        errno @ 1..4096 => Errno::from_raw_os_error(errno),
        _ => Errno::IO,
    }
}
