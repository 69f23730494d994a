//! Files that are written block by block: what is written is the upper's, and the rest of the data stays in the lower.
//!
//! `Node::blocks` keeps a block that is made whole from being written meanwhile: whoever writes holds it shared, and whoever
//! brings up what lies round a write, or sets the size, exclusively. It is taken before `Node::data`, and nothing else under it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;

use parking_lot::RwLockReadGuard;

use super::copy_up::{Extent, LowerContents, is_for_want_of_room};
use super::error::{UnionError, answer};
use super::handle::Open;
use super::io::write_all;
use super::mount::{Shared, Union};
use super::node::{Data, Node};
use crate::lower::{LowerFile, Patched};
use crate::sys::change::{self, SetTime};
use crate::sys::{Errno, SysError, extents, file};
use crate::tree::{Attr, Timestamp};
use crate::upper::{BLOCK_BYTES, Data as UpperData, Upper, UpperError, round_down};

/// So much is filled while nobody else writes.
const PIECE_BYTES: u64 = 1 << 20;
/// Punches a hole and keeps the size (`fallocate(2)`).
const PUNCH: u32 = 3;

/// What a write finds.
enum Ready<'a> {
    /// All blocks that it does not write whole are here, and stay so for as long as this lives.
    Yes(RwLockReadGuard<'a, ()>),
    /// The file has all its data.
    Whole,
    /// Something has to be brought up before.
    No,
}

