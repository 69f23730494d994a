//! What programs do to files, on mounts beside a plain directory and kernel overlayfs.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that can't go on says so and stops")]

mod support;

#[path = "posix_files/attributes.rs"]
mod attributes;
#[path = "posix_files/cleared.rs"]
mod cleared;
#[path = "posix_files/given.rs"]
mod given;
#[path = "posix_files/locks.rs"]
mod locks;
#[path = "posix_files/mapped.rs"]
mod mapped;
#[path = "posix_files/open.rs"]
mod open;
#[path = "posix_files/served.rs"]
mod served;
#[path = "posix_files/shared.rs"]
mod shared;
#[path = "posix_files/sparse.rs"]
mod sparse;
#[allow(dead_code, reason = "what other tests ask of the trees")]
#[path = "posix_files/trees.rs"]
mod trees;
#[path = "posix_files/watched.rs"]
mod watched;
