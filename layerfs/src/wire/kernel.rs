//! What the kernel is told without having asked.

use std::io::IoSlice;
use std::os::fd::AsFd;
use std::sync::Arc;

use zerocopy::IntoBytes;

use super::form::{InvalidInode, OutHeader};
use crate::sys::SysError;
use crate::sys::fuse_device::{BackingId, FuseDevice};

/// `FUSE_NOTIFY_INVAL_INODE`.
const INVALID_INODE: i32 = 2;

/// What of a node the kernel is to drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop {
    /// Its attributes.
    Attributes,
    /// Its attributes, and all that is kept of its contents.
    Contents,
}

/// The kernel's end of a connection.
#[derive(Clone, Debug)]
pub struct Kernel(Arc<FuseDevice>);

impl Kernel {
    pub(super) fn new(device: Arc<FuseDevice>) -> Self {
        Kernel(device)
    }

    /// Has the kernel drop what it keeps of a node. One that it does not know is no error.
    pub fn invalidate(&self, node: u64, what: Drop) -> Result<(), SysError> {
        let offset = match what {
            Drop::Attributes => -1,
            Drop::Contents => 0,
        };
        let body = InvalidInode { node, offset, len: 0 };
        let len = size_of::<OutHeader>() + size_of::<InvalidInode>();
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let header = OutHeader { len, error: INVALID_INODE, unique: 0 };
        let parts = [IoSlice::new(header.as_bytes()), IoSlice::new(body.as_bytes())];
        self.0.write(&parts).map(|_| ())
    }

    /// Gives the kernel a file to read and write itself.
    pub fn open_backing(&self, file: impl AsFd) -> Result<BackingId, SysError> {
        self.0.open_backing(file)
    }

    /// Takes it back.
    pub fn close_backing(&self, id: BackingId) -> Result<(), SysError> {
        self.0.close_backing(id)
    }
}
