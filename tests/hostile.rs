//! Hostile and damaged input: each is refused in one line or taken for what it is, and the store is as it was.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail there")]
#![allow(clippy::print_stdout, reason = "figures that are told and not bounded")]

mod support;

#[path = "hostile/descriptors.rs"]
mod descriptors;
#[path = "hostile/docker.rs"]
mod docker;
#[path = "hostile/entries.rs"]
mod entries;
#[path = "hostile/holes.rs"]
mod holes;
#[path = "hostile/layout.rs"]
mod layout;
#[path = "hostile/layouts.rs"]
mod layouts;
#[path = "hostile/many.rs"]
mod many;
#[path = "hostile/memory.rs"]
mod memory;
#[path = "hostile/names.rs"]
mod names;
#[path = "hostile/packed.rs"]
mod packed;
#[path = "hostile/packing.rs"]
mod packing;
#[path = "hostile/row.rs"]
mod row;
#[path = "hostile/size.rs"]
mod size;
#[path = "hostile/store.rs"]
mod store;
#[path = "hostile/tarball.rs"]
mod tarball;
#[path = "hostile/text.rs"]
mod text;
#[path = "hostile/windows.rs"]
mod windows;
