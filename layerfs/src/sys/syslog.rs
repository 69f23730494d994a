//! The host's system log: a datagram for each line to the socket where journald and syslogd listen.

use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

use super::error::{SysError, call};
use super::host;

/// Where it listens (`syslog(3)`).
const SOCKET: &str = "/dev/log";

/// What sort of program speaks: a daemon (RFC 3164, facility 3).
const DAEMON: u8 = 3 << 3;

/// How much a line matters (RFC 3164).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// A failure.
    Error = 3,
    /// What went wrong and was got over.
    Warning = 4,
    /// A step.
    Info = 6,
    /// Why a step was made.
    Debug = 7,
}

/// Sends one line. Where nobody listens, or it does not keep up, that is an error; nothing waits.
pub fn send(severity: Severity, line: &[u8]) -> Result<(), SysError> {
    send_to(SOCKET, severity, line)
}

/// A socket for each line: who listens may have been started again since the last one.
fn send_to(path: &str, severity: Severity, line: &[u8]) -> Result<(), SysError> {
    let mut bytes =
        format!("<{}>layerfs[{}]: ", DAEMON | severity as u8, host::process_id()).into_bytes();
    bytes.extend_from_slice(line);
    let new = || {
        let (family, kind) = (AddressFamily::UNIX, SocketType::DGRAM);
        rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)
    };
    let socket = call("socket", || "AF_UNIX, SOCK_DGRAM".to_owned(), new)?;
    let address = call("sendto", || path.to_owned(), || SocketAddrUnix::new(path))?;
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let send = || rustix::net::sendto(&socket, &bytes, flags, &address);
    call("sendto", || path.to_owned(), send).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_with_its_severity_and_its_sender() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("log");
        let path = path.to_str().unwrap();
        assert!(send_to(path, Severity::Error, b"x").unwrap_err().is_absent());
        let log = std::os::unix::net::UnixDatagram::bind(path).unwrap();
        send_to(path, Severity::Error, b"error: no more").unwrap();
        let mut bytes = [0; 100];
        let len = log.recv(&mut bytes).unwrap();
        let expected = format!("<27>layerfs[{}]: error: no more", std::process::id());
        assert_eq!(String::from_utf8_lossy(&bytes[..len]), expected);
    }
}
