//! The contents of a layer's files on their way: small ones into one spool, larger ones into staged objects.

use std::collections::HashMap;
use std::ops::Range;
use std::os::fd::OwnedFd;

use super::error::LayerError;
use super::shared::Shared;
use crate::store::archive::ArchiveReader;
use crate::store::digest::{Digest, Hasher};
use crate::store::frame::{self, Recorder};
use crate::store::index::{INLINE_MAX_BYTES, IndexError};
use crate::sys::{SysError, dir, file};

/// Files up to this size are hashed before anything is written, and not written where the store has the object.
const MEMORY_MAX_BYTES: u64 = 1024 * 1024;

/// Bytes taken from the archive at a time.
const PIECE_BYTES: usize = 256 * 1024;
/// Bytes of a hole hashed at a time.
const HOLE_PIECE_BYTES: u64 = 16 << 20;

/// Asks the store for an object, and has it keep the object until the import ends.
pub(in crate::store) trait Reliance {
    /// Whether the store has the object, whole; if so it is listed among what the import relies on.
    fn rely_on(&self, digest: &Digest, size: u64) -> Result<bool, SysError>;

    /// Opens an object that is relied on.
    fn open(&self, digest: &Digest) -> Result<OwnedFd, SysError>;
}

/// One object that a layer brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Staged {
    /// Its digest.
    pub digest: Digest,
    /// The number that is its name in the staging directory.
    pub number: u64,
}

/// Where a file's contents went.
pub(super) enum Kept {
    Inline { handle: u64 },
    Object { digest: Digest, sparse: bool },
}

/// The staged contents of one layer.
pub(in crate::store) struct Contents<'a> {
    dir: &'a OwnedFd,
    reliance: &'a dyn Reliance,
    shared: &'a Shared,
    recorder: &'a Recorder,
    spool: OwnedFd,
    spool_bytes: u64,
    /// Small contents not yet written to the spool, which ends with them.
    spool_tail: Vec<u8>,
    objects: HashMap<Digest, Option<u64>>,
    next: u64,
    /// What is taken from the archive at a time.
    buf: Vec<u8>,
    /// Contents that are taken whole, one file's after the other's.
    whole: Vec<u8>,
}

impl<'a> Contents<'a> {
    /// Stages into `dir`, an empty directory.
    pub(in crate::store) fn new(
        dir: &'a OwnedFd,
        reliance: &'a dyn Reliance,
        shared: &'a Shared,
        recorder: &'a Recorder,
    ) -> Result<Self, SysError> {
        let spool = file::create_new(dir, "inline", 0o600)?;
        dir::unlink(dir, "inline")?;
        Ok(Contents {
            dir,
            reliance,
            shared,
            recorder,
            spool,
            spool_bytes: 0,
            spool_tail: Vec::new(),
            objects: HashMap::new(),
            next: 0,
            buf: vec![0; PIECE_BYTES],
            whole: Vec::new(),
        })
    }

    /// Takes the contents of the archive's present entry, of `size` bytes.
    pub(super) fn take<R: std::io::Read>(
        &mut self,
        archive: &mut ArchiveReader<R>,
        size: u64,
    ) -> Result<Kept, LayerError> {
        if size <= INLINE_MAX_BYTES {
            return self.with_whole(archive, size, Self::spool);
        }
        // What an archive has no holes in is there as it is in the object.
        let is_whole = !archive.has_holes();
        if is_whole {
            self.recorder.contents_begin();
        }
        let kept = if size <= MEMORY_MAX_BYTES {
            self.with_whole(archive, size, Self::object)?
        } else {
            self.large(archive, size)?
        };
        if let Kept::Object { digest, .. } = &kept
            && is_whole
        {
            self.recorder.object(digest, size).map_err(frame::call_of)?;
        }
        Ok(kept)
    }

    /// Reads small contents back.
    pub(super) fn inline(&self, handle: u64, size: u64) -> Result<Vec<u8>, IndexError> {
        let mut bytes =
            vec![0; usize::try_from(size).map_err(|_| IndexError::TooLarge("contents"))?];
        let mut done = 0;
        if let Some(offset) = handle.checked_sub(self.spool_bytes) {
            let from = usize::try_from(offset)
                .ok()
                .and_then(|at| self.spool_tail.get(at..at + bytes.len()));
            bytes.copy_from_slice(from.ok_or(IndexError::Damaged("spooled contents"))?);
            return Ok(bytes);
        }
        while done < bytes.len() {
            let len = file::read_at(&self.spool, &mut bytes[done..], handle + done as u64)?;
            if len == 0 {
                return Err(IndexError::Damaged("spooled contents"));
            }
            done += len;
        }
        Ok(bytes)
    }

