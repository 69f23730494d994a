//! Blobs and file objects by digest, layer indexes, merged trees, images.
//!
//! Everything that is visible was built aside, proved and synced first, and is never changed afterwards. The order of
//! building, listing and publishing, and what gc may take, is in `docs/locking.md`; the forms on disk are in
//! `docs/format.md`.

pub mod archive;
mod chain;
mod collect;
pub mod container;
pub mod digest;
mod error;
mod export;
mod features;
mod fold;
mod frame;
mod fsck;
pub mod image;
mod import;
pub mod index;
mod indexes;
mod layer;
pub mod oci;
mod record;
pub mod reference;
mod root;
pub mod source;
mod strangers;
mod unsound;
mod uppers;
mod usage;
mod volumes;
mod words;

pub use chain::chain_id;
pub use collect::Collected;
pub use error::StoreError;
pub use export::{ArchiveForm, ExportError, Exported, Pack, TargetSpec};
pub use features::Features;
pub use fold::merge_layers;
pub use frame::FrameError;
pub use fsck::{Finding, FsckReport, Repair};
pub use import::{LayerOutcome, NewImage, Progress, RootfsInput};
pub use layer::LayerError;
pub use root::{Objects, Store};
pub use strangers::Stranger;
pub use uppers::OwnUpper;
pub use usage::{LayerUsage, Usage};
pub use volumes::{Fill, Gone, Volume};
