//! The verbs about containers, one file each.

mod asked;
mod details;
pub mod exec;
mod files;
pub mod inspect;
mod limits;
mod oom;
mod process;
pub mod ps;
mod rights;
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