    /// The objects that are staged, in archive order, and those that the store had.
    pub(in crate::store) fn into_staged(self) -> (Vec<Staged>, Vec<Digest>) {
        let (mut staged, mut relied_on) = (Vec::new(), Vec::new());
        for (digest, number) in self.objects {
            match number {
                Some(number) => staged.push(Staged { digest, number }),
                None => relied_on.push(digest),
            }
        }
        staged.sort_by_key(|object| object.number);
        (staged, relied_on)
    }

    /// Does `deed` with all bytes of the present entry.
    fn with_whole<R: std::io::Read>(
        &mut self,
        archive: &mut ArchiveReader<R>,
        size: u64,
        deed: impl FnOnce(&mut Self, &[u8]) -> Result<Kept, LayerError>,
    ) -> Result<Kept, LayerError> {
        let len = usize::try_from(size).unwrap_or(0);
        let mut whole = std::mem::take(&mut self.whole);
        if whole.len() < len {
            whole.resize(len, 0);
        }
        self.read_whole(archive, &mut whole[..len])?;
        let kept = deed(self, &whole[..len]);
        self.whole = whole;
        kept
    }

    fn read_whole<R: std::io::Read>(
        &mut self,
        archive: &mut ArchiveReader<R>,
        bytes: &mut [u8],
    ) -> Result<(), LayerError> {
        if !archive.has_holes() {
            // Its pieces follow one another.
            let mut done = 0;
            while done < bytes.len() {
                let Some(piece) = archive.next_piece(&mut bytes[done..])? else { break };
                done += piece.len;
            }
            bytes[done..].fill(0);
            return Ok(());
        }
        bytes.fill(0);
        while let Some(piece) = archive.next_piece(&mut self.buf)? {
            let at = usize::try_from(piece.offset).unwrap_or(usize::MAX);
            let to = at.checked_add(piece.len).and_then(|end| bytes.get_mut(at..end));
            if let Some(to) = to {
                to.copy_from_slice(&self.buf[..piece.len]);
            }
        }
        Ok(())
    }

    fn spool(&mut self, bytes: &[u8]) -> Result<Kept, LayerError> {
        let handle = self.spool_bytes + self.spool_tail.len() as u64;
        self.spool_tail.extend_from_slice(bytes);
        if self.spool_tail.len() >= PIECE_BYTES {
            file::write_all_at(&self.spool, &self.spool_tail, self.spool_bytes)?;
            self.spool_bytes += self.spool_tail.len() as u64;
            self.spool_tail.clear();
        }
        Ok(Kept::Inline { handle })
    }

    fn object(&mut self, bytes: &[u8]) -> Result<Kept, LayerError> {
        let digest = Digest::of(bytes);
        let kept = Kept::Object { digest, sparse: false };
        if self.objects.contains_key(&digest) {
            return Ok(kept);
        }
        if self.reliance.rely_on(&digest, bytes.len() as u64)? {
            self.objects.insert(digest, None);
            return Ok(kept);
        }
        let (number, fd) = self.create()?;
        file::write_all(&fd, bytes)?;
        self.objects.insert(digest, Some(number));
        Ok(kept)
    }

