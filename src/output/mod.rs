//! Words out: results on stdout, messages and progress on stderr, and how sizes and times are written.

pub mod json;
pub mod log;
pub mod message;
pub mod progress;
pub mod results;
pub mod size;
pub mod table;
pub mod template;
pub mod text;
pub mod time;

pub use results::Results;
pub use table::Table;
