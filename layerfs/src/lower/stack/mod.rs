//! A stack of plain directories, the first on top, read as one tree the way the kernel's overlayfs reads lower layers.
//!
//! What must hold here:
//!
//! 1. Names found on disk are opened beneath the layer's directory, never through a symlink, never onto another mount.
//! 2. A layer that changes underneath gives names that nobody promised, but never another file's bytes: device, inode
//!    and change time are those of the lookup, or the answer is `ESTALE`.
//! 3. A directory that is hidden is absent in every layer, whichever way leads to it.
//! 4. A path is as long as it is; what is longer than `PATH_MAX` is opened in steps.

mod hidden;
mod holders;
mod layer;
mod list;
mod node;
mod number;
mod open;
mod peek;
mod read;
mod records;
mod search;
mod subvolumes;
mod trail;
mod unknown;

pub use node::StackNode;
pub use open::{DirStack, ShownIds, StackOptions};
