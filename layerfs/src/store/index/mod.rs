//! The index: a layer's, or a merged tree's, whole metadata in one immutable file that is mapped and never parsed.
//!
//! The form on disk is a table in `docs/format.md`; `format` alone encodes and decodes it.

mod check;
mod error;
mod format;
mod inode;
mod reader;
mod traverse;
mod writer;

pub use check::check;
pub use error::IndexError;
pub use format::{FILES_MAX, INLINE_MAX_BYTES, Kind, TEXT_MAX_BYTES, Totals, VERSION};
pub use inode::{Body, Child, Inode, Ordinal, Target};
pub use reader::Index;
pub use traverse::{DeviceClass, Found, FoundBody, Meta, Node, Origin, XattrSet, write_index};
