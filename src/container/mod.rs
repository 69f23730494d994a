//! The verbs about containers, one file each.

mod asked;
mod details;
mod files;
pub mod inspect;
mod limits;
pub mod network;
mod oom;
mod process;
pub mod ps;
pub mod rm;
pub mod run;
mod sealed;
mod security;
mod server;
pub mod shown;
pub mod sweep;
mod sysctls;
mod tmpfs;
mod ulimits;
mod volumes;
pub mod words;
