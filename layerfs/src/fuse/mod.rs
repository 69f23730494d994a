//! The door: FUSE requests in, calls on the union, answers out. It decides nothing about files.
//!
//! 1. A callback translates, makes one call on the union, and answers.
//! 2. What the kernel may cache and what it must ask is decided in one place, at the start (`session`).
//! 3. The process that serves a mount never waits for that mount: it holds descriptors, and resolves no path in it.

mod answer;
mod aside;
mod ask;
mod asker;
mod backing;
mod belief;
mod buffers;
mod complaint;
mod door;
mod faces;
mod given;
mod io_state;
mod listing;
mod manner;
mod mount;
mod resting;
mod session;

pub use belief::LASTING;
pub use manner::{Callers, DirLinks, Fsync, Io, Manner, Names, Wakes, Xattrs, Zero};
pub use mount::{
    Access, By, Mount, MountError, MountOptions, TakenAway, device_cure, mount, unmount,
};
pub use session::{Serving, SessionError};
