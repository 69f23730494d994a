//! The union of one lower and at most one upper: nodes, and every operation of a file system on them.
//!
//! It knows no FUSE type; requests come by node id, as FUSE has them. Constraints that the code below keeps:
//!
//! 1. An id means one object for as long as it is counted, whatever happens to its names and its side.
//! 2. A change is one rename or link in the upper, after everything it needs was made aside: seen from a later mount it
//!    happened or it did not.
//! 3. A directory is copied up before anything in it changes, from the root down; the times it showed are kept.
//! 4. Locks are taken in the order of `docs/locking.md`; none is held while contents are copied.

mod again;
mod attr;
mod birth;
mod blocks;
mod copy_up;
mod create;
mod error;
mod fill;
mod handle;
mod ids;
mod io;
mod link;
mod list;
mod lookup;
mod mount;
mod node;
mod open_file;
mod path;
mod remove;
mod rename;
mod set_attr;
mod table;
mod view;
mod whole;
mod xattr;

pub use copy_up::{Copies, Touches};
pub use create::{Caller, NewNode};
pub use error::UnionError;
pub use handle::{HandleId, OpenHow};
pub use ids::{ByNumber, NodeId};
pub use list::DirEntry;
pub use lookup::Looked;
pub use mount::{Mode, Union};
pub use open_file::OpenFile;
pub use rename::{RenameHow, RenameTried};
pub use set_attr::SetAttr;
