//! Pairs of sockets between processes of ours: bytes, and descriptors beside them.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use super::{SysError, call};

/// Two ends of a channel that keeps messages apart. Both close with their processes, and on exec.
pub fn pair() -> Result<(OwnedFd, OwnedFd), SysError> {
    let make = || {
        rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
    };
    call("socketpair", || "AF_UNIX, SOCK_SEQPACKET".to_owned(), make)
}

/// A pipe: its end to read from, and that to write to. Both close on exec.
pub fn pipe() -> Result<(OwnedFd, OwnedFd), SysError> {
    let make = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
    call("pipe2", || "O_CLOEXEC".to_owned(), make)
}

/// Another descriptor for the same end.
pub fn another(channel: impl AsFd) -> Result<OwnedFd, SysError> {
    call("fcntl", || "F_DUPFD_CLOEXEC".to_owned(), || rustix::io::fcntl_dupfd_cloexec(&channel, 3))
}

/// Sends one message, with a descriptor or without. An end without a reader is `EPIPE`, never a signal.
pub fn send(
    channel: impl AsFd,
    bytes: &[u8],
    descriptor: Option<BorrowedFd<'_>>,
) -> Result<(), SysError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let descriptors = descriptor.map(|descriptor| [descriptor]);
    let send = || {
        let mut beside = SendAncillaryBuffer::new(&mut space);
        if let Some(descriptors) = &descriptors {
            beside.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        rustix::net::sendmsg(&channel, &[IoSlice::new(bytes)], &mut beside, SendFlags::NOSIGNAL)
    };
    call("sendmsg", || format!("{} bytes", bytes.len()), send).map(drop)
}

/// Waits for one message of at most `len_max` bytes; `None` where the other end is closed.
pub fn receive(
    channel: impl AsFd,
    len_max: usize,
) -> Result<Option<(Vec<u8>, Option<OwnedFd>)>, SysError> {
    match receive_once(&channel, len_max) {
        // The peer died with words of ours unread. That is told first, and once; what it said before comes after.
        Err(error) if error.errno() == super::Errno::CONNRESET => receive_once(channel, len_max),
        received => received,
    }
}

fn receive_once(
    channel: impl AsFd,
    len_max: usize,
) -> Result<Option<(Vec<u8>, Option<OwnedFd>)>, SysError> {
    let mut bytes = vec![0; len_max];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let receive = || {
        let mut into = [IoSliceMut::new(&mut bytes)];
        rustix::net::recvmsg(&channel, &mut into, &mut beside, RecvFlags::CMSG_CLOEXEC)
    };
    let len = call("recvmsg", String::new, receive)?.bytes;
    let mut descriptor = None;
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(mut received) = message {
            descriptor = received.next();
        }
    }
    bytes.truncate(len);
    Ok((len > 0 || descriptor.is_some()).then_some((bytes, descriptor)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_said_before_it_died_with_words_unread_is_heard() {
        let (ours, its) = pair().unwrap();
        send(&ours, b"go on", None).unwrap();
        send(&its, b"why not", None).unwrap();
        drop(its);
        assert_eq!(receive(&ours, 16).unwrap().unwrap().0, b"why not");
        assert!(receive(&ours, 16).unwrap().is_none());
    }
}
