//! File names for calls that take one component below a descriptor.

use std::ffi::CStr;

use rustix::path::Arg;

/// What the `*at` wrappers accept as a path below their descriptor: bytes, text, paths, C strings.
pub trait AtPath: Arg + Copy {
    /// The name as messages show it.
    fn shown(self) -> String {
        match self.to_string_lossy() {
            text if text.is_empty() => "\"\"".to_owned(),
            text => format!("\"{}\"", text.escape_debug()),
        }
    }
}

impl AtPath for &[u8] {
    fn shown(self) -> String {
        super::error::shown(self)
    }
}
impl AtPath for &str {}
impl AtPath for &CStr {}
impl AtPath for &std::ffi::OsStr {}
impl AtPath for &std::path::Path {}
