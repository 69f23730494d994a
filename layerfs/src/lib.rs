//! The storage driver: content-addressed layers, their union with a writable layer, and the FUSE door to it.
//!
//! Rooms, from the top floor down (calls go down only): `fuse`, `union` and `changes`, `lower` and `upper`, `tree`, `store`, `sys`.

pub mod changes;
pub mod fuse;
pub mod lower;
pub mod store;
pub mod sys;
pub mod tree;
pub mod union;
pub mod upper;
mod wire;
