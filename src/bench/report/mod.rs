//! What was measured, told: as tables, as JSON, as a page of its own.

mod facts;
mod html;
mod svg;
mod table;

pub use facts::Report;
pub use html::page;
pub use table::tables;
