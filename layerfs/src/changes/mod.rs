//! What a writable layer changed of the tree below it: as lines, and as a layer's archive that others import.
//!
//! Only the writable layer is walked, and of the lower what it leads to. Constraints:
//!
//! 1. An archive knows no redirects. A directory whose lower part is not what the image has at its name is written whole,
//!    under an opaque mark where the image has a directory there.
//! 2. An archive knows one name per file, and links to it. So where one name of a lower hard-link group shows a changed
//!    file, or stands in a directory that is written whole, all of its names are written.
//! 3. The same upper gives the same bytes: names in order, no time but those of the files.
//! 4. Nothing of how layers are merged leaves: no mark, and no device 0:0.

mod archive;
mod error;
mod groups;
mod lines;
mod object;
mod walk;

pub use archive::{LeftOut, write_layer};
pub use error::ChangesError;
pub use lines::{Change, ChangeKind, list};
pub use walk::Sides;
