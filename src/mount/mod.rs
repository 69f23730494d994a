//! Verbs on mounts, one file each, and the process that serves one.

pub mod bounds;
pub mod dead;
mod ending;
mod holder;
mod kept;
mod list;
pub mod make;
mod meant;
pub mod options;
pub mod owners;
mod places;
mod remount;
pub mod rights;
pub mod serve;
pub mod served;
pub mod start;
pub mod status;
pub mod tree;
pub mod umount;
mod users;
