//! The writable layer: what its names mean, and how each change is made aside and installed at once.
//!
//! An upper is a directory and a work directory on one file system, in the form that the kernel's overlayfs reads
//! (DESIGN: interop), with private records beside it:
//!
//! ```text
//! <upper>/                the layer: objects, whiteouts, marks
//! <work>/work/            things being made, and open objects that have no name any more; emptied at every mount, by
//!                         the kernel's overlayfs too
//! <work>/work/incompat/   names of what a mount must know to use the upper; left as it is
//! <work>/layerfs/index/   a hard link to each copied-up inode of a hard-link group, by its origin; made for the first
//! ```

mod adopt;
mod blocks;
mod complete;
mod error;
mod hide;
mod incompat;
mod index;
mod look;
mod marks;
mod measured;
mod open;
mod orphan;
mod owners;
mod partial;
mod plain;
mod quota;
mod read;
mod rename;
mod stage;
mod sweep;
mod unmarked;
mod whiteout;

pub use crate::tree::Records;
pub use adopt::KernelEntry;
pub use blocks::{BLOCK_BYTES, round_down};
pub use error::{MarkFault, UpperError};
pub use index::{Belongs, Group};
pub use look::{Data, Found, Glance, Listed, Look};
pub use measured::Spending;
pub use open::{Durability, Upper, UpperOptions};
pub use owners::Owners;
pub use partial::{Partial, Small};
pub use quota::Bounds;
pub use read::{GroupCopy, UpperReader};
pub use rename::{At, Leave};
pub use stage::{Blank, Contents, Copied, CopiedData, Cover, Lists, Owner, Staged};
pub use whiteout::Whiteouts;
