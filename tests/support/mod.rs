//! What the tests that touch the machine share: places to work in, real images, checks that nothing is left or hangs.
//!
//! A test file says `mod support;`. Builders of images are scripts beside this file; each image is built once and kept in
//! the user's cache.
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each test file uses the part it needs"
)]
#![allow(clippy::panic, clippy::print_stderr, reason = "a test that can't go on says so and stops")]

pub mod alone;
pub mod figure;
pub mod fixtures;
pub mod groups;
pub mod machine;
pub mod peer;
pub mod photo;
pub mod power;
pub mod rights;
pub mod scratch;
pub mod suites;
pub mod tar_header;
pub mod user;
pub mod watchdog;

pub(crate) use alone::alone;
pub use figure::figure;
pub use photo::{Photo, Scope, photograph};
pub(crate) use rights::{need, need_root};
pub use scratch::Scratch;
pub use suites::{soak, soak_factor};
pub use tar_header::{octal, tar_header};
pub use watchdog::watchdog;
