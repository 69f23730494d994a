//! The network of a container, from its words to what is left when it has ended.

pub mod held;
mod lease;
mod leases;
pub mod mode;
pub mod names;
pub mod ports;
pub mod programs;
mod rules;
pub mod shown;
mod site;
pub mod verb;
pub mod words;

pub use held::{Held, sweep};
pub use mode::Mode;
pub use words::{NetworkArgs, Wanted};
