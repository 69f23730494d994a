//! Import: layers and images into the store, each import in a directory of its own until it is whole.

mod commit;
mod directory;
mod image;
mod progress;
mod rootfs;
mod transaction;

pub use progress::{LayerOutcome, Progress};
pub use rootfs::RootfsInput;
pub(super) use transaction::{Listed, Room, list_of_imports, sweep_dead};
