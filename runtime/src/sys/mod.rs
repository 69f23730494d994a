//! Raw calls on processes, namespaces, mounts and terminals: the only room of this package that makes them.
//!
//! Calls on plain files are the driver's. One wrapper per call, each with its fault point, as there.
#![allow(unsafe_code)] // this room holds every unsafe block of the package, each under its SAFETY line

pub mod bpf;
pub mod channel;
pub mod control;
mod errno;
pub mod exec;
pub mod identity;
pub mod init;
pub mod inside;
pub mod join;
pub mod keyring;
pub mod kill;
pub mod limits;
pub mod mounts;
pub mod namespace;
pub mod netlink;
pub mod process;
pub mod processors;
pub mod program;
pub mod seccomp;
pub mod signals;
pub mod sockets;
pub mod stream;
pub mod terminal;
pub mod watch;

use errno::last_errno;
pub use layerfs_driver::sys::{Errno, SysError, call};
