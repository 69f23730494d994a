//! The workloads, one file for each kind of work.

mod list;

pub mod change;
pub mod container;
pub mod copy_up;
pub mod create;
pub mod depth;
pub mod import;
pub mod mount;
pub mod parallel;
pub mod read;
pub mod software;
pub mod walk;
pub mod write;

pub use list::{all, chosen};
