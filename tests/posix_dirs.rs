//! Directories: listings that are read while names come and go, long names, deep trees, very many entries.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that can't go on says so and stops")]

mod support;

#[path = "posix_dirs/extremes.rs"]
mod extremes;
#[path = "posix_dirs/listed.rs"]
mod listed;
#[allow(dead_code, reason = "what other tests ask of the trees")]
#[path = "posix_files/trees.rs"]
mod trees;
