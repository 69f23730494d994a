//! One layer on its way into the store: its archive read once, its contents staged, its tree kept until it is written.

mod contents;
mod error;
mod shared;
mod stage;
mod stream;
mod tree;
mod turn;
mod unpack;
mod whiteout;

pub(super) use contents::Reliance;
pub use error::LayerError;
pub(super) use shared::Shared;
pub(super) use stage::{FRAME, LayerClaim, StagedLayer, StagingDir, stage_layer};
pub(super) use stream::produced;
