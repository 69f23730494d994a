//! Owns the books of a layer that is bounded: how many bytes and objects it has, and who has set room aside.
//!
//! 1. Who is going to write sets room aside before, for the most that it can take, so that no two have the same room. What it did take is
//!    noted before the rest is given back.
//! 2. Of each object that this mount made or changed the books remember what was noted. The disk tells other figures later, when it writes what
//!    it has in memory: what an object gives back as it goes is what it took.
//! 3. What can't be known before, such as a directory that grows by a name, is noted afterwards, and may exceed the bound. Until the layer is within
//!    it again nothing more is let in.

use std::collections::HashMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::blocks::round_down;
use crate::sys::change::StatVfs;

/// Where bytes alone are bounded, there is one object for so many: what has no data takes room of the disk, too.
const BYTES_OF_OBJECT: u64 = 4096;
/// But so many there may be always.
const OBJECTS_MIN: u64 = 1024;

/// How long one for whom there is no room waits for others, who may have set aside more than they take.
const PATIENCE: Duration = Duration::from_millis(100);

/// Locks of objects: those whose numbers differ by a multiple of this share one.
const GATES: u64 = 64;

/// How much a layer may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes, as the disk has room for them; `None` for any.
    pub bytes: Option<u64>,
    /// Files, directories and whatever else, its root among them. `None` for any, or, where bytes are bounded, for as many as fit with a block
    /// each.
    pub inodes: Option<u64>,
}

/// What an object was noted with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Noted {
    /// Room of the disk.
    pub bytes: u64,
    /// Attributes that the disk does not count with it.
    pub beside: u64,
    /// All room that it has was asked for, also behind its end.
    pub keeps: bool,
}

impl Noted {
    fn all(self) -> u64 {
        self.bytes.saturating_add(self.beside)
    }
}

/// What the disk tells of what its objects take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Disk {
    /// What was written is among the blocks of its file at once.
    pub tells_at_once: bool,
    /// So are attributes.
    pub tells_attributes: bool,
}

/// The books of one layer.
#[derive(Debug)]
pub(super) struct Quota {
    /// Never changes.
    pub disk: Disk,
    /// `u64::MAX` for any. Never change.
    bytes_max: u64,
    inodes_max: u64,
    books: Mutex<Books>,
    /// Rung when room that was set aside is given back.
    given_back: Condvar,
    /// Held from a look at an object until what was seen is noted, and while a name of it goes.
    gates: Vec<Mutex<()>>,
}

#[derive(Debug, Default)]
struct Books {
    bytes: u64,
    /// Set aside by who is writing.
    aside: u64,
    inodes: u64,
    noted: HashMap<u64, Noted, foldhash::fast::RandomState>,
}

/// Room that was set aside, until this is dropped.
#[derive(Debug)]
pub(super) struct Room<'a> {
    quota: &'a Quota,
    bytes: u64,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            let mut books = self.quota.books.lock();
            books.aside = books.aside.saturating_sub(self.bytes);
            drop(books);
            self.quota.given_back.notify_all();
        }
    }
}

impl Quota {
    /// Books of a layer that has so much already.
    pub fn new(bounds: Bounds, disk: Disk, (bytes, inodes): (u64, u64)) -> Self {
        let of_bytes = bounds.bytes.map(|bytes| (bytes / BYTES_OF_OBJECT).max(OBJECTS_MIN));
        Quota {
            disk,
            bytes_max: bounds.bytes.unwrap_or(u64::MAX),
            inodes_max: bounds.inodes.or(of_bytes).unwrap_or(u64::MAX),
            books: Mutex::new(Books { bytes, inodes, ..Books::default() }),
            given_back: Condvar::new(),
            gates: (0..GATES).map(|_| Mutex::default()).collect(),
        }
    }

