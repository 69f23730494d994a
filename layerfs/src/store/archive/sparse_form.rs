//! Owns the four ways in which GNU tar has written sparse maps: in old headers, and pax 0.0, 0.1 and 1.0.

use super::error::{Fault, Part};
use super::escape::Quoted;
use super::extension::Extensions;
use super::header::{OldSparse, number, unsigned};
use super::number::decimal;
use super::sparse::{SEGMENTS_MAX, Segment, SparseFault, SparseMap};
use super::stream::{BLOCK_LEN, Stream};
use std::io::Read;

/// Bytes of one offset and length in an old header.
const SLOT_LEN: usize = 24;
/// Bytes of a continuation block that hold slots; the byte after them says whether another block follows.
const CONTINUATION_SLOTS_LEN: usize = 21 * SLOT_LEN;

/// Reads the map of an old GNU header, whose continuation blocks stand between it and the data and are not counted in
/// its size.
pub(super) fn old<R: Read>(
    head: &OldSparse<'_>,
    stored: u64,
    stream: &mut Stream<R>,
) -> Result<SparseMap, Fault> {
    let mut segments = Vec::new();
    add_slots(&mut segments, head.slots)?;
    let mut continued = head.continued;
    while continued {
        let mut block = [0; BLOCK_LEN];
        stream.fill(&mut block).map_err(|fault| Fault::Stream(fault, Part::SparseMap))?;
        add_slots(&mut segments, &block[..CONTINUATION_SLOTS_LEN])?;
        continued = block[CONTINUATION_SLOTS_LEN] != 0;
    }
    Ok(SparseMap::check(segments, head.real_size, stored)?)
}

/// Adds the slots of one block; a slot with nothing written in it ends them, as it does for GNU tar and Go.
fn add_slots(segments: &mut Vec<Segment>, slots: &[u8]) -> Result<(), Fault> {
    for slot in slots.chunks_exact(SLOT_LEN) {
        let (offset, len) = slot.split_at(SLOT_LEN / 2);
        if offset[0] == 0 && len[0] == 0 {
            break;
        }
        let offset = unsigned("sparse offset", number("sparse offset", offset)?)?;
        let len = unsigned("sparse length", number("sparse length", len)?)?;
        push(segments, Segment { offset, len })?;
    }
    Ok(())
}

fn push(segments: &mut Vec<Segment>, segment: Segment) -> Result<(), SparseFault> {
    if segments.len() == SEGMENTS_MAX {
        return Err(SparseFault::TooManySegments);
    }
    segments.push(segment);
    Ok(())
}

/// Where pax records say that the map of an entry is.
pub(super) enum PaxForm {
    /// No record speaks of a map: the file has no holes.
    None,
    /// In records of its own (0.0) or in one record (0.1).
    Records,
    /// Before the data (1.0).
    Data,
}

impl PaxForm {
    pub(super) fn of(extensions: &Extensions, pairs: &[Segment]) -> Result<PaxForm, SparseFault> {
        let major = extensions.get("GNU.sparse.major");
        let minor = extensions.get("GNU.sparse.minor");
        let mapped = !pairs.is_empty() || extensions.get("GNU.sparse.map").is_some();
        let sized = extensions.get("GNU.sparse.size").is_some();
        match (major, minor) {
            (Some(b"1"), Some(b"0")) if mapped => Err(SparseFault::TwoMaps),
            (Some(b"1"), Some(b"0")) => Ok(PaxForm::Data),
            (Some(b"0"), Some(b"0" | b"1")) => Ok(PaxForm::Records),
            // These two forms are older than the version records, and a file of holes alone may have no map.
            (None, None) if mapped || sized => Ok(PaxForm::Records),
            (None, None) => Ok(PaxForm::None),
            _ => Err(SparseFault::UnknownVersion {
                major: Quoted::new(major.unwrap_or_default()),
                minor: Quoted::new(minor.unwrap_or_default()),
            }),
        }
    }
}

