//! `layerfs check`: what this machine can do for layerfs, and the cure for what it can't.

mod cgroup;
mod disk;
mod facts;
mod fuse;
mod item;
mod kernel;
mod network;
mod users;
mod verb;

pub use verb::{CheckArgs, run};
