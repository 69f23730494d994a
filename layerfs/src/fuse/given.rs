//! Which lower files the kernel is given to read itself: their bytes are in memory once for all mounts that show them, and
//! reads of them reach nobody here. A copy-up reaches nobody who has such a file open.
//!
//! 1. A mount without an upper gives all. Nothing of it is copied up.
//! 2. Of others those that hardly anyone writes while somebody has them open: programs and shared objects, which are replaced
//!    and not written, and of an image what is large. Small files are served by us, and so is what is large in plain directories,
//!    logs among them: a descriptor sees what is written after a copy-up.
//! 3. A database is made to be written beside its readers, under locks that they share.

use crate::lower::Lower;
use crate::union::{OpenFile, Union};

/// Files from here on are large.
const LARGE_BYTES: u64 = 16 << 20;

/// What programs and shared objects begin with.
const PROGRAM: &[u8] = b"\x7fELF";
/// What a database of SQLite begins with.
const DATABASE: &[u8] = b"SQLite format 3\0";

/// Which files are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    All,
    Programs,
    ProgramsAndLarge,
}

impl Given {
    pub fn of(union: &Union) -> Given {
        match (union.upper(), union.lower()) {
            (None, _) => Given::All,
            (Some(_), Lower::Dirs(_)) => Given::Programs,
            (Some(_), Lower::Image(_)) => Given::ProgramsAndLarge,
        }
    }

    /// Whether the lower file of an open one is.
    pub fn has(self, file: &OpenFile) -> bool {
        let Some(lower) = file.lower_file() else { return false };
        let Some((_, permissions)) = lower.shut() else { return false };
        let is_large = self == Given::ProgramsAndLarge && lower.size() >= LARGE_BYTES;
        if self == Given::All {
            return true;
        }
        // What is neither is not looked into: it would be read for nothing.
        if !is_large && permissions & 0o111 == 0 && !has_name_of_objects(file) {
            return false;
        }
        let mut begin = [0; DATABASE.len()];
        let len = lower.read_at(&mut begin, 0).unwrap_or(0);
        is_seldom_written(&begin[..len], is_large)
    }
}

/// Most shared objects are not executable.
fn has_name_of_objects(file: &OpenFile) -> bool {
    let is_so = |bytes: &[u8]| bytes.ends_with(b".so") || bytes.windows(4).any(|at| at == b".so.");
    file.name().is_some_and(|name| is_so(name.as_bytes()))
}

fn is_seldom_written(begin: &[u8], is_large: bool) -> bool {
    begin.starts_with(PROGRAM) || is_large && begin != DATABASE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_given_and_large_files_but_no_databases() {
        assert!(is_seldom_written(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0", false));
        assert!(!is_seldom_written(b"#!/bin/sh\necho 1", false));
        assert!(is_seldom_written(b"PK\x03\x04............", true));
        assert!(!is_seldom_written(b"SQLite format 3\0", true));
        assert!(!is_seldom_written(b"", false));
    }
}
