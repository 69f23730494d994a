//! Files that the kernel has of us and that nobody has open: kept for the next open, so many at most.

use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;

use super::faces::Face;
use crate::sys::fuse_device::BackingId;

/// So many. Each is an open file in the kernel, which is none of this process's descriptors.
const MAX: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// The files, those that were used last at one end.
pub(super) struct Resting(Mutex<LruCache<Face, BackingId>>);

impl Resting {
    pub fn new() -> Self {
        Resting(Mutex::new(LruCache::new(MAX)))
    }

    /// The file of an inode, which rests no more.
    pub fn take(&self, face: Face) -> Option<BackingId> {
        self.0.lock().pop(&face)
    }

    /// Keeps the file of an inode. Answers one that the kernel is to give back.
    pub fn put(&self, face: Face, file: BackingId) -> Option<BackingId> {
        self.0.lock().push(face, file).map(|(_, gone)| gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_files_rest_and_the_one_that_was_not_used_for_longest_goes() {
        let resting = Resting::new();
        let many = u32::try_from(MAX.get()).unwrap();
        for number in 0..many {
            assert_eq!(resting.put(Face(number.into()), BackingId(number)), None);
        }
        assert_eq!(resting.take(Face(0)), Some(BackingId(0)));
        assert_eq!(resting.put(Face(0), BackingId(0)), None);
        assert_eq!(resting.put(Face(1 << 40), BackingId(many)), Some(BackingId(1)));
        assert_eq!((resting.take(Face(1)), resting.take(Face(0))), (None, Some(BackingId(0))));
    }
}
