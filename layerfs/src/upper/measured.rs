//! Measuring: what the objects of a bounded layer take of it, before and after each change.
//!
//! 1. What an object takes is the room that the disk says it has (`st_blocks`): a hole takes none, and of a file of which some blocks were
//!    copied up those. Names that lead to one object are counted once, and whiteouts, which are names of one device, not at all.
//! 2. A disk sets room aside behind the end of a file that grows, and gives it back: it is not counted, unless `fallocate(2)` asked for it.
//! 3. A directory or a link takes at least its size: some disks keep both where they count no blocks. So does a file on a disk of which it is
//!    not known that it counts at once what was written.
//! 4. Whoever has a file open that lost its names keeps it among the orphans: it is counted until its last close.

use std::collections::HashSet;
use std::ops::Range;
use std::os::fd::OwnedFd;

use super::blocks::{BLOCK_BYTES, KNOWN, round_down};
use super::error::{During, UpperError};
use super::index::Group;
use super::open::Upper;
use super::quota::{Bounds, Disk, Noted, Quota, Room};
use super::rename::At;
use crate::sys::change::StatVfs;
use crate::sys::file::{self, Stat, Symlinks};
use crate::sys::{Errno, SysError, deep, dir, extents, host, xattr, xattr_at};
use crate::tree::{Attr, Kind};

/// `FALLOC_FL_KEEP_SIZE`.
const KEEP_SIZE: u32 = 1;
/// `FALLOC_FL_PUNCH_HOLE`, `FALLOC_FL_COLLAPSE_RANGE` and `FALLOC_FL_INSERT_RANGE`: they take no room.
const TAKES_NONE: u32 = 0x2 | 0x8 | 0x20;

/// ext4 and XFS count what attributes take among the blocks of an inode.
const COUNT_ATTRIBUTES: [u64; 2] = [0xef53, 0x5846_5342];

/// A change that is measured when this goes, and room that was set aside for it until then.
#[derive(Debug)]
#[must_use = "what a change took is noted when this goes"]
pub struct Spending<'a> {
    // In this order: what was set aside is nobody else's before what was taken is noted.
    measured: Measured<'a>,
    _room: Option<Room<'a>>,
}

#[derive(Debug)]
struct Measured<'a> {
    quota: &'a Quota,
    what: What<'a>,
    ino: u64,
    /// So many bytes were set aside for it.
    aside: u64,
    /// It may change attributes, too.
    attributes: bool,
}

/// What is measured.
#[derive(Clone, Copy, Debug)]
enum What<'a> {
    Open(&'a OwnedFd),
    Named(&'a OwnedFd, &'a [u8]),
}

impl What<'_> {
    fn look(self) -> Result<Stat, SysError> {
        match self {
            What::Open(file) => file::stat(file),
            What::Named(dir, name) => file::stat_at(dir, name, Symlinks::Stop),
        }
    }

    /// What its attributes take, names among them, where the disk does not count them with it.
    fn beside(self, disk: Disk) -> Result<u64, SysError> {
        if disk.tells_attributes {
            return Ok(0);
        }
        let bytes = match self {
            What::Open(file) => xattr::bytes_of(file),
            What::Named(dir, name) => xattr::bytes_at(dir, name),
        };
        match bytes {
            // More than the kernel lists; nobody adds to them.
            Err(error) if error.errno() == Errno::TOOBIG => Ok(xattr::LIST_MAX as u64),
            bytes => bytes,
        }
    }
}

impl<'a> Measured<'a> {
    /// Knows what an object takes before it is changed.
    fn begin(quota: &'a Quota, what: What<'a>, aside: u64) -> Result<Self, SysError> {
        let ino = what.look()?.st_ino;
        let _gate = quota.gate(ino);
        if quota.noted(ino).is_none() {
            let stat = what.look()?;
            // It may have gone meanwhile, and its number to another.
            if stat.st_ino == ino && stat.st_nlink > 0 {
                // What it has was counted when the layer was, whatever it is for.
                let bytes = cost(quota.disk, &stat, Keeps::All);
                let keeps = bytes > cost(quota.disk, &stat, Keeps::Contents);
                quota.know(ino, Noted { bytes, beside: what.beside(quota.disk)?, keeps });
            }
        }
        Ok(Measured { quota, what, ino, aside, attributes: true })
    }
}

