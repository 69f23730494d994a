//! Owns taking owners, permissions and types from the records of layers that have them, for mounts that take records.

use super::open::DirStack;
use super::trail::Trail;
use super::unknown;
use crate::lower::error::LowerError;
use crate::sys::beneath::Purpose;
use crate::sys::change::{self, Access};
use crate::sys::file::{self, Stat};
use crate::sys::{Errno, OwnedFd, SysError, dir, xattr};
use crate::tree::recorded::{self, RECORD, Records};
use crate::tree::{Attr, Kind, Recorded, acl, marks};

/// The longest target of a symbolic link that is kept as a file (`PATH_MAX`).
const TARGET_MAX_BYTES: u64 = 4096;

impl DirStack {
    /// The same stack; of each layer whose root has a record, the records are taken where the mount takes any.
    pub fn taking(mut self, records: Records) -> Result<DirStack, LowerError> {
        if records == Records::Never {
            return Ok(self);
        }
        let root = Trail::default();
        for layer in &mut self.layers {
            let dir = layer.open(&root, Purpose::Walk)?;
            let refused = |source| LowerError::Call { path: root.shown(), source };
            let record = xattr::get_at(&dir, b".", RECORD).map_err(refused)?;
            layer.has_records = record.is_some();
        }
        Ok(self)
    }

    /// The attributes of an object of a layer with this metadata.
    pub(super) fn recorded(
        &self,
        layer: usize,
        (dir, name): (&OwnedFd, &[u8]),
        (stat, trail): (&Stat, &Trail),
    ) -> Result<Attr, LowerError> {
        let mut attr = self.layers[layer].attr_of(stat);
        unknown::take_away(&mut attr, stat, self.doubtful, (dir, name));
        if !self.layers[layer].has_records || !matches!(attr.kind, Kind::File | Kind::Directory) {
            return Ok(attr);
        }
        let value = match xattr::get_at(dir, name, RECORD) {
            // Of an object that is not open for this process.
            Err(error) if error.errno() == Errno::ACCESS => None,
            value => value.map_err(|source| LowerError::Call { path: trail.shown(), source })?,
        };
        if let Some(value) = value {
            let broken = |source| LowerError::Record { path: trail.shown(), source };
            Recorded::decode(&value).map_err(broken)?.apply(&mut attr);
        }
        Ok(attr)
    }

    /// The name under which an attribute of users is stored in a layer.
    pub(super) fn stored_name(&self, layer: usize, shown: &[u8]) -> Vec<u8> {
        let stored = marks::escape(self.options.space, shown);
        if self.layers[layer].has_records { recorded::escape(stored) } else { stored }
    }

    /// The name by which users see a stored attribute of a layer; `None` for what they don't.
    pub(super) fn shown_name(&self, layer: usize, stored: &[u8]) -> Option<Vec<u8>> {
        let shown = marks::unescape(self.options.space, stored)?;
        if self.layers[layer].has_records { recorded::unescape(shown) } else { Some(shown) }
    }

    /// The value of an attribute as users see it: an access list says of the owner what is recorded.
    pub(super) fn shown_value(
        &self,
        layer: usize,
        (name, value): (&[u8], Box<[u8]>),
        permissions: impl FnOnce() -> Result<u32, LowerError>,
    ) -> Result<Box<[u8]>, LowerError> {
        let value = self.layers[layer].stored(name, value);
        if !self.layers[layer].has_records || name != acl::ACCESS {
            return Ok(value);
        }
        // A list in no known form is whoever reads it's.
        Ok(acl::with_owner(&value, permissions()?).map_or(value, Vec::into_boxed_slice))
    }
}

/// The target of a symbolic link, or of a file that stands for one.
pub(super) fn read_link(parent: &OwnedFd, name: &[u8]) -> Result<Box<[u8]>, SysError> {
    match dir::read_link(parent, name) {
        Err(error) if error.errno() == Errno::INVAL => {
            let file = change::open_file(parent, name, Access::Read)?;
            Ok(file::read_all(file, TARGET_MAX_BYTES)?.into())
        }
        target => target,
    }
}
