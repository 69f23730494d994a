//! Files of which only metadata is copied up: the data stays in the lower until somebody is to write it.
//!
//! 1. Such a file has its logical size and no data, its origin, and the mark `metacopy` with a byte that the kernel does not
//!    know: who reads it without us is told an error and no zeros. Over directories, which find no file by its origin, it has
//!    a redirect, too.
//! 2. Before the first the layer says that it has such files, and the kernel's overlayfs does not mount it.
//! 3. Nothing of the file's own is on the disk but metadata, which file systems with a journal write in order: it is
//!    installed without a sync, as a directory is.

use std::sync::atomic::Ordering;

use super::error::UpperError;
use super::incompat;
use super::open::Upper;
use super::owners::Owners;
use super::rename::At;
use crate::tree::{Attr, Kind, Mark, MarkSpace, Metacopy, Name, Redirects};

/// Whether files are made of which only metadata is copied up; they are read always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partial {
    /// Where it can be: a file gets its data as it is opened for writing.
    Made,
    /// The same, and of a file that is written blocks are copied up where the disk tells holes.
    Blocks(Small),
    /// Copies are whole: others read the upper beside us.
    Never,
}

/// Which files are copied whole as they are opened for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Small {
    /// Those of which a copy costs less than blocks would: of at most 256 KiB.
    Usual,
    /// Of at most 64 bytes: nearly none, for whoever looks for faults in the writing of blocks.
    Few,
}

/// Set-user-id and set-group-id: filling a file takes them away for a moment, and a crash then for good.
const SET_ID: u32 = 0o6000;

impl Upper {
    /// Whether the data of a lower object with these attributes may stay where it is when the rest is copied up.
    pub fn leaves_data(&self, attr: &Attr) -> bool {
        self.partial != Partial::Never
            && self.unmarked.is_none()
            && self.redirects == Redirects::Follow
            // A mark of users can't be read of a file that is shut to this process, and its holes would be taken for data.
            && (self.space == MarkSpace::Trusted || self.owners == Owners::Recorded)
            && attr.kind == Kind::File
            && attr.size > 0
            && attr.permissions & SET_ID == 0
    }

    /// Marks a staged file: its data is that of its origin, which directories find at that path, or some of it is.
    pub(super) fn mark_unfilled(
        &self,
        (dir, name): At<'_>,
        path: Option<&[Name]>,
        mark: Metacopy,
    ) -> Result<(), UpperError> {
        if !self.has_partial.load(Ordering::Acquire) {
            self.keep_others_away(incompat::PARTIAL)?;
            self.has_partial.store(true, Ordering::Release);
        }
        if let Some(path) = path {
            self.set_redirect(dir, name, path.to_vec())?;
        }
        self.set_mark(dir, name, Mark::Metacopy, &mark.value())
    }
}
