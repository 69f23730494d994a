//! Owns which part of a layer's file system an object lies in, where that has parts: the subvolumes of btrfs.
//!
//! A subvolume may lie in a layer as a directory does. It has inode numbers of its own, and one that is a snapshot has those of
//! what it was made from, with the times: an origin that named the layer alone would name two files. Devices do not tell
//! them apart after a remount; `f_fsid` does.

use parking_lot::RwLock;

use super::layer::{Layer, is_covered};
use super::node::Place;
use super::open::DirStack;
use crate::lower::error::LowerError;
use crate::sys::beneath::Purpose;
use crate::sys::{OwnedFd, SysError, change, mount};
use crate::tree::{Ino, Kind};

/// The subvolumes met below layers, each numbered as a device would be.
#[derive(Debug, Default)]
pub(super) struct Subvolumes(RwLock<Vec<[u8; 16]>>);

/// No device of the kernel's has so high a number.
const FIRST: u64 = 1 << 63;

impl Subvolumes {
    /// What stands for a subvolume's device, however it was met first: by an object in it, or by an origin.
    fn device(&self, filesystem: [u8; 16]) -> u64 {
        let place = |met: &[[u8; 16]]| met.iter().position(|known| *known == filesystem);
        if let Some(number) = place(&self.0.read()) {
            return FIRST | number as u64;
        }
        let mut met = self.0.write();
        let number = place(&met).unwrap_or_else(|| {
            met.push(filesystem);
            met.len() - 1
        });
        FIRST | number as u64
    }
}

impl Layer {
    /// Whether that names a subvolume of this layer's file system. btrfs makes `f_fsid` of the file system's UUID and the
    /// subvolume's number, which changes the upper half alone.
    fn may_have(&self, filesystem: &[u8; 16]) -> bool {
        const UPPER_HALF: std::ops::Range<usize> = 4..8;
        self.has_subvolumes
            && filesystem[..UPPER_HALF.start] == self.filesystem[..UPPER_HALF.start]
            && filesystem[UPPER_HALF.end..] == self.filesystem[UPPER_HALF.end..]
    }

    /// What names the part of its file system that something open lies in, with that device.
    pub(super) fn part(&self, held: &OwnedFd, device: u64) -> Result<[u8; 16], SysError> {
        if !self.has_subvolumes || device == self.root_stat.st_dev {
            return Ok(self.filesystem);
        }
        Ok(mount::id_of_fsid(change::filesystem(held)?.f_fsid))
    }
}

impl DirStack {
    /// What names the file system, or the part of it, that an object lies in.
    pub(super) fn filesystem_of(&self, place: &Place, kind: Kind) -> Result<[u8; 16], LowerError> {
        let layer = &self.layers[place.layer];
        let device = place.identity.device;
        if !layer.has_subvolumes || device == layer.root_stat.st_dev {
            return Ok(layer.filesystem);
        }
        // What is no directory lies where its directory does.
        let held = match kind {
            Kind::Directory => layer.open(&place.trail, Purpose::Walk)?,
            _ => layer.open_parent(&place.trail)?.0,
        };
        let part = layer.part(&held, device);
        part.map_err(|source| LowerError::Call { path: place.trail.shown(), source })
    }

    /// The number of an object of a layer.
    pub(super) fn number_of(&self, place: &Place, kind: Kind) -> Result<Ino, LowerError> {
        let layer = &self.layers[place.layer];
        let identity = &place.identity;
        let device = match self.filesystem_of(place, kind) {
            Ok(part) if part != layer.filesystem => self.subvolumes.device(part),
            Ok(_) => identity.device,
            // It is the mountpoint that is seen.
            Err(error) if is_covered(&error) => identity.device,
            Err(error) => return Err(error),
        };
        Ok(self.number(device, identity.inode))
    }

    /// What stands for the device of a subvolume that an origin names; `None` where no layer's file system can have it.
    pub(super) fn device_of_part(&self, filesystem: &[u8; 16]) -> Option<u64> {
        let is_part = self.layers.iter().any(|layer| layer.may_have(filesystem));
        is_part.then(|| self.subvolumes.device(*filesystem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subvolume_has_one_number_and_no_devices_one() {
        let (subvolumes, [one, other]) = (Subvolumes::default(), [[1; 16], [2; 16]]);
        let first = subvolumes.device(one);
        assert_ne!(subvolumes.device(other), first);
        assert_eq!(subvolumes.device(one), first);
        assert!(first > u64::from(u32::MAX) << 16, "the kernel's are shorter");
    }
}
