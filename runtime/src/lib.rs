//! The runtime of layerfs: a container from a root file system, in namespaces, within limits.
//!
//! A [`ContainerSpec`] says what a container is to be; [`plan`] makes the steps of it; [`start`] does them in a process of
//! its own, and [`Running`] stands by until that process ends.

pub mod apart;
mod around;
mod as_root;
mod build;
pub mod capability;
mod carry;
pub mod cgroup;
mod daemon;
mod exec;
mod keeper;
mod log;
pub mod network;
mod outside;
mod plan;
mod plan_exec;
mod seal;
pub mod seccomp;
mod served;
mod signals;
mod spawn;
pub mod spec;
mod stand_in;
mod start;
mod supervise;
mod sys;
mod terminal;
pub mod tree;
mod trial;
mod user;

pub use as_root::as_root;
pub use build::SetupError;
pub use daemon::{close_inherited, leave_streams};
pub use exec::{ExecRequest, Inside, exec};
pub use log::{LOG, Log, OLD_LOG};
pub use plan::{Step, System, plan};
pub use plan_exec::{ExecStep, plan_exec};
pub use seal::seal;
pub use served::{Handed, SupervisorWatch, receive};
pub use signals::{Signals, signal_name, signal_named};
pub use spawn::{Spawned, spawn};
pub use spec::ContainerSpec;
pub use stand_in::StandIn;
pub use start::{Request, RunError, Running, Server, Without, channel, start};
pub use supervise::Ended;
pub use sys::channel::pipe;
pub use sys::identity::held as held_capabilities;
pub use sys::limits::{NAMES as RESOURCES, hard as hard_limit, of as limits_of};
pub use sys::process::parent_of;
pub use trial::OwnUsers;
