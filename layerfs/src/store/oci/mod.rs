//! The JSON documents of images: indexes, manifests, configs, as OCI and Docker write them.
//!
//! The structs take what real tools write: `null` for empty lists and maps, unknown fields, single strings for lists.
//! Lists are bounded while they are read, so that a small file can not grow large in memory. The digest of a document
//! is always that of its raw bytes; nothing here is written back in place of what was read.

mod bounded;
mod config;
mod derive;
mod document;
mod media;
mod platform;
mod text;
pub mod time;

pub use config::{History, ImageConfig, RootFs, RunConfig};
pub use derive::{DeriveError, RunChange, Step, derived};
pub use document::{Body, Descriptor, DescriptorError, DocumentError, Manifest, parse_document};
pub use media::{LayerMedia, Media, Packing};
pub use platform::{Platform, PlatformError};
pub use text::shown;
