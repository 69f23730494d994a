//! What was changed, out of the store again: `diff`, `commit`, `save` and `push`, and who imports the result to the same tree.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that can't go on should fail there

#[path = "export/commits.rs"]
mod commits;
#[path = "export/directories.rs"]
mod directories;
#[path = "export/faults.rs"]
mod faults;
#[path = "export/ground.rs"]
mod ground;
#[path = "export/large.rs"]
mod large;
#[path = "export/layers.rs"]
mod layers;
#[path = "export/marks.rs"]
mod marks;
#[path = "export/others.rs"]
mod others;
#[path = "export/refused.rs"]
mod refused;
#[path = "export/saved.rs"]
mod saved;
#[path = "export/still.rs"]
mod still;
mod support;
#[path = "export/together.rs"]
mod together;
