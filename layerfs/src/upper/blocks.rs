//! Partial files: some blocks were written here, and the rest of the data stays in the lower.
//!
//! 1. What such a file has as data is its own; its holes are the lower's, up to where its mark says. So there is no record of
//!    blocks that could be older or newer than the data: a block is here when its data is, after a crash as well.
//! 2. The mark stands before the first block is written, and says of which file it is: a copy of that has other holes.
//! 3. What would make a hole of data, or data of a hole, is only done to a file that has all its data: so `fallocate(2)` of each
//!    kind. A file that is made shorter has nothing of the lower behind its new end, however long it becomes again.
//! 4. It is so where the file system tells holes to the block, as was tried, and leaves what was written as data.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use super::error::{During, UpperError};
use super::open::Upper;
use super::partial::{Partial, Small};
use super::rename::At;
use crate::sys::{SysError, file, host, xattr};
use crate::tree::{Blocks, Mark, Metacopy};

/// The granule of what is here: no file system's block is larger.
pub const BLOCK_BYTES: u64 = 4096;

/// What was found of a file system's holes.
const UNKNOWN: u8 = 0;
const TOLD: u8 = 1;
const NOT_TOLD: u8 = 2;

/// ext4, XFS, btrfs and tmpfs: none makes a hole of zeros that were written, and what was written is among the blocks of its file at once.
pub(super) const KNOWN: [u64; 4] = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994];

impl Upper {
    /// Whether files are written block by block.
    pub fn writes_in_part(&self) -> bool {
        if !matches!(self.partial, Partial::Blocks(_)) {
            return false;
        }
        match self.holes.load(Ordering::Relaxed) {
            // A disk that is full, or fails, is asked once more.
            UNKNOWN => self.try_holes().is_ok_and(|tells| {
                self.holes.store(if tells { TOLD } else { NOT_TOLD }, Ordering::Relaxed);
                tells
            }),
            found => found == TOLD,
        }
    }

    /// Whether all data of a lower file of that size is brought up as it is opened for writing.
    pub fn brings_whole(&self, size: u64) -> bool {
        match self.partial {
            Partial::Blocks(Small::Usual) => size <= 256 << 10,
            Partial::Blocks(Small::Few) => size <= 64,
            Partial::Made | Partial::Never => true,
        }
    }

    fn try_holes(&self) -> Result<bool, SysError> {
        if !KNOWN.contains(&host::space(&self.work)?.magic) {
            return Ok(false);
        }
        let aside = self.aside();
        let file = file::create_new(&self.work, aside.as_str(), 0o600)?;
        let tells = tells_holes(&file);
        self.sweep_uncounted(&aside);
        tells
    }

    /// Marks an open file of which so much may lie in the lower where it has holes.
    pub fn mark_in_part(&self, file: &OwnedFd, below: u64) -> Result<(), UpperError> {
        let deed = "mark a file that is written in part";
        let _measured = self.spending(file, 0)?;
        let value = Metacopy::Partial(Blocks { below, own: own(file).during(deed)? }).value();
        xattr::set(file, &Mark::Metacopy.name(self.space), &value).during(deed)
    }
}

/// Which file it is.
pub(super) fn own(file: &OwnedFd) -> Result<u64, SysError> {
    Ok(Blocks::own(file::stat(file)?.st_ino, file::birth(file)?))
}

/// The same of one that is not open.
pub(super) fn own_at((dir, name): At<'_>) -> Result<u64, SysError> {
    let stat = file::stat_at(dir, name, file::Symlinks::Stop)?;
    Ok(Blocks::own(stat.st_ino, file::birth_at(dir, name)?))
}

/// Tries whether a file's holes are where nothing was written, and nowhere else.
fn tells_holes(file: &OwnedFd) -> Result<bool, SysError> {
    const SIZE: u64 = 8 << 20;
    // A small file without data may lie within its inode.
    file::truncate(file, 60)?;
    if file::seek_data(file, 0)?.is_some() {
        return Ok(false);
    }
    file::truncate(file, SIZE)?;
    // A byte, and more than fits a large page, each within its blocks.
    const PIECES: [(u64, usize); 3] =
        [(5 * BLOCK_BYTES + 7, 1), (3 << 20, 70_000), ((5 << 20) + 100, 300_000)];
    for (at, len) in PIECES {
        file::write_all_at(file, &vec![0; len], at)?;
    }
    // Room that the disk sets aside beside what is written would be taken for data once it was read.
    file::sync(file)?;
    let mut buf = vec![0; 1 << 20];
    for (at, _) in PIECES {
        file::read_at(file, &mut buf, round_down(at.saturating_sub(1 << 19)))?;
    }
    for (at, len) in PIECES {
        let behind = at + len as u64;
        let Some(start) = file::seek_data(file, at - 2 * BLOCK_BYTES)? else { return Ok(false) };
        let end = file::seek_hole(file, start)?;
        let is_within = start >= round_down(at) && end <= round_down(behind - 1) + BLOCK_BYTES;
        if !is_within || start > at || end < behind {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The start of the block that holds an offset.
pub fn round_down(offset: u64) -> u64 {
    offset - offset % BLOCK_BYTES
}
