//! A tar stream as entries and pieces of data: v7, ustar, GNU and pax, with sparse files, without touching a disk.
//!
//! What must hold here:
//!
//! 1. Input is hostile. Nothing is allocated from a claimed size; each claim is compared with its bound first.
//! 2. The stream is never out of step: how many bytes follow a header is decided in one place (`reader`), the way
//!    Go's `archive/tar` decides it, because that is the reader whose view of a layer other engines share.
//! 3. Where Go, GNU tar and Python's `tarfile` give different answers for one stream, and no writer makes such
//!    streams, the stream is refused instead of taking a side.
//! 4. Names, targets and attribute values are bytes; they are made readable in messages only.
//! 5. Of the crate `tar` only the header layout is used. Its raw iterator honours neither a pax `size` over the
//!    header's nor the continuation blocks of old GNU sparse headers, so it loses step with the stream.

mod entry;
mod error;
mod escape;
mod extension;
mod header;
mod number;
mod path;
mod reader;
mod record;
mod resolve;
mod sparse;
mod sparse_form;
mod stream;
mod union;
mod write;

#[cfg(test)]
mod build;
#[cfg(test)]
mod tests;

pub use entry::{Entry, EntryKind, Timestamp, Xattr};
pub use error::{ArchiveError, Part, Place};
pub use escape::Quoted;
pub use extension::ExtensionFault;
pub use header::HeaderFault;
pub(in crate::store) use header::{HEAD_LEN, begins_archive};
pub use path::{DEPTH_MAX, EntryPath, Name, NameError, PathFault};
pub use reader::{ArchiveReader, Piece};
pub use record::RecordFault;
pub(in crate::store) use sparse::HOLES_MAX;
pub use sparse::SparseFault;
pub use union::is_mark_of_a_union;
pub use write::ArchiveWriter;