impl Drop for Measured<'_> {
    fn drop(&mut self) {
        let _gate = self.quota.gate(self.ino);
        // One that is gone was taken out of the books.
        let Some(noted) = self.quota.noted(self.ino) else { return };
        let bytes = match self.what.look() {
            Err(error) if error.is_absent() => return,
            Ok(stat) if stat.st_ino != self.ino || stat.st_nlink == 0 => return,
            Ok(stat) if noted.keeps => cost(self.quota.disk, &stat, Keeps::All),
            Ok(stat) => cost(self.quota.disk, &stat, Keeps::Contents),
            Err(error) => {
                tracing::warn!("a change counts with all that was set aside for it: {error}");
                noted.bytes.saturating_add(self.aside)
            }
        };
        let beside = match self.attributes {
            false => noted.beside,
            true => self.what.beside(self.quota.disk).unwrap_or_else(|error| {
                tracing::warn!("attributes count with what they had: {error}");
                noted.beside
            }),
        };
        self.quota.note(self.ino, Noted { bytes, beside, ..noted });
    }
}

/// What of a file's room counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeps {
    /// All of it.
    All,
    /// What its contents can take.
    Contents,
}

/// What an object takes of the disk.
fn cost(disk: Disk, stat: &Stat, keeps: Keeps) -> u64 {
    let attr = Attr::of_stat(stat);
    let room = attr.blocks.saturating_mul(512);
    match (attr.kind, keeps) {
        (Kind::Directory | Kind::Symlink, _) => room.max(attr.size),
        (Kind::File, _) if !disk.tells_at_once => room.max(attr.size),
        (Kind::File, Keeps::Contents) => room.min(most_for(attr.size)),
        _ => room,
    }
}

/// The most that contents of that size take: their blocks, and those by which the disk finds them, one for some hundred.
fn most_for(size: u64) -> u64 {
    let contents = size.checked_next_multiple_of(BLOCK_BYTES).unwrap_or(u64::MAX);
    contents.saturating_add(size / 256).saturating_add(3 * BLOCK_BYTES)
}

fn full() -> SysError {
    SysError::new("quota", "the layer has all bytes that it may have", Errno::NOSPC)
}

impl Upper {
    /// Bounds the layer, and counts what it has.
    pub fn bounded(mut self, bounds: Bounds) -> Result<Self, UpperError> {
        let deed = "count what the layer has";
        let (mut bytes, mut inodes, mut linked) = (0_u64, 0_u64, HashSet::new());
        let magic = host::space(&self.root).during(deed)?.magic;
        let disk = Disk {
            tells_at_once: KNOWN.contains(&magic),
            tells_attributes: COUNT_ATTRIBUTES.contains(&magic),
        };
        let mut count = |dir: &OwnedFd, name: &[u8], stat: &Stat| {
            let attr = Attr::of_stat(stat);
            let is_once = attr.kind == Kind::Directory || attr.nlink == 1;
            if !attr.is_whiteout_device() && (is_once || linked.insert(stat.st_ino)) {
                let beside = What::Named(dir, name).beside(disk)?;
                let all = cost(disk, stat, Keeps::All).saturating_add(beside);
                bytes = bytes.saturating_add(all);
                inodes += 1;
            }
            Ok(())
        };
        let root = file::stat(&self.root).during(deed)?;
        count(&self.root, b".", &root).during(deed)?;
        deep::visit(&self.root, &mut count).during(deed)?;
        if let Some(index) = self.index_dir() {
            for entry in dir::list(index).during(deed)? {
                // Else it says of a group of the lower how many names it has, and is no object of the layer.
                let group = self.group(&String::from_utf8_lossy(&entry.name));
                if !matches!(group, Ok(Some(Group { copied_up: false, .. }))) {
                    let stat = file::stat_at(index, &*entry.name, Symlinks::Stop);
                    count(index, &entry.name, &stat.during(deed)?).during(deed)?;
                }
            }
        }
        self.quota = Some(Box::new(Quota::new(bounds, disk, (bytes, inodes))));
        Ok(self)
    }

