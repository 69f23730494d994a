//! Export: images out of the store, as OCI layouts in directories and in archives, and as docker archives.
//!
//! 1. An image keeps its id: its configuration and the archives of its layers are written byte for byte as they came in, and
//!    each archive is proved by its digest while it is written.
//! 2. What is not whole is not there: files appear when they are, and the index that names them is written last.
//! 3. The images are kept from gc while they are written.

mod archive;
mod directory;
mod documents;
mod error;
mod image;
mod pack;
mod spec;

pub use archive::ArchiveForm;
pub use error::ExportError;
pub use image::Exported;
pub use pack::Pack;
pub use spec::TargetSpec;
