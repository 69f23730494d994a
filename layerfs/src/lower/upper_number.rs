//! Owns the numbers of objects that an upper over an image has alone: odd, as the image's own are even.
//!
//! The upper's file system numbers them. Where others are met in it (a subvolume of btrfs, something that was mounted there),
//! the upper 8 bits say which: no two files have one number.

use parking_lot::RwLock;

use super::error::LowerError;
use crate::tree::Ino;

/// Bits that are left to the odd numbers of further devices.
const ODD_BITS: u32 = 56;
const DEVICES_MAX: usize = 256;

/// The devices met, the upper's first.
#[derive(Debug, Default)]
pub(super) struct UpperNumbers(RwLock<Vec<u64>>);

impl UpperNumbers {
    /// Tells a device now, that its numbers do not depend on when its first file is met.
    pub(super) fn meet(&self, device: u64) {
        self.slot(device);
    }

    /// How many devices were met before. Only ever grows: a slot once given stays.
    fn slot(&self, device: u64) -> usize {
        let place = |met: &[u64]| met.iter().position(|known| *known == device);
        if let Some(slot) = place(&self.0.read()) {
            return slot;
        }
        let mut met = self.0.write();
        place(&met).unwrap_or_else(|| {
            met.push(device);
            met.len() - 1
        })
    }

    /// The number of an inode.
    pub(super) fn number(&self, device: u64, inode: u64) -> Result<Ino, LowerError> {
        let too_large = LowerError::InoTooLarge { ino: inode };
        let Some(odd) = inode.checked_mul(2).map(|twice| twice | 1) else { return Err(too_large) };
        match self.slot(device) {
            0 => Ok(Ino(odd)),
            slot if slot < DEVICES_MAX && odd >> ODD_BITS == 0 => {
                Ok(Ino((slot as u64) << ODD_BITS | odd))
            }
            _ => Err(too_large),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_upper_are_odd_and_those_of_other_devices_do_not_meet_them() {
        let numbers = UpperNumbers::default();
        numbers.meet(7);
        let number = |device, inode| numbers.number(device, inode).unwrap();
        assert_eq!([number(8, 257), number(7, 257)], [Ino(1 << 56 | 515), Ino(515)]);
        assert_eq!([number(9, 257), number(8, 257)], [Ino(2 << 56 | 515), Ino(1 << 56 | 515)]);
        assert_eq!(number(7, 1 << 60), Ino(1 << 61 | 1));
        for (device, inode) in [(7, 1 << 63), (8, 1 << 55)] {
            let refused = numbers.number(device, inode).unwrap_err();
            assert!(matches!(refused, LowerError::InoTooLarge { .. }), "{device} {inode}");
        }
        (10..400).for_each(|device| numbers.meet(device));
        assert_eq!(number(7 + 255, 1), Ino(255 << 56 | 3));
        assert!(matches!(numbers.number(399, 1), Err(LowerError::InoTooLarge { .. })));
    }
}
