//! Limits of the disk, of the caller and of the process that serves: the right errno, and the file is old or new.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that can't go on says so and stops")]

mod support;

#[path = "posix_limits/descriptors.rs"]
mod descriptors;
#[path = "posix_limits/disk.rs"]
mod disk;
#[path = "posix_limits/refused.rs"]
mod refused;
#[allow(dead_code, reason = "what other tests ask of the trees")]
#[path = "posix_files/trees.rs"]
mod trees;
