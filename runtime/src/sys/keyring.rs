//! Keyrings of the kernel's (`keyrings(7)`).

use super::{SysError, call, last_errno};

/// `KEYCTL_JOIN_SESSION_KEYRING` of `linux/keyctl.h`.
const JOIN_SESSION_KEYRING: libc::c_ulong = 1;

/// Joins a session keyring that is new, empty and without a name, in the place of the one that this process was born with.
/// `ENOSYS` where the kernel knows no keys, `EPERM` where a filter forbids the call.
pub fn join_new() -> Result<(), SysError> {
    call(
        "keyctl",
        || "KEYCTL_JOIN_SESSION_KEYRING".to_owned(),
        || {
            let no_name = std::ptr::null::<libc::c_char>();
            // SAFETY: a null name asks for a keyring without one; no memory of ours is read or written.
            let done = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, no_name) };
            if done < 0 { Err(last_errno()) } else { Ok(()) }
        },
    )
}
