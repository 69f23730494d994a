//! Images: what the store knows of each, their names, and how a user's words find one.

mod find;
mod names;
mod record;

pub use find::{Hit, Listing};
pub use names::Untagged;
pub(super) use names::{UnreadName, file_name};
pub use record::{Image, ImageLayer};
pub(super) use record::{ImageRecord, RECORD_VERSION};
