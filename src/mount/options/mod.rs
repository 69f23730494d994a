//! The words after `-o`: what mount(8), podman and the users of overlayfs and fuse-overlayfs say there, read into a type
//! that can't be wrong. `docs/options.md` says of each word what becomes of it.
//!
//! Options are separated by `,` and the directories of `lowerdir=` by `:`. A backslash before `,`, `:` or another
//! backslash takes their meaning away; before anything else it is a part of the name. In `context="…"` and its like
//! quotes take the meaning of `,` away, as mount(8) has it.

mod known;
mod nearest;
mod said;
mod split;
mod value;

pub use said::{Options, Rule, Unknown, Whiteout, lowers_of, parse};
