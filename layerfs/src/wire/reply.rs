//! Answers: each request gets one, also where nobody thought of it.

use std::io::IoSlice;
use std::sync::Arc;

use zerocopy::IntoBytes;

use super::form::{AttrOut, EntryOut, OpenOut, OutHeader, SeekOut, Size, StatFsOut};
use crate::sys::Errno;
use crate::sys::fuse_device::FuseDevice;

/// Whom to answer. Dropped without an answer it answers `EIO`, so that nobody waits for ever.
#[derive(Debug)]
pub struct Reply {
    to: Option<Arc<FuseDevice>>,
    unique: u64,
}

impl Reply {
    pub(super) fn new(device: &Arc<FuseDevice>, unique: u64) -> Self {
        Reply { to: Some(Arc::clone(device)), unique }
    }

    fn send(&mut self, error: i32, parts: [&[u8]; 2]) -> bool {
        let Some(device) = self.to.take() else { return false };
        let len = size_of::<OutHeader>() + parts.iter().map(|part| part.len()).sum::<usize>();
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let header = OutHeader { len, error, unique: self.unique };
        let [first, second] = parts;
        let slices = [IoSlice::new(header.as_bytes()), IoSlice::new(first), IoSlice::new(second)];
        device.write(&slices).unwrap_or_else(|error| {
            tracing::warn!("an answer of {len} bytes is lost: {error}");
            false
        })
    }

    /// It can't be done.
    pub fn error(mut self, errno: Errno) {
        self.send(-errno.raw_os_error(), [&[], &[]]);
    }

    /// It is done, and there is nothing to tell.
    pub fn done(mut self) {
        self.send(0, [&[], &[]]);
    }

    /// Bytes: of a file, a link, a listing, an attribute.
    pub fn bytes(mut self, bytes: &[u8]) {
        self.send(0, [bytes, &[]]);
    }

    /// A name that was found or made. Answers whether anyone took it, as the others below.
    pub fn entry(mut self, entry: &EntryOut) -> bool {
        self.send(0, [entry.as_bytes(), &[]])
    }

    /// Attributes.
    pub fn attr(mut self, attr: &AttrOut) {
        self.send(0, [attr.as_bytes(), &[]]);
    }

    /// An open file.
    pub fn opened(mut self, open: OpenOut) -> bool {
        self.send(0, [open.as_bytes(), &[]])
    }

    /// A file that was made and opened.
    pub fn created(mut self, entry: &EntryOut, open: OpenOut) -> bool {
        self.send(0, [entry.as_bytes(), open.as_bytes()])
    }

    /// How many bytes were written, or how many an attribute has.
    pub fn size(mut self, size: u32) {
        self.send(0, [Size { size, padding: 0 }.as_bytes(), &[]]);
    }

    /// A place in a file.
    pub fn offset(mut self, offset: u64) {
        self.send(0, [SeekOut { offset }.as_bytes(), &[]]);
    }

    /// Figures of the file system.
    pub fn figures(mut self, figures: &StatFsOut) {
        self.send(0, [figures.as_bytes(), &[]]);
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.to.is_some() {
            self.send(-Errno::IO.raw_os_error(), [&[], &[]]);
        }
    }
}
