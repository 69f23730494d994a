//! One read-only tree, whatever it is made of: an image's mapped index, or a stack of plain directories.
//!
//! What is hidden (by whiteouts, opaque directories) is hidden here already, and redirects are followed here: whoever
//! stands above sees one tree. Nothing in this room writes.

mod either;
mod entry;
mod error;
mod file;
mod image;
mod patched;
mod stack;
mod upper_number;

pub use crate::tree::{Redirects, WhNames};
pub use either::Lower;
pub use entry::{LowerEntry, LowerNode, Since};
pub use error::LowerError;
pub use file::LowerFile;
pub use image::ImageTree;
pub use patched::Patched;
pub use stack::{DirStack, ShownIds, StackNode, StackOptions};
