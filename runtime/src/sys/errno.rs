//! What the C library answered, for the calls that only it has.

use super::Errno;

/// What the last call of the C library answered.
pub(super) fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