/// Logical size that pax records give a sparse file.
fn pax_size(extensions: &Extensions) -> Result<u64, SparseFault> {
    let size = extensions.get("GNU.sparse.size").or_else(|| extensions.get("GNU.sparse.realsize"));
    map_number(size.ok_or(SparseFault::NoSize)?)
}

/// Reads a map that the records hold.
pub(super) fn from_records(
    extensions: &Extensions,
    pairs: Vec<Segment>,
    stored: u64,
) -> Result<SparseMap, SparseFault> {
    let segments = match extensions.get("GNU.sparse.map") {
        Some(_) if !pairs.is_empty() => return Err(SparseFault::TwoMaps),
        Some(list) => listed(list)?,
        None => pairs,
    };
    if let Some(blocks) = extensions.get("GNU.sparse.numblocks") {
        let announced = map_number(blocks)?;
        if announced != segments.len() as u64 {
            let announced = announced.saturating_mul(2);
            return Err(SparseFault::Count { found: segments.len() * 2, announced });
        }
    }
    SparseMap::check(segments, pax_size(extensions)?, stored)
}

/// The comma-separated numbers of form 0.1. The record that holds them is bounded, so their number is.
fn listed(list: &[u8]) -> Result<Vec<Segment>, SparseFault> {
    let mut segments = Vec::new();
    let mut numbers = list.split(|&b| b == b',');
    while let Some(offset) = numbers.next() {
        let Some(len) = numbers.next() else {
            let found = segments.len() * 2 + 1;
            return Err(SparseFault::Count { found, announced: found as u64 + 1 });
        };
        push(&mut segments, Segment { offset: map_number(offset)?, len: map_number(len)? })?;
    }
    Ok(segments)
}

fn map_number(text: &[u8]) -> Result<u64, SparseFault> {
    decimal(text).map_err(|_| SparseFault::NotANumber { text: Quoted::new(text) })
}

/// Reads the map of form 1.0 from the blocks before the data; they are counted in the entry's size. Gives the map and
/// the bytes that are left for the data.
pub(super) fn from_data<R: Read>(
    extensions: &Extensions,
    stored: u64,
    stream: &mut Stream<R>,
) -> Result<(SparseMap, u64), Fault> {
    let size = pax_size(extensions)?;
    let mut lines = Lines { stream, block: [0; BLOCK_LEN], at: BLOCK_LEN, left: stored };
    let announced = lines.number()?;
    if announced > SEGMENTS_MAX as u64 {
        return Err(SparseFault::TooManySegments.into());
    }
    let mut segments = Vec::new();
    for _ in 0..announced {
        let offset = lines.number()?;
        let len = lines.number()?;
        segments.push(Segment { offset, len });
    }
    let left = lines.left;
    Ok((SparseMap::check(segments, size, left)?, left))
}

/// Numbers, a line each, from whole blocks of an entry's data.
struct Lines<'a, R> {
    stream: &'a mut Stream<R>,
    block: [u8; BLOCK_LEN],
    at: usize,
    /// Bytes of the entry that have not been read.
    left: u64,
}

impl<R: Read> Lines<'_, R> {
    fn number(&mut self) -> Result<u64, Fault> {
        // No number of 64 bits has more digits, and a line is not allowed to be longer.
        let mut digits = [0; 20];
        let mut len = 0;
        loop {
            match self.byte()? {
                b'\n' => return Ok(map_number(&digits[..len])?),
                byte if len < digits.len() => {
                    digits[len] = byte;
                    len += 1;
                }
                _ => return Err(SparseFault::NotANumber { text: Quoted::new(&digits) }.into()),
            }
        }
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        if self.at == BLOCK_LEN {
            let left = self.left.checked_sub(BLOCK_LEN as u64);
            self.left = left.ok_or(SparseFault::MapBeyondData)?;
            let fill = self.stream.fill(&mut self.block);
            fill.map_err(|fault| Fault::Stream(fault, Part::SparseMap))?;
            self.at = 0;
        }
        self.at += 1;
        Ok(self.block[self.at - 1])
    }
}
