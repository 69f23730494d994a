//! What both sides of the union and the union itself speak: attributes, numbers, and the marks that a layer carries.
//!
//! Nothing here touches a disk. The forms of the marks are tables in `docs/format.md`; where they are the kernel's,
//! the source is its `Documentation/filesystems/overlayfs.rst`.

pub mod acl;
mod attr;
pub mod id_map;
mod ino;
mod kernel_handle;
pub mod marks;
pub mod named_ids;
mod origin;
pub mod recorded;
mod redirect;
pub mod wh_names;

pub use crate::store::archive::{Name, NameError, Timestamp};
pub use acl::{AclFault, Acls};
pub use attr::{Attr, Kind};
pub use id_map::{IdMap, IdRange, IdRangeFault, Ids};
pub use ino::Ino;
pub use kernel_handle::KernelHandle;
pub use marks::{Blocks, Mark, MarkSpace, Metacopy, MetacopyFault, Opaque, OpaqueFault};
pub use origin::{Origin, OriginFault};
pub use recorded::{RecordFault, Recorded, Records};
pub use redirect::{REDIRECT_LEN_MAX, Redirect, RedirectFault, Redirects};
pub use wh_names::WhNames;
