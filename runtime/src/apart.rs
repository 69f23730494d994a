//! Work that is done apart from the caller: processes of this program and programs of others, waited for, pinned and ended.
//!
//! Containers are made by [`start`](crate::start). What is here serves those who measure, and hold no container.

pub use crate::sys::channel::pipe;
pub use crate::sys::control::{read as read_control, write as write_control};
pub use crate::sys::kill::kill_now;
pub use crate::sys::mounts::{Attributes, attach, make_all_private, new_filesystem};
pub use crate::sys::process::{
    Child, Ended, EndsHere, Forked, die_with_parent, exit_now, fork_into, open, reap, signal, wait,
};
pub use crate::sys::processors::{first as first_processor, pin};
pub use crate::sys::program::{Program, Told, run};
pub use crate::sys::signals::{KILL, TERMINATE, asks_to_end, take as take_signals};
pub use crate::sys::watch::{Until, wait as wait_until};

/// Processes and mounts of their own: with the first process all others of it end, and with them the mounts.
pub const PROCESSES_AND_MOUNTS: i32 = crate::sys::namespace::PROCESSES_AND_MOUNTS;
/// No namespaces of their own.
pub const NOTHING: i32 = 0;
