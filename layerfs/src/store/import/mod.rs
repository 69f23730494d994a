//! Import: layers and images into the store, each import in a directory of its own until it is whole.

mod commit;
mod directory;
mod image;
mod over;
mod progress;
mod rootfs;
mod transaction;

pub use over::NewImage;
pub use progress::{LayerOutcome, Progress};
pub use rootfs::RootfsInput;
pub(super) use transaction::{Import, Listed, Room, list_of_imports, sweep_dead};