    /// Whether the layer is bounded.
    pub fn is_bounded(&self) -> bool {
        self.quota.is_some()
    }

    /// The figures of the disk, as far as the layer may have of it.
    pub(super) fn within_bounds(&self, disk: StatVfs) -> StatVfs {
        match &self.quota {
            Some(quota) => quota.shown(disk),
            None => disk,
        }
    }

    /// Refuses where the layer has more than it may.
    pub fn expect_within_bounds(&self) -> Result<(), UpperError> {
        match &self.quota {
            Some(quota) if quota.is_exceeded() => Err(full()).during("make something new"),
            Some(_) | None => Ok(()),
        }
    }

    /// Measures a change of an open file or directory, for which so many bytes are set aside: none where it takes what can't be known before.
    pub fn spending<'a>(
        &'a self,
        file: &'a OwnedFd,
        bytes: u64,
    ) -> Result<Option<Spending<'a>>, UpperError> {
        self.spending_on(What::Open(file), bytes)
    }

    /// The same of what stands under a name, which stays there meanwhile.
    pub fn spending_at<'a>(
        &'a self,
        (dir, name): At<'a>,
        bytes: u64,
    ) -> Result<Option<Spending<'a>>, UpperError> {
        self.spending_on(What::Named(dir, name), bytes)
    }

    fn spending_on<'a>(
        &'a self,
        what: What<'a>,
        bytes: u64,
    ) -> Result<Option<Spending<'a>>, UpperError> {
        let deed = "set room aside";
        let Some(quota) = &self.quota else { return Ok(None) };
        let bytes = bytes.checked_next_multiple_of(BLOCK_BYTES).unwrap_or(u64::MAX);
        let room = quota.set_aside(bytes).ok_or_else(full).during(deed)?;
        let measured = Measured::begin(quota, what, bytes).during(deed)?;
        Ok(Some(Spending { measured, _room: Some(room) }))
    }

    /// Measures a write, and answers how much of it fits: all, or what comes before the first byte for which there is no room. `also` is the
    /// start of another block that may be copied up by it. The caller holds no lock: others who write are waited for for a while.
    pub fn spending_to_write<'a>(
        &'a self,
        file: &'a OwnedFd,
        (offset, len): (u64, usize),
        also: Option<u64>,
    ) -> Result<(Option<Spending<'a>>, usize), UpperError> {
        let deed = "write";
        let Some(quota) = self.quota.as_ref().filter(|_| len > 0) else { return Ok((None, len)) };
        let blocks = blocks_of(offset, len as u64);
        let all = blocks.end - blocks.start;
        let measured = Measured::begin(quota, What::Open(file), all).during(deed)?;
        let measured = Measured { attributes: false, ..measured };
        let beside = also.map_or(0, |_| BLOCK_BYTES);
        let (room, end) = match quota.set_aside(all.saturating_add(beside)) {
            Some(room) => (room, None),
            None => {
                let beside = also.map_or(0, |at| sum(&self.gaps(&measured, at..at + BLOCK_BYTES)));
                let gaps = || self.gaps(&measured, blocks.clone());
                quota.set_aside_for(gaps, (offset, beside)).ok_or_else(full).during(deed)?
            }
        };
        let fits = end.and_then(|end| usize::try_from(end.saturating_sub(offset)).ok());
        let spending = Spending { measured, _room: Some(room) };
        Ok((Some(spending), fits.map_or(len, |fits| fits.min(len))))
    }

    /// Measures a call of `fallocate(2)` with these flags: there is room for all of it, or it is refused.
    pub fn spending_to_allocate<'a>(
        &'a self,
        file: &'a OwnedFd,
        mode: u32,
        (offset, len): (u64, u64),
    ) -> Result<Option<Spending<'a>>, UpperError> {
        let deed = "allocate";
        let Some(quota) = &self.quota else { return Ok(None) };
        if mode & TAKES_NONE != 0 {
            return self.spending(file, 0);
        }
        let spending = self.spending_on_gaps(quota, file, blocks_of(offset, len)).during(deed)?;
        if mode & KEEP_SIZE != 0 {
            let ino = spending.measured.ino;
            let _gate = quota.gate(ino);
            quota.keep(ino);
        }
        Ok(Some(spending))
    }

    /// Measures that what a file lacks of a range is brought up: there is room for all that it lacks, or it is refused.
    pub fn spending_to_fill<'a>(
        &'a self,
        file: &'a OwnedFd,
        range: Range<u64>,
    ) -> Result<Option<Spending<'a>>, UpperError> {
        let Some(quota) = &self.quota else { return Ok(None) };
        let blocks = blocks_of(range.start, range.end - range.start);
        self.spending_on_gaps(quota, file, blocks).during("set room aside").map(Some)
    }

    /// Sets room aside for blocks of a file, or at least for those for which it has none.
    fn spending_on_gaps<'a>(
        &'a self,
        quota: &'a Quota,
        file: &'a OwnedFd,
        blocks: Range<u64>,
    ) -> Result<Spending<'a>, SysError> {
        let all = blocks.end - blocks.start;
        let measured = Measured::begin(quota, What::Open(file), all)?;
        let room = quota.set_aside(all);
        let room = room.or_else(|| quota.set_aside(sum(&self.gaps(&measured, blocks))));
        let room = room.ok_or_else(full)?;
        Ok(Spending { measured, _room: Some(room) })
    }

    /// The stretches of a range for which the file has no room on the disk, as far as is known, or none that is counted.
    fn gaps(&self, file: &Measured<'_>, range: Range<u64>) -> Vec<Range<u64>> {
        let What::Open(open) = file.what else { return vec![range] };
        let keeps = file.quota.noted(file.ino).is_none_or(|noted| noted.keeps);
        let Ok(stat) = file::stat(open) else { return vec![range] };
        let size = Attr::of_stat(&stat).size.checked_next_multiple_of(BLOCK_BYTES);
        let counted = if keeps { u64::MAX } else { size.unwrap_or(u64::MAX) };
        let Ok(rooms) = extents::with_room(open, range.clone()) else { return vec![range] };
        let (mut gaps, mut at) = (Vec::new(), range.start);
        for room in rooms {
            let (start, end) = (room.start.min(counted), room.end.min(counted).min(range.end));
            if end <= at {
                continue;
            }
            if start > at {
                gaps.push(at..start);
            }
            at = end;
        }
        if at < range.end {
            gaps.push(at..range.end);
        }
        gaps
    }

    /// Refuses an attribute with which an object has more names of them than the kernel lists: they could not be counted.
    pub fn expect_countable(
        &self,
        (dir, name): At<'_>,
        attribute: &[u8],
    ) -> Result<(), UpperError> {
        const OF_MARKS: usize = 1024;
        if self.quota.as_ref().is_none_or(|quota| quota.disk.tells_attributes) {
            return Ok(());
        }
        let deed = "set an attribute";
        let names = xattr_at::names(dir, name).during(deed)?;
        let len = |name: &[u8]| name.len() + 1;
        let others = names.iter().filter(|name| ***name != *attribute);
        let listed: usize = others.map(|name| len(name)).sum();
        if listed + len(attribute) + OF_MARKS > xattr::LIST_MAX {
            let what = "its attributes have more names than can be listed";
            return Err(SysError::new("quota", what, Errno::NOSPC)).during(deed);
        }
        Ok(())
    }

    /// Makes an object under a name of the layer or of the work directory, which is counted.
    pub(super) fn bearing<T>(
        &self,
        (dir, name): At<'_>,
        make: impl FnOnce() -> Result<T, SysError>,
    ) -> Result<T, SysError> {
        let Some(quota) = &self.quota else { return make() };
        if !quota.take_inode() {
            let what = "the layer has all files and directories that it may have";
            return Err(SysError::new("quota", what, Errno::NOSPC));
        }
        let made = make().inspect_err(|_| quota.give_inode())?;
        match file::stat_at(dir, name, Symlinks::Stop) {
            Ok(stat) => {
                let bytes = cost(quota.disk, &stat, Keeps::Contents);
                let beside = What::Named(dir, name).beside(quota.disk).unwrap_or_default();
                let _gate = quota.gate(stat.st_ino);
                quota.note(stat.st_ino, Noted { bytes, beside, keeps: false });
            }
            Err(error) => {
                tracing::warn!("a new object counts with a block for good: {error}");
                quota.note_unseen(BLOCK_BYTES);
            }
        }
        Ok(made)
    }

    /// Takes a name away, or puts another object in its place; what stood under it and has no other name is not counted any more.
    pub(super) fn taking<T>(
        &self,
        (dir, name): At<'_>,
        take: impl FnOnce() -> Result<T, SysError>,
    ) -> Result<T, SysError> {
        let Some(quota) = &self.quota else { return take() };
        let stat = match file::stat_at(dir, name, Symlinks::Stop) {
            Ok(stat) if !Attr::of_stat(&stat).is_whiteout_device() => stat,
            Err(error) if !error.is_absent() => {
                tracing::warn!("what goes with a name stays counted: {error}");
                return take();
            }
            Ok(_) | Err(_) => return take(),
        };
        // Where descriptors are short, names that come or go by another way meanwhile are not seen.
        let held = file::hold(dir, name).and_then(|held| Ok((file::stat(&held)?, held)));
        let held = held.ok().filter(|(seen, _)| seen.st_ino == stat.st_ino).map(|(_, held)| held);
        let beside = What::Named(dir, name).beside(quota.disk).unwrap_or_default();
        // Of two that take the last names of one object each sees what is left of them.
        let gate = quota.gate(stat.st_ino);
        let taken = take();
        let left = held.map(|held| file::stat(&held).map(|left| left.st_nlink));
        let is_gone = match (left, &taken) {
            (Some(Ok(left)), _) => left == 0,
            (Some(Err(_)) | None, Ok(_)) => {
                stat.st_nlink == 1 || Attr::of_stat(&stat).kind == Kind::Directory
            }
            (Some(Err(_)) | None, Err(_)) => false,
        };
        if is_gone {
            let bytes = cost(quota.disk, &stat, Keeps::All).saturating_add(beside);
            quota.forget(stat.st_ino, bytes);
        }
        drop(gate);
        taken
    }
}