    /// The lock of an object.
    pub fn gate(&self, ino: u64) -> MutexGuard<'_, ()> {
        self.gates[usize::try_from(ino % GATES).unwrap_or(0)].lock()
    }

    /// Whether the layer has more than it may.
    pub fn is_exceeded(&self) -> bool {
        self.books.lock().bytes > self.bytes_max
    }

    /// Counts one more object; `false` where there may be none.
    pub fn take_inode(&self) -> bool {
        let mut books = self.books.lock();
        let fits = books.inodes < self.inodes_max;
        books.inodes += u64::from(fits);
        fits
    }

    /// Takes that back.
    pub fn give_inode(&self) {
        let mut books = self.books.lock();
        books.inodes = books.inodes.saturating_sub(1);
    }

    /// Sets room aside, all of it or none. Nobody is waited for: the caller may hold what others need to go on.
    pub fn set_aside(&self, bytes: u64) -> Option<Room<'_>> {
        let mut books = self.books.lock();
        let fits = bytes == 0 || bytes <= self.free(&books);
        fits.then(|| self.room(&mut books, bytes))
    }

    /// Sets room aside for as many of these stretches as fit, and so much beside them: all, or those before an offset, which is answered.
    /// `None` where nothing behind `from` fits. Others are waited for for a while: the caller holds no lock.
    pub fn set_aside_for(
        &self,
        gaps: impl Fn() -> Vec<Range<u64>>,
        (from, beside): (u64, u64),
    ) -> Option<(Room<'_>, Option<u64>)> {
        let until = Instant::now() + PATIENCE;
        loop {
            let gaps = gaps();
            let mut books = self.books.lock();
            let Some(free) = self.free(&books).checked_sub(beside) else {
                if self.is_waited_for(&mut books, until) {
                    continue;
                }
                return None;
            };
            let (bytes, end) = fit(&gaps, free);
            if end.is_none_or(|end| end > from) {
                return Some((self.room(&mut books, bytes.saturating_add(beside)), end));
            }
            if !self.is_waited_for(&mut books, until) {
                return None;
            }
        }
    }

    /// Waits until others have given room back; `false` where there are none, or it took too long.
    fn is_waited_for(&self, books: &mut MutexGuard<'_, Books>, until: Instant) -> bool {
        books.aside > 0 && !self.given_back.wait_until(books, until).timed_out()
    }

    fn free(&self, books: &Books) -> u64 {
        self.bytes_max.saturating_sub(books.bytes).saturating_sub(books.aside)
    }

    fn room(&self, books: &mut Books, bytes: u64) -> Room<'_> {
        books.aside = books.aside.saturating_add(bytes);
        Room { quota: self, bytes }
    }

    /// What an object was noted with. The caller holds its gate.
    pub fn noted(&self, ino: u64) -> Option<Noted> {
        self.books.lock().noted.get(&ino).copied()
    }

    /// Notes an object that the layer had before, as it is counted already. The caller holds its gate.
    pub fn know(&self, ino: u64, noted: Noted) {
        self.books.lock().noted.entry(ino).or_insert(noted);
    }

    /// Notes what an object has now. The caller holds its gate.
    pub fn note(&self, ino: u64, noted: Noted) {
        let mut books = self.books.lock();
        let before = books.noted.insert(ino, noted).unwrap_or_default();
        books.bytes = books.bytes.saturating_sub(before.all()).saturating_add(noted.all());
    }

    /// Counts what can't be seen: nobody gives it back while the layer is mounted.
    pub fn note_unseen(&self, bytes: u64) {
        let mut books = self.books.lock();
        books.bytes = books.bytes.saturating_add(bytes);
    }

    /// Notes that all room of an object was asked for. The caller holds its gate.
    pub fn keep(&self, ino: u64) {
        self.books.lock().noted.entry(ino).or_default().keeps = true;
    }

    /// Notes that an object is gone, which had so much where that was not noted. The caller holds its gate.
    pub fn forget(&self, ino: u64, bytes: u64) {
        let mut books = self.books.lock();
        let gone = books.noted.remove(&ino).map_or(bytes, Noted::all);
        books.bytes = books.bytes.saturating_sub(gone);
        books.inodes = books.inodes.saturating_sub(1);
    }

    /// The figures of the disk, as far as the layer may have more of it.
    pub fn shown(&self, mut disk: StatVfs) -> StatVfs {
        let books = self.books.lock();
        if self.bytes_max != u64::MAX {
            let block = disk.f_frsize.max(1);
            disk.f_blocks = self.bytes_max / block;
            disk.f_bfree = self.bytes_max.saturating_sub(books.bytes) / block;
            disk.f_bavail = disk.f_bavail.min(disk.f_bfree);
        }
        if self.inodes_max != u64::MAX {
            let free = self.inodes_max.saturating_sub(books.inodes);
            // A disk that makes inodes as they are needed says that it has none.
            let of_disk = if disk.f_files == 0 { u64::MAX } else { disk.f_favail };
            disk.f_files = self.inodes_max;
            disk.f_ffree = free;
            disk.f_favail = of_disk.min(free);
        }
        disk
    }
}

