//! The program that is a container's first process with `--init`: this package carries it in itself, so that nothing of it
//! has to be in an image.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags};

use super::{Errno, SysError, call};

/// It, whole; `program.rs` beside is what it is made of.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const PROGRAM: &[u8] = b"";

/// What its words, its name and its file are.
const NAME: &std::ffi::CStr = c"layerfs-init";

/// A file of it in memory, which nobody can change.
pub fn load() -> Result<OwnedFd, SysError> {
    if PROGRAM.is_empty() {
        return Err(SysError::of_deed("execveat", "there is none for this kind of processor"));
    }
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let make = || rustix::fs::memfd_create(NAME, flags);
    let file = call("memfd_create", || format!("{NAME:?}"), make)?;
    let write = || match rustix::io::write(&file, PROGRAM) {
        Ok(len) if len == PROGRAM.len() => Ok(()),
        Ok(_) => Err(Errno::NOSPC),
        Err(errno) => Err(errno),
    };
    call("write", || format!("{} bytes", PROGRAM.len()), write)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    let seal = || rustix::fs::fcntl_add_seals(&file, seals);
    call("fcntl", || "F_ADD_SEALS".to_owned(), seal)?;
    Ok(file)
}

/// Becomes it, without a variable, to stand by a child of this process. Returns only where that is refused.
pub fn become_init(program: &OwnedFd, child: u32) -> SysError {
    let number = format!("{child}\0").into_bytes();
    let words = [NAME.as_ptr(), number.as_ptr().cast(), std::ptr::null()];
    let none = [std::ptr::null::<libc::c_char>()];
    let run = || -> Result<(), Errno> {
        // SAFETY: both lists end with a null and point to C strings that outlive the call.
        Err(unsafe { super::exec::become_open(program.as_fd(), &words, &none) })
    };
    let refused = call("execveat", || format!("{NAME:?}, {child}"), run);
    refused.err().unwrap_or_else(|| SysError::of_deed("execveat", "returned without an error"))
}
