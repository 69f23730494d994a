//! Owns the names that a printed case uses: `use model::words::*` makes it compile.
#![allow(unused_imports, reason = "no case uses every word")]

pub use super::history::{Case, replay};
pub use super::layers::{Below::*, Data, Layer, LayerEntry, LayerNode::*, Meta};
pub use super::ops::Op::*;
pub use super::ops::{
    Access::*, Creation::*, Place::*, RenameFlag::*, Space::*, Special::*, Stamp::*, XattrHow::*,
    XattrName::*, m,
};
pub use super::pattern::Pattern;
pub use super::tree_path::p;