/// How many bytes of these stretches fit into so many, and, where not all do, up to which offset.
fn fit(gaps: &[Range<u64>], free: u64) -> (u64, Option<u64>) {
    let mut left = free;
    for gap in gaps {
        let bytes = gap.end.saturating_sub(gap.start);
        if bytes > left {
            let part = round_down(left);
            return (free - left + part, Some(gap.start.saturating_add(part)));
        }
        left -= bytes;
    }
    (free - left, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK: Disk = Disk { tells_at_once: true, tells_attributes: true };

    fn of(bytes: u64) -> Quota {
        Quota::new(Bounds { bytes: Some(bytes), inodes: Some(2) }, DISK, (0, 0))
    }

    fn noted(bytes: u64) -> Noted {
        Noted { bytes, ..Noted::default() }
    }

    #[test]
    fn room_is_nobody_elses_until_it_is_given_back() {
        let quota = of(10_000);
        let room = quota.set_aside(8000).unwrap();
        assert!(quota.set_aside(2001).is_none() && quota.set_aside(2000).is_some());
        quota.note(1, noted(3000));
        assert!(quota.set_aside(1).is_none(), "what is noted and what is set aside add up");
        drop(room);
        assert!(quota.set_aside(7000).is_some() && quota.set_aside(7001).is_none());
        assert!(quota.set_aside(0).is_some());
    }

    #[test]
    fn what_goes_gives_back_what_it_was_noted_with() {
        let quota = of(10_000);
        assert!(quota.take_inode() && quota.take_inode() && !quota.take_inode());
        quota.note(1, noted(3000));
        quota.note(1, Noted { beside: 500, ..noted(4000) });
        quota.know(2, noted(100));
        assert_eq!(quota.books.lock().bytes, 4500, "what was there before is counted before");
        quota.forget(1, 9999);
        let inodes = quota.books.lock().inodes;
        assert_eq!((quota.books.lock().bytes, inodes), (0, 1));
        quota.note(3, noted(20_000));
        assert!(quota.is_exceeded() && quota.set_aside(1).is_none());
        quota.forget(3, 0);
        assert!(!quota.is_exceeded());
    }

    #[test]
    fn as_much_of_a_write_fits_as_there_is_room() {
        let gaps = [4096..8192, 12_288..20_480];
        assert_eq!(fit(&gaps, 12_288), (12_288, None));
        assert_eq!(fit(&gaps, 12_287), (8192, Some(16_384)));
        assert_eq!(fit(&gaps, 4096), (4096, Some(12_288)));
        assert_eq!(fit(&gaps, 4095), (0, Some(4096)));
        assert_eq!(fit(&[], 0), (0, None));
        let quota = of(8192);
        let all = || gaps.to_vec();
        let (room, end) = quota.set_aside_for(all, (5000, 0)).unwrap();
        assert_eq!((room.bytes, end), (8192, Some(16_384)));
        drop(room);
        assert!(quota.set_aside_for(all, (16_384, 0)).is_none());
        assert!(quota.set_aside_for(all, (5000, 8193)).is_none());
    }

    #[test]
    fn who_finds_no_room_waits_for_who_set_aside_too_much() {
        let quota = of(8192);
        std::thread::scope(|scope| {
            let room = quota.set_aside(8192).unwrap();
            let waits = scope.spawn(|| {
                // Twice as long as one waits: what another gives back is seen in any case.
                let gap = || std::iter::once(0..4096).collect();
                quota
                    .set_aside_for(gap, (0, 0))
                    .or_else(|| quota.set_aside_for(gap, (0, 0)))
                    .is_some()
            });
            drop(room);
            assert!(waits.join().unwrap());
        });
    }

    #[test]
    fn bytes_alone_bound_objects_too() {
        let max = |bytes| Quota::new(Bounds { bytes, inodes: None }, DISK, (0, 0)).inodes_max;
        assert_eq!(max(Some(20 << 20)), 5120);
        assert_eq!(max(Some(64 << 10)), 1024);
        assert_eq!(max(None), u64::MAX);
    }
}
