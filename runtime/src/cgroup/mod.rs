//! Control groups: the limits of one container, on version 1, version 2 and mixed hosts.
//!
//! Every container has a group in each hierarchy that takes some: `/layerfs/<id>/payload` in those of version 1, and in the
//! tree of version 2 `/layerfs/<id>/` with the leaves `limited/payload/` and `fuse/`. [`Cgroup::create`] makes them and sets
//! [`Limits`], which [`words`] reads; [`Cgroup::sweep`] clears away what a killed command left. A limit whose controller
//! can't be had is an error; without limits nothing is needed, not even a mounted hierarchy.
//!
//! Who is not root has groups in the tree of version 2 alone, below a group that was given to that user: `delegated` says which, and
//! [`Room`] is how a command asks.
//!
//! `payload` is the root of the container's cgroup namespace, and nothing in there holds a container's root back: in a user
//! namespace of its own it mounts the hierarchy again, writes to what it sees and makes groups below. So a limit stands in
//! the group above `payload`, which it never sees, and once more in `payload`, where it only has to read right.

mod container;
mod delegated;
mod devices;
mod empty;
mod entry;
mod error;
mod frozen;
mod group;
mod host;
mod io;
mod limits;
mod pause;
mod place;
mod reserved;
mod room;
mod tree;
mod tried;
mod update;
mod usage;
mod v1;
mod v2;
mod view;
pub mod words;

pub use crate::sys::processors::count as processors;
pub use container::Cgroup;
pub use delegated::{Delegation, of_caller as delegated_to_caller};
pub use empty::Paused;
pub use entry::Entry;
pub use error::{CgroupError, WhyNot};
pub use host::{Hierarchy, Host};
pub use io::{IoKind, IoLimit};
pub use limits::{Cpus, DeviceRule, Limits, Swap, weight_of_shares};
pub use room::Room;
pub use usage::Usage;
pub use view::View;
