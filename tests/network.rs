//! `layerfs run` on a network: what a container reaches, from where it is reached, and that nothing of it is left.
//!
//! A network of its own plays the host in each test: the machine's has no part in it.
#![allow(clippy::unwrap_used, reason = "a test that can't go on stops there")]

mod support;

#[path = "run_container/cycle.rs"]
mod cycle;
#[path = "network/host.rs"]
mod host;
#[path = "network/joined.rs"]
mod joined;
#[path = "network/left.rs"]
mod left;
#[path = "network/names.rs"]
mod names;
#[path = "run_container/place.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod place;
#[path = "network/published.rs"]
mod published;
#[path = "network/reached.rs"]
mod reached;