    /// Contents too large for memory: written while they are hashed, holes kept.
    fn large<R: std::io::Read>(
        &mut self,
        archive: &mut ArchiveReader<R>,
        size: u64,
    ) -> Result<Kept, LayerError> {
        let (number, fd) = self.create()?;
        let mut hasher = Hasher::new();
        let (mut end, mut sparse, mut trailing_zeros) = (0, false, false);
        while let Some(piece) = archive.next_piece(&mut self.buf)? {
            let bytes = &self.buf[..piece.len];
            sparse |= piece.offset > end;
            self.shared.check()?;
            hash_hole(&mut hasher, piece.offset - end, self.shared)?;
            hasher.update(bytes);
            // An archive without a sparse map spells holes out: long runs of zeros are not written again.
            let runs = data_runs(bytes);
            sparse |= runs.iter().map(Range::len).sum::<usize>() < bytes.len();
            trailing_zeros = runs.last().is_none_or(|last| last.end < bytes.len());
            for run in runs {
                file::write_all_at(&fd, &bytes[run.clone()], piece.offset + run.start as u64)?;
            }
            end = piece.offset + piece.len as u64;
        }
        if end < size || trailing_zeros {
            sparse = true;
            hash_hole(&mut hasher, size - end, self.shared)?;
            file::truncate(&fd, size)?;
        }
        let digest = hasher.finish();
        // The first copy stays: a second one, here or in the store, has the same bytes.
        if self.objects.contains_key(&digest) || self.reliance.rely_on(&digest, size)? {
            dir::unlink(self.dir, number.to_string().as_str())?;
            self.objects.entry(digest).or_insert(None);
        } else {
            self.objects.insert(digest, Some(number));
        }
        Ok(Kept::Object { digest, sparse })
    }

    fn create(&mut self) -> Result<(u64, OwnedFd), SysError> {
        let number = self.next;
        self.next += 1;
        // Owner-readable only, and by no one writable: what stands in the store is never changed.
        Ok((number, file::create_new(self.dir, number.to_string().as_str(), 0o400)?))
    }
}

/// Hashes the zeros that a hole stands for, unless the import is told to stop: that takes minutes for the largest.
fn hash_hole(hasher: &mut Hasher, mut len_bytes: u64, shared: &Shared) -> Result<(), LayerError> {
    while len_bytes > 0 {
        shared.check()?;
        let len = len_bytes.min(HOLE_PIECE_BYTES);
        hasher.update_zeros(len);
        len_bytes -= len;
    }
    Ok(())
}

/// What is to be written of a piece: all but its runs of zeros that are worth a hole. Compared a page at a time, which the
/// processor does faster than byte by byte.
fn data_runs(bytes: &[u8]) -> Vec<Range<usize>> {
    const PAGE: [u8; 4096] = [0; 4096];
    const HOLE_MIN_BYTES: usize = 64 * 1024;
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (number, page) in bytes.chunks(PAGE.len()).enumerate() {
        if *page == PAGE[..page.len()] {
            continue;
        }
        let start = number * PAGE.len();
        let before = runs.last().map_or(0, |last| last.end);
        match runs.last_mut() {
            Some(last) if start - before < HOLE_MIN_BYTES => last.end = start + page.len(),
            None if start < HOLE_MIN_BYTES => runs.push(0..start + page.len()),
            _ => runs.push(start..start + page.len()),
        }
    }
    if let Some(last) = runs.last_mut()
        && bytes.len() - last.end < HOLE_MIN_BYTES
    {
        last.end = bytes.len();
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 4096;

    #[test]
    fn long_runs_of_zeros_are_left_out_and_short_ones_written() {
        let pairs = |bytes: &[u8]| -> Vec<(usize, usize)> {
            data_runs(bytes).iter().map(|run| (run.start, run.end)).collect()
        };
        let piece = |data: &[(usize, usize)]| {
            let mut bytes = vec![0; PIECE_BYTES];
            data.iter().for_each(|(start, end)| bytes[*start..*end].fill(1));
            pairs(&bytes)
        };
        let (end, whole) = (PIECE_BYTES, [(0, PIECE_BYTES)]);
        assert_eq!(piece(&[]), []);
        assert_eq!(piece(&whole), whole);
        assert_eq!(piece(&[(5, 6)]), [(0, PAGE)]);
        assert_eq!(piece(&[(end - 1, end)]), [(end - PAGE, end)]);
        assert_eq!(piece(&[(16 * PAGE, 17 * PAGE)]), [(16 * PAGE, 17 * PAGE)]);
        assert_eq!(piece(&[(0, 1), (16 * PAGE, end)]), whole, "15 pages between");
        let apart = [(0, PAGE), (17 * PAGE, end)];
        assert_eq!(piece(&[(0, 1), (17 * PAGE, end)]), apart, "16 pages between");
        assert_eq!(piece(&[(15 * PAGE, end - 15 * PAGE)]), whole, "15 pages at the ends");
        assert_eq!(pairs(&[]), []);
        assert_eq!(pairs(&[0; 100]), [], "a short piece of zeros");
        assert_eq!(pairs(&[1; 5000]), [(0, 5000)]);
    }
}
