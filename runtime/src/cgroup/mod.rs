//! Control groups: the limits of one container, on version 1, version 2 and mixed hosts.
//!
//! Every container has a group in each hierarchy that takes some: `/layerfs/<id>` in those of version 1, and in the tree of
//! version 2 `/layerfs/<id>/` with the leaves `payload/` and `fuse/`. [`Cgroup::create`] makes them and sets [`Limits`],
//! which [`words`] reads; [`Cgroup::sweep`] clears away what a killed command left. A limit whose controller can't be had
//! is an error; without limits nothing is needed, not even a mounted hierarchy.

mod container;
mod devices;
mod empty;
mod error;
mod group;
mod host;
mod limits;
mod place;
mod v1;
mod v2;
mod view;
pub mod words;

pub use crate::sys::processors::count as processors;
pub use container::Cgroup;
pub use error::{CgroupError, WhyNot};
pub use host::{Hierarchy, Host};
pub use limits::{Cpus, Limits, weight_of_shares};
pub use view::View;