impl Union {
    /// Writes to a file that may have data in the lower: blocks that are written in part are brought up before.
    pub(super) fn write_in_part(
        &self,
        (open, upper): (&Open, &OwnedFd),
        bytes: &[u8],
        offset: u64,
    ) -> Result<usize, UnionError> {
        let write = || write_all(upper, bytes, offset);
        let (node, end) = (&open.node, offset.saturating_add(bytes.len() as u64));
        let Some(lower) = open.lower.as_ref() else { return write() };
        let written = match ready(node, upper, (offset, end)).map_err(told("write"))? {
            Ready::Whole => return write(),
            Ready::Yes(_held) => write()?,
            Ready::No => {
                let held = node.blocks.write();
                match self.begin_in_part(node, upper) {
                    Ok(Some(below)) => write_joined((upper, lower, below), bytes, offset)?,
                    Ok(None) => return write(),
                    Err(error) if is_for_want_of_room(error.errno()) => {
                        drop(held);
                        self.fill(self.writable()?, node, Extent::Whole)?;
                        return write();
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        node.written.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    /// Has a file's mark say that it may be written in part, and how much of its data may lie below; `None` where it has all of
    /// it. The caller holds its blocks exclusively.
    pub(super) fn begin_in_part(
        &self,
        node: &Node,
        upper: &OwnedFd,
    ) -> Result<Option<u64>, UnionError> {
        let below = match &*node.data.lock() {
            Data::Here | Data::Brought(_) => return Ok(None),
            Data::Below(beneath) | Data::Filling(beneath) => beneath.below,
        };
        if let Some(below) = below.filter(|below| below.is_marked) {
            return Ok(Some(below.bytes));
        }
        let size = Attr::of_stat(&file::stat(upper).map_err(told("look at a file"))?).size;
        if below.is_none() && file::seek_data(upper, 0).map_err(told("seek"))?.is_some() {
            // It was copied by what writes the zeros of holes.
            let whole = size.next_multiple_of(BLOCK_BYTES);
            keeping_times(upper, || change::allocate(upper, PUNCH, 0, whole))
                .map_err(told("make a hole"))?;
            if file::seek_data(upper, 0).map_err(told("seek"))?.is_some() {
                let what = "the zeros that a copy has for a hole stay";
                return Err(told("make a hole")(SysError::new("fallocate", what, Errno::IO)));
            }
        }
        if below.is_none() {
            node.was_looked_through.store(true, Ordering::Release);
        }
        let bytes = below.map_or(size, |below| below.bytes);
        self.writable()?.mark_in_part(upper, bytes)?;
        node.set_below(Below { bytes, is_marked: true });
        Ok(Some(bytes))
    }

    /// Sets the size of a file that may have data in the lower: what lies behind its new end is no more.
    pub(super) fn resize(
        &self,
        node: &Shared,
        upper: &OwnedFd,
        size: u64,
    ) -> Result<(), UnionError> {
        let _measured = self.writable()?.spending(upper, 0)?;
        let cut = || file::truncate(upper, size).map_err(told("truncate"));
        if !node.has_mark_of_data() {
            return cut();
        }
        let held = node.blocks.write();
        if let Some(bytes) = node.brought() {
            cut()?;
            if size < bytes {
                self.mark_shortened(node, upper, size);
            }
            return Ok(());
        }
        let begun = self.begin_in_part(node, upper);
        if begun.as_ref().is_err_and(|error| is_for_want_of_room(error.errno())) {
            drop(held);
            self.fill(self.writable()?, node, Extent::Whole)?;
            return cut();
        }
        let (Some(below), Some(lower)) = (begun?, node.data_below()) else { return cut() };
        // The block that the file ends in, before or afterwards, may be made data by that.
        let end = round_down(size.min(below));
        if end < size.min(below) {
            let lower = self.lower.open(&lower)?;
            bring_up((upper, &lower, below), end).map_err(told("copy up"))?;
        }
        cut()?;
        if size < below {
            // Until the mark says so, too, the size does; and before that grows the mark is set once more.
            node.set_below(Below { bytes: size, is_marked: false });
            if let Err(error) = self.begin_in_part(node, upper) {
                tracing::warn!("the mark of a file that was made shorter is set later: {error}");
            }
        }
        Ok(())
    }

    /// Has the mark of a file that has all its data say no more than its size, before that grows again.
    fn mark_shortened(&self, node: &Node, upper: &OwnedFd, size: u64) {
        let Ok(layer) = self.writable() else { return };
        let marked = match size {
            0 => layer.take_mark(upper).map(|()| node.becomes_whole()),
            _ => layer.mark_in_part(upper, size).map(|()| node.becomes_brought(size)),
        };
        let marked = marked.or_else(|_| layer.unmark(upper).map(|()| node.becomes_whole()));
        if let Err(error) = marked {
            tracing::warn!(
                "the mark of a file that was made shorter says more than it has: {error}"
            );
        }
    }

    /// Whether a file of the upper may be written as it is: it has all its data, or is written block by block. What is small, or
    /// was written much, has all its data brought up.
    pub(super) fn goes_on_in_part(&self, node: &Node) -> bool {
        let Some(below) = node.data_below() else { return true };
        let size = self.lower.attr(&below).map_or(0, |attr| attr.size);
        let is_much = node.written.load(Ordering::Relaxed) >= size / 8;
        let is_whole = self.upper.as_ref().is_none_or(|upper| upper.brings_whole(size));
        node.data_goes_along() && !is_whole && !(is_much && self.has_room_for(size))
    }

    fn has_room_for(&self, bytes: u64) -> bool {
        let figures = self.filesystem();
        figures.is_ok_and(|figures| figures.f_bavail.saturating_mul(figures.f_frsize) > bytes)
    }

    /// Gives room back that the disk has set aside in the holes of a file, as a power cut in the midst of a sync leaves it: once it
    /// is read it would be taken for data. Once for each mount, before the file is read or written; the caller holds no lock.
    pub(super) fn look_through(&self, node: &Shared) -> Result<(), UnionError> {
        if node.below().is_none() || node.was_looked_through.load(Ordering::Acquire) {
            return Ok(());
        }
        let file = self.opened_to_fill(node)?;
        let _filling = node.filling();
        let _held = node.blocks.write();
        let Some(below) = node.below() else { return Ok(()) };
        if node.was_looked_through.load(Ordering::Acquire) {
            return Ok(());
        }
        let told = told("look for what was not written of a file");
        for (start, end) in extents::unwritten(&file, below.bytes).map_err(&told)? {
            keeping_times(&file, || change::allocate(&file, PUNCH, start, end - start))
                .map_err(&told)?;
        }
        node.was_looked_through.store(true, Ordering::Release);
        Ok(())
    }

    /// Notes that a file has all its data, where it has no hole up to where its mark says.
    pub(super) fn note_if_brought(&self, node: &Node, upper: &OwnedFd) -> Result<(), UnionError> {
        let Some(below) = node.below().filter(|below| below.is_marked) else { return Ok(()) };
        if below.bytes > 0 && file::seek_hole(upper, 0).map_err(told("seek"))? < below.bytes {
            return Ok(());
        }
        // Whoever holds it is not waited for: the way to the file is held here.
        let Some(_held) = node.blocks.try_write() else { return Ok(()) };
        let mut data = node.data.lock();
        if matches!(&*data, Data::Below(beneath) if beneath.below == Some(below)) {
            *data = Data::Brought(below.bytes);
        }
        Ok(())
    }

    /// Brings up what a file that was written in part has below, a piece at a time: who writes it waits for no more than one.
    pub(super) fn fill_in_part(
        &self,
        upper: &Upper,
        node: &Shared,
        (contents, file): (&LowerContents, &OwnedFd),
        extent: Extent,
    ) -> Result<(), UnionError> {
        let mut at = 0;
        loop {
            let _filling = node.filling();
            let _held = node.blocks.write();
            let below = node.below().map_or(0, |below| below.bytes);
            if at >= below && extent == Extent::Blocks {
                // What the mark says is no more than that from here on.
                self.begin_in_part(node, file)?;
                node.becomes_brought(below);
                return Ok(());
            }
            if at >= below {
                break;
            }
            let end = (at + PIECE_BYTES).min(below);
            let _spent = upper.spending_to_fill(file, at..end)?;
            fill_piece(file, contents, (at, end)).map_err(told("copy up"))?;
            at = end;
        }
        // Who writes is not kept waiting for the disk: what it writes meanwhile has its place on that already.
        self.sync_brought(upper, node, file)?;
        let _filling = node.filling();
        let _held = node.blocks.write();
        upper.take_mark(file)?;
        node.becomes_whole();
        Ok(())
    }

    /// Empties a file that was written in part. That it has nothing below any more is told by its size until its mark is gone.
    pub(super) fn empty_in_part(
        &self,
        upper: &Upper,
        node: &Shared,
        file: &OwnedFd,
    ) -> Result<(), UnionError> {
        let _held = node.blocks.write();
        file::truncate(file, 0).map_err(told("truncate a file"))?;
        node.set_below(Below { bytes: 0, is_marked: false });
        match upper.take_mark(file) {
            Ok(()) => node.becomes_whole(),
            Err(error) => tracing::warn!("an empty file keeps the mark of a partial one: {error}"),
        }
        Ok(())
    }
}

/// How much of a file's data may lie below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Below {
    /// So many bytes from the start, where the file has holes.
    pub bytes: u64,
    /// Its mark says the same.
    pub is_marked: bool,
}

impl Below {
    /// What the marks of a file of the upper say.
    pub fn of(data: UpperData) -> Option<Below> {
        match data {
            UpperData::InPart { below, is_shorter } => {
                Some(Below { bytes: below, is_marked: !is_shorter })
            }
            UpperData::Here | UpperData::Below | UpperData::OfOrigin => None,
        }
    }
}

fn ready<'a>(node: &'a Node, upper: &OwnedFd, range: (u64, u64)) -> Result<Ready<'a>, SysError> {
    let held = node.blocks.read();
    let below = match &*node.data.lock() {
        Data::Here | Data::Brought(_) => return Ok(Ready::Whole),
        Data::Below(beneath) | Data::Filling(beneath) => beneath.below,
    };
    let Some(below) = below.filter(|below| below.is_marked) else { return Ok(Ready::No) };
    let are_here = open_blocks(upper, range, below.bytes)?.is_empty();
    Ok(if are_here { Ready::Yes(held) } else { Ready::No })
}

/// Blocks that a write touches, has not all of, and that are not here.
struct OpenBlocks {
    /// The one that it begins in.
    first: Option<u64>,
    /// The one that it ends in.
    last: Option<u64>,
    /// The one that the lower's data ends in, where that is another than the first.
    behind: Option<u64>,
}

impl OpenBlocks {
    fn is_empty(&self) -> bool {
        self.first.or(self.last).or(self.behind).is_none()
    }
}

/// Those of a write.
fn open_blocks(
    upper: &OwnedFd,
    (start, end): (u64, u64),
    below: u64,
) -> Result<OpenBlocks, SysError> {
    let (first, last, behind) = (round_down(start), round_down(end), round_down(below));
    // What ends behind the lower's data has nothing of it behind its end. But file systems may write zeros behind the end of
    // the file when it grows, and the block is data then.
    let if_open = |block: u64, is_touched: bool| {
        Ok::<_, SysError>((is_touched && is_absent(upper, block, below)?).then_some(block))
    };
    Ok(OpenBlocks {
        first: if_open(first, start != first)?,
        last: if_open(last, end != last && end < below)?,
        behind: if_open(behind, below != behind && end > below && behind != first)?,
    })
}

/// Writes to a file, and with it what its first and last blocks have besides, all at once: what is written in part is not seen
/// otherwise, also after a crash.
fn write_joined(
    (upper, lower, below): (&OwnedFd, &LowerFile, u64),
    bytes: &[u8],
    offset: u64,
) -> Result<usize, UnionError> {
    let end = offset.saturating_add(bytes.len() as u64);
    let open = open_blocks(upper, (offset, end), below).map_err(told("write"))?;
    if let Some(block) = open.behind {
        bring_up((upper, lower, below), block).map_err(told("copy up"))?;
    }
    let start = open.first.unwrap_or(offset);
    let until = open.last.map_or(end, |last| below.min(last + BLOCK_BYTES));
    let both = Patched::new(upper.as_fd(), lower, below);
    let part = |from: u64, to: u64| {
        let mut part = vec![0; usize::try_from(to - from).unwrap_or(0)];
        // Behind the end of the file there are zeros.
        both.read_at(&mut part, from).map_err(told("copy up")).map(|_| part)
    };
    let (head, tail) = (part(start, offset)?, part(end, until)?);
    if head.is_empty() && tail.is_empty() {
        return write_all(upper, bytes, offset);
    }
    let joined = [&head, bytes, &tail].concat();
    let mut done = 0;
    // What landed is told. Of the head alone nothing is, and the bytes never land without it.
    while done <= head.len() {
        match write_all(upper, &joined[done..], start + done as u64)? {
            0 => return answer(Errno::NOSPC),
            len => done += len,
        }
    }
    Ok((done - head.len()).min(bytes.len()))
}

fn is_absent(upper: &OwnedFd, block: u64, below: u64) -> Result<bool, SysError> {
    let end = below.min(block + BLOCK_BYTES);
    Ok(block < end && file::seek_hole(upper, block)? < end)
}

/// Gives a block of a file the data that it has below.
fn bring_up(
    (upper, lower, below): (&OwnedFd, &LowerFile, u64),
    block: u64,
) -> Result<(), SysError> {
    let end = below.min(block + BLOCK_BYTES);
    if file::seek_hole(upper, block)? >= end {
        return Ok(());
    }
    let mut whole = vec![0; usize::try_from(end - block).unwrap_or(0)];
    Patched::new(upper.as_fd(), lower, below).read_at(&mut whole, block)?;
    keeping_times(upper, || file::write_all_at(upper, &whole, block))
}

/// Makes a change of a file that is not to be seen in its times.
fn keeping_times(
    file: &OwnedFd,
    change: impl FnOnce() -> Result<(), SysError>,
) -> Result<(), SysError> {
    let before = Attr::of_stat(&file::stat(file)?);
    let changed = change();
    let time = |time: Timestamp| SetTime::At(time.secs, time.nanos);
    let keep = || change::set_times(file, time(before.atime), time(before.mtime));
    // The change stands: to answer an error would deny it.
    if let Err(error) = keep().or_else(|_| keep()) {
        tracing::warn!("a file shows the time at which data was copied up: {error}");
    }
    changed
}

/// Gives the holes of a piece of a file the data that they have below, and the file the times that it had.
fn fill_piece(
    file: &OwnedFd,
    contents: &LowerContents,
    (start, end): (u64, u64),
) -> Result<(), SysError> {
    keeping_times(file, || {
        let mut at = start;
        while at < end {
            let own = file::seek_data(file, at)?.map_or(end, |own| own.min(end));
            contents.copy_stretch(file, at, own)?;
            at = if own < end { file::seek_hole(file, own)? } else { end };
        }
        Ok(())
    })
}

fn told(deed: &'static str) -> impl Fn(SysError) -> UnionError {
    move |source| UpperError::Call { deed, source }.into()
}
