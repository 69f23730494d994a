//! Raw calls on files, directories and mappings: the only room of this package that makes them.
//!
//! One wrapper per call. A wrapper sets `CLOEXEC` and `NOFOLLOW` itself, tries again after `EINTR`, passes a fault
//! point before the call, and its error prints the call with its arguments. Everything above takes descriptors.
#![allow(unsafe_code)] // this room holds every unsafe block of the package, each under its SAFETY line

pub mod again;
pub mod asked;
pub mod beneath;
pub mod change;
pub mod connection;
pub mod cpu_latency;
pub mod credentials;
pub mod deep;
pub mod dir;
mod error;
pub mod extents;
pub mod fault;
pub mod file;
pub mod fuse_device;
pub mod fusermount;
pub mod handle;
pub mod host;
pub mod lock;
mod mapping;
pub mod mount;
pub mod name;
pub mod namespace;
pub mod output;
pub mod overlays;
pub mod process;
mod sigbus;
pub mod signal;
pub mod standing;
pub mod stream;
pub mod syslog;
pub mod xattr;
pub mod xattr_at;

pub use error::{SysError, call};
pub use mapping::Mapping;
pub use rustix::io::Errno;
pub use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
