//! Verbs on the store as a whole and on the machine, one file or folder each.

pub mod check;
pub mod completion;
pub mod df;
pub mod filesystem;
pub mod fsck;
pub mod gc;
pub mod info;
pub mod man;
mod prune;
mod reset;
pub mod verbs;

pub use verbs::ask;
