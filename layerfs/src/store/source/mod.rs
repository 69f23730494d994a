//! Image sources: from a user's words to images whose layers can be read.
//!
//! A source is an OCI layout in a directory, an OCI layout in a tar file, or what `docker save` and its like write; a
//! packed archive and a stream are spooled first, because images are read by position. What must hold:
//!
//! 1. Manifests, indexes and configs are checked against the digest that named them, and their size before they are
//!    read. Layers are not hashed here: whoever reads them does.
//! 2. An image is taken whole or refused in one line that names source, member or digest, and reason.
//! 3. Nothing is unpacked: blobs are read where they lie.

mod assemble;
mod compression;
mod cursor;
mod docker;
mod error;
mod frames;
mod gather;
mod image;
mod label;
mod layout;
mod member;
mod open;
mod place;
mod resolve;
mod spec;
pub(in crate::store) mod spool;

mod fixture;
#[cfg(test)]
mod tests;

pub use compression::Compression;
pub use error::{SourceError, SourceFault};
pub(super) use frames::{Frames, WINDOW_COMMON_BYTES};
pub use image::{RawBlob, SourceImage, SourceLayer};
pub use open::{Pick, Source, Wanted, open, open_path, open_stream};
pub use spec::{SourceSpec, registry_advice};
