//! Owns the inode numbers of a stack: unique over all file systems that its layers, and the upper, are on.
//!
//! A number is a slot of 8 bits and the low 56 bits of the file system's own number. A slot belongs to one device and one
//! value of the 8 bits that were cut off, which are zero nearly everywhere; kernel overlayfs (`xino=on`) and FUSE file
//! systems use them. So whichever devices are met, and whenever, a number once given stays what it is. Where slots run
//! out, numbers are counted in the reserved slot.

use std::collections::HashMap;

use parking_lot::{Mutex, RwLock};

use super::open::DirStack;
use crate::tree::{Ino, Origin};

/// Bits of the number that the file system gave.
const INO_BITS: u32 = 56;
const SLOTS_MAX: usize = 255;

/// The slot that no device has: of numbers that mean something else than the file that the file system gave them to.
const RESERVED_SLOT: u64 = 255;

/// 0 is no number, and 1 is the root of a FUSE mount. squashfs begins to count at 1, and others may.
const TAKEN: std::ops::RangeInclusive<u64> = 0..=1;

/// What a slot stands for: a device, and the bits above [`INO_BITS`] of numbers on it.
type Part = (u64, u64);

/// The devices met. Those of the layers come first, topmost first, and then the upper's, so that numbers are the same
/// after a remount; what is found below a layer (a btrfs subvolume), and numbers of more than 56 bits, follow in the
/// order they are met, and may be others after a remount.
#[derive(Debug)]
pub(super) struct Devices {
    /// Only ever grows: a slot once given stays.
    slots: RwLock<Vec<Part>>,
    /// Numbers of inodes whose part came when all slots were taken.
    counted: Mutex<HashMap<(u64, u64), u64>>,
}

impl Devices {
    /// Gives the layers' devices their slots.
    pub(super) fn new(layers: impl Iterator<Item = u64>) -> Devices {
        let devices = Devices { slots: RwLock::default(), counted: Mutex::default() };
        layers.for_each(|device| devices.meet(device));
        devices
    }

    /// Gives a device its slot now, that its numbers do not depend on when its first file is met.
    pub(super) fn meet(&self, device: u64) {
        self.slot((device, 0));
    }

    /// `None` where all slots are others'.
    fn slot(&self, part: Part) -> Option<usize> {
        let known = |slots: &[Part]| slots.iter().position(|known| *known == part);
        if let Some(slot) = known(&self.slots.read()) {
            return Some(slot);
        }
        let mut slots = self.slots.write();
        if let Some(slot) = known(&slots) {
            return Some(slot);
        }
        if slots.len() == SLOTS_MAX {
            return None;
        }
        slots.push(part);
        Some(slots.len() - 1)
    }

    /// The number of an inode. The first device's are its own, as far as they have 56 bits and are not taken.
    pub(super) fn number(&self, device: u64, inode: u64) -> Ino {
        let low = inode & ((1 << INO_BITS) - 1);
        match self.slot((device, inode >> INO_BITS)) {
            Some(0) if TAKEN.contains(&low) => Ino(RESERVED_SLOT << INO_BITS | low),
            Some(slot) => Ino((slot as u64) << INO_BITS | low),
            None => {
                let mut counted = self.counted.lock();
                // Those of the first device that are taken stand before.
                let next = counted.len() as u64 + TAKEN.end() + 1;
                let number = *counted.entry((device, inode)).or_insert(next);
                Ino(RESERVED_SLOT << INO_BITS | number)
            }
        }
    }
}

impl DirStack {
    /// The number of an inode of a device: of a layer's, or of the upper's.
    pub(crate) fn number(&self, device: u64, inode: u64) -> Ino {
        self.devices.number(device, inode)
    }

    /// Gives the upper's device its slot, before anything is found in it.
    pub(crate) fn meet_device(&self, device: u64) {
        self.devices.meet(device);
    }

    /// The number of what an origin names, if a layer is on its file system or has it as a subvolume. Whether the inode is
    /// still the same is not looked at: a number needs only to be nobody else's.
    pub(crate) fn ino_of_origin(&self, origin: &Origin) -> Option<Ino> {
        let Origin::Directory { filesystem, ino, .. } = origin else { return None };
        let layer = self.layers.iter().find(|layer| layer.filesystem == *filesystem);
        let device = match layer {
            Some(layer) => layer.root_stat.st_dev,
            None => self.device_of_part(filesystem)?,
        };
        Some(self.number(device, *ino))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOW: u64 = (1 << INO_BITS) - 1;

    #[test]
    fn no_number_is_that_of_the_root_or_none() {
        for devices in [Devices::new([7].into_iter()), Devices::new([7, 8].into_iter())] {
            let numbers = [0, 1, 2].map(|inode| devices.number(7, inode));
            assert!(numbers[..2].iter().all(|ino| ino.0 > 1), "{numbers:?}");
            assert!(numbers[0] != numbers[1] && numbers[2] == Ino(2), "{numbers:?}");
            assert_eq!(devices.number(7, 1), numbers[1], "the same after a remount");
        }
    }

    #[test]
    fn numbers_of_one_device_are_its_own() {
        let devices = Devices::new([7, 7, 7].into_iter());
        assert_eq!(devices.number(7, 42), Ino(42));
        assert_eq!(devices.number(7, LOW), Ino(LOW));
    }

    #[test]
    fn numbers_of_several_devices_do_not_meet() {
        let devices = Devices::new([7, 8].into_iter());
        let numbers = [(7, 42), (8, 42), (9, 42)].map(|(dev, ino)| devices.number(dev, ino));
        assert_eq!(numbers, [Ino(42), Ino(1 << 56 | 42), Ino(2 << 56 | 42)]);
    }

    #[test]
    fn a_number_stays_whatever_is_met_after_it_and_has_one_inode() {
        let devices = Devices::new([7].into_iter());
        let wide = [0, 1, 2, 1 << 56, 1 << 56 | 1, 1 << 63 | 2, 255 << 56, u64::MAX];
        let mut given = HashMap::new();
        for _ in 0..2 {
            // More devices than slots: the later ones are counted.
            for (device, inode) in (7..400).flat_map(|device| wide.map(|inode| (device, inode))) {
                let ino = devices.number(device, inode);
                assert!(ino.0 > 1, "{device} {inode}");
                assert_eq!(*given.entry(ino).or_insert((device, inode)), (device, inode), "{ino}");
            }
        }
        assert_eq!(given.len(), 393 * wide.len());
    }

    #[test]
    fn a_device_that_is_met_early_has_the_same_slot_always() {
        let devices = Devices::new([7].into_iter());
        devices.meet(8);
        devices.number(9, 5);
        assert_eq!(devices.number(8, 5), Ino(1 << 56 | 5));
    }
}
