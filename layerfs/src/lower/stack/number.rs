//! Owns the inode numbers of a stack: unique over all file systems that its layers are on.

use parking_lot::RwLock;

use super::open::DirStack;
use crate::lower::error::LowerError;
use crate::tree::{Ino, Origin};

/// Bits of the number that the file system gave; the device's slot is above them.
const INO_BITS: u32 = 56;
const DEVICES_MAX: usize = 255;

/// The slot that no device has: of numbers that mean something else than the file that the file system gave them to.
const RESERVED_SLOT: u64 = 255;

/// 0 is no number, and 1 is the root of a FUSE mount. squashfs begins to count at 1, and others may.
const TAKEN: std::ops::RangeInclusive<u64> = 0..=1;

/// The devices met, each in its slot. Those of the layers come first, topmost first, so that numbers are the same after
/// a remount; what is found below a layer (a btrfs subvolume) follows in the order it is met.
#[derive(Debug)]
pub(super) struct Devices {
    /// Only ever grows: a slot once given stays.
    slots: RwLock<Vec<u64>>,
}

impl Devices {
    /// Gives the layers' devices their slots.
    pub(super) fn new(layers: impl Iterator<Item = u64>) -> Devices {
        let mut slots: Vec<u64> = Vec::new();
        for device in layers {
            if !slots.contains(&device) {
                slots.push(device);
            }
        }
        Devices { slots: RwLock::new(slots) }
    }

    fn slot(&self, device: u64) -> Result<usize, LowerError> {
        let known = |slots: &[u64]| slots.iter().position(|known| *known == device);
        if let Some(slot) = known(&self.slots.read()) {
            return Ok(slot);
        }
        let mut slots = self.slots.write();
        if let Some(slot) = known(&slots) {
            return Ok(slot);
        }
        if slots.len() == DEVICES_MAX {
            return Err(LowerError::TooManyDevices { max: DEVICES_MAX });
        }
        slots.push(device);
        Ok(slots.len() - 1)
    }

    /// The number of an inode. The first device's are its own: with one device nothing is changed but numbers that are
    /// taken.
    pub(super) fn number(&self, device: u64, inode: u64) -> Result<Ino, LowerError> {
        let slot = self.slot(device)?;
        if slot == 0 && TAKEN.contains(&inode) {
            return Ok(Ino(RESERVED_SLOT << INO_BITS | inode));
        }
        let single = slot == 0 && self.slots.read().len() == 1;
        if inode >> INO_BITS != 0 && !single {
            return Err(LowerError::InoTooLarge { ino: inode });
        }
        Ok(Ino((slot as u64) << INO_BITS | inode))
    }
}

impl DirStack {
    /// The number of an inode of a device: of a layer's, or of the upper's.
    pub(crate) fn number(&self, device: u64, inode: u64) -> Result<Ino, LowerError> {
        self.devices.number(device, inode)
    }

    /// The number of what an origin names, if a layer is on its file system. Whether the inode is still the same is not
    /// looked at: a number needs only to be nobody else's.
    pub(crate) fn ino_of_origin(&self, origin: &Origin) -> Option<Ino> {
        let Origin::Directory { filesystem, ino, .. } = origin else { return None };
        let layer = self.layers.iter().find(|layer| layer.filesystem == *filesystem)?;
        self.number(layer.root_stat.st_dev, *ino).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_that_of_the_root_or_none() {
        for devices in [Devices::new([7].into_iter()), Devices::new([7, 8].into_iter())] {
            let numbers = [0, 1, 2].map(|inode| devices.number(7, inode).unwrap());
            assert!(numbers[..2].iter().all(|ino| ino.0 > 1), "{numbers:?}");
            assert!(numbers[0] != numbers[1] && numbers[2] == Ino(2), "{numbers:?}");
            assert_eq!(devices.number(7, 1).unwrap(), numbers[1], "the same after a remount");
        }
    }

    #[test]
    fn numbers_of_one_device_are_its_own() {
        let devices = Devices::new([7, 7, 7].into_iter());
        assert_eq!(devices.number(7, 42).unwrap(), Ino(42));
        assert_eq!(devices.number(7, u64::MAX).unwrap(), Ino(u64::MAX));
    }

    #[test]
    fn numbers_of_several_devices_do_not_meet() {
        let devices = Devices::new([7, 8].into_iter());
        let numbers =
            [(7, 42), (8, 42), (9, 42)].map(|(dev, ino)| devices.number(dev, ino).unwrap());
        assert_eq!(numbers, [Ino(42), Ino(1 << 56 | 42), Ino(2 << 56 | 42)]);
        let error = devices.number(7, 1 << 56).unwrap_err();
        assert!(matches!(error, LowerError::InoTooLarge { .. }), "it would be device 8's number 0");
        for device in 10..=261 {
            devices.number(device, 1).unwrap();
        }
        assert!(matches!(devices.number(999, 1), Err(LowerError::TooManyDevices { max: 255 })));
    }
}
