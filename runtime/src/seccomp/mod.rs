//! Which system calls a container may make: a profile in Docker's JSON form, and the filters that the kernel takes.

mod error;
mod filter;
mod profile;

pub use error::ProfileError;
pub use filter::{Filters, Instruction};
pub use profile::Profile;
