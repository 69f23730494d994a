//! The frame of a layer's archive: all of its bytes but for the contents that the store keeps as objects, so that the
//! archive can be written again, byte for byte.
//!
//! It is made while the archive is read, and costs it one pass of a fast packing over headers and small contents. The form on
//! disk is a table in `docs/format.md`.

mod archive;
mod format;
mod recorder;

pub(super) use archive::LayerArchive;
pub(super) use archive::{check, open, rewrite};
pub use format::FrameError;
pub(super) use recorder::{Recorded, Recorder, call_of};
