//! An open file as who serves it sees it: what it was opened for, and whose bytes it has.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::handle::Open;
use super::ids::NodeId;
use crate::lower::LowerFile;
use crate::sys::change::Access;
use crate::sys::file;
use crate::tree::{Attr, Name, Timestamp};

/// An open file, for as long as somebody looks at it.
pub struct OpenFile(pub(super) Arc<Open>);

impl OpenFile {
    /// The node.
    pub fn node(&self) -> NodeId {
        self.0.node.id
    }

    /// Whether it may be written.
    pub fn is_writable(&self) -> bool {
        self.0.how.access() == Access::Write
    }

    /// Whether the lower file was changed by others since it was opened before: what was read then may be old.
    pub fn is_changed(&self) -> bool {
        self.0.is_changed
    }

    /// The file of the upper that has all data, where it does and did when it was opened.
    pub fn upper_file(&self) -> Option<Arc<OwnedFd>> {
        let is_whole = self.0.lower.is_none() && self.0.node.has_data_in_upper();
        is_whole.then(|| self.0.upper.lock().clone()).flatten()
    }

    /// The lower file that has all data now, and may be read by others than us.
    pub fn lower_file(&self) -> Option<&LowerFile> {
        let is_lower = !self.0.node.is_upper();
        self.0.lower.as_ref().filter(|lower| is_lower && lower.shut().is_some())
    }

    /// Whether the upper has all data now, whatever it was opened for.
    pub fn is_copied(&self) -> bool {
        self.0.node.has_data_in_upper()
    }

    /// Notes that the lower file is read without us: what is asked of this handle is of that file from now on.
    pub fn stay_lower(&self) {
        self.0.stays_lower.store(true, Ordering::Release);
    }

    /// A name by which it is found.
    pub fn name(&self) -> Option<Name> {
        self.0.node.one_name().map(|(_, name)| name)
    }

    /// When the contents of the upper's file were changed last.
    pub fn changed_at(&self) -> Option<Timestamp> {
        let fd = self.0.upper.lock().clone()?;
        file::stat(&*fd).ok().map(|stat| Attr::of_stat(&stat).mtime)
    }
}
