//! The container's first process, from its first instruction to its program: the steps of the plan, done one by one on
//! descriptors. It is alone in its namespaces, and whatever goes wrong is told to the supervisor in one message.

mod devices;
mod error;
mod files;
mod fill;
mod join;
mod place;
mod program;
mod root;
mod streams;
mod systems;
mod walk;
mod walls;
mod way;

pub(crate) use devices::make_node;
pub use error::SetupError;
pub(crate) use files::ASKED;
pub(crate) use join::{INSIDE, Joining, join};
pub(crate) use root::{mount_served, open_device};
pub(crate) use streams::TERMINAL;
pub use walk::{Given, walk};
pub(crate) use walk::{MESSAGE_MAX, OPENED, WITHIN, tell};
