//! The reference model of a union, random histories over it, and the file systems that prove it right.
//!
//! A test file says `mod model;`. What must hold here:
//!
//! 1. The model knows nothing of layers: its tree is an ordinary POSIX tree that starts as the folded lower.
//! 2. The same operations go to the model and to a subject; results are compared at each step, whole trees often.
//! 3. The model is not trusted: a plain directory proves it, and kernel overlayfs proves what it says of layers.
//!    Where one of them differs by right, the difference has a name in `subject::Rules` or `Subject::passes_over`.
//! 4. Every random choice comes from a seed that is printed; a failure is made small and printed as a test.
//! 5. No operation follows a symbolic link and none opens what is no regular file, so no history leaves its tree or
//!    waits for a peer, whatever the targets and devices in it are.
#![allow(dead_code, reason = "each test file uses the part it needs")]
#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that can't go on says so and stops"
)]

pub mod archive;
pub mod attributes;
pub mod by_node;
pub mod choose;
pub mod code;
pub mod compare;
pub mod differences;
pub mod directory;
pub mod fault;
pub mod files;
pub mod history;
pub mod image;
pub mod kernel;
pub mod lasting;
pub mod layers;
pub mod lowers;
pub mod model_nodes;
pub mod names;
pub mod node_names;
pub mod node_walk;
pub mod nodes;
pub mod ops;
pub mod pattern;
pub mod plain;
pub mod posix;
pub mod random;
pub mod shrink;
pub mod subject;
pub mod tally;
pub mod tame;
pub mod tree;
pub mod tree_path;
pub mod union_ground;
pub mod union_nodes;
pub mod union_rest;
pub mod walk;
pub mod words;
pub mod worker;
