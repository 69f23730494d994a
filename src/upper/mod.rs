//! Verbs on writable layers, one file each.

pub mod normalize;