/// The blocks that a range lies in.
fn blocks_of(offset: u64, len: u64) -> Range<u64> {
    let end = offset.saturating_add(len).checked_next_multiple_of(BLOCK_BYTES);
    round_down(offset)..end.unwrap_or(u64::MAX)
}

fn sum(gaps: &[Range<u64>]) -> u64 {
    gaps.iter().fold(0, |sum: u64, gap| sum.saturating_add(gap.end.saturating_sub(gap.start)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::change;

    #[test]
    fn a_file_costs_its_blocks_and_where_these_are_told_late_its_size_at_least() {
        const MIB: u64 = 1 << 20;
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let dir = file::open_place(dir.path()).unwrap();
        let made = file::create_new(&dir, "file", 0o600).unwrap();
        let at_once = Disk { tells_at_once: true, tells_attributes: true };
        let late = Disk { tells_at_once: false, ..at_once };
        let costs = |disk, keeps| cost(disk, &file::stat(&made).unwrap(), keeps);
        file::truncate(&made, MIB).unwrap();
        assert_eq!(costs(at_once, Keeps::All), 0);
        assert_eq!((costs(late, Keeps::All), costs(late, Keeps::Contents)), (MIB, MIB));
        file::truncate(&made, 0).unwrap();
        change::allocate(&made, KEEP_SIZE, 0, MIB).unwrap();
        assert!(costs(at_once, Keeps::All) >= MIB);
        assert_eq!(costs(at_once, Keeps::Contents), 3 * BLOCK_BYTES);
        assert!(costs(late, Keeps::Contents) >= MIB);
    }
}
