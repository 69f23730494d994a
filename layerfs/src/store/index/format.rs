//! The form of an index file on disk: header, records, sections.
//!
//! All numbers are little-endian. The file is a header page, then sections back to back, then the table of block
//! checksums. A block is 64 KiB of what lies between the header page and the table; the last may be shorter. The
//! header holds the digest of the table, and ends with a digest of itself, so that one flipped byte anywhere is found.

use std::ops::Range;

use sha2::{Digest as _, Sha256};
use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::error::IndexError;
use crate::store::digest::Digest;

/// The version this build writes, and the latest it reads. The ordinals of a merged tree are a function of it and of
/// the chain id.
pub const VERSION: u32 = 1;
/// Bytes before the first block.
pub(super) const HEADER_BYTES: usize = 4096;
/// Bytes under one checksum.
pub(super) const BLOCK_BYTES: usize = 64 * 1024;
/// Contents up to this size live in the index itself.
pub const INLINE_MAX_BYTES: u64 = 4096;
/// Names, link targets and distinct sets of attributes of one layer, or one merged tree, that is written: they are in
/// memory until it is whole. The form itself holds 4 GiB of either.
pub const TEXT_MAX_BYTES: u64 = 256 << 20;
/// Files of one layer, or one merged tree, that is written, and names of them: they are in memory until it is whole. The
/// form itself holds 2^31 - 1.
pub const FILES_MAX: usize = 16 << 20;
const MAGIC: [u8; 8] = *b"LAYERFSX";

/// Whether an index is one layer, with its whiteouts, or a merged tree, which has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One layer; its id is the layer's diff id.
    Layer,
    /// All layers of an image folded into one; its id is the chain id.
    Tree,
}

/// The sections, in the order of the header's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// Contents of small files.
    Data,
    /// [`InodeRecord`]s by ordinal.
    Inodes,
    /// [`EntryRecord`]s, each directory's together and sorted by name.
    Entries,
    /// The bytes of names and link targets.
    Names,
    /// Sets of extended attributes.
    Xattrs,
    /// [`LinkRecord`]s, each hard-link group's together.
    Links,
    /// [`ObjectRecord`]s.
    Objects,
}

pub(super) const SECTIONS: usize = 7;

#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct SectionRecord {
    offset: U64,
    len_bytes: U64,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct HeaderRecord {
    magic: [u8; 8],
    version: U32,
    kind: U32,
    id: [u8; 32],
    file_bytes: U64,
    sections: [SectionRecord; SECTIONS],
    blocks: U64,
    table_digest: [u8; 32],
    entries: U64,
    content_bytes: U64,
    header_digest: [u8; 32],
}

/// What an index holds, counted when it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Names, whiteouts included; the root is none.
    pub entries: u64,
    /// Bytes of file contents, each hard-link group once.
    pub content_bytes: u64,
}

/// The header, checked.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub kind: Kind,
    pub id: Digest,
    pub sections: [Range<usize>; SECTIONS],
    pub totals: Totals,
    /// Where the table of block checksums stands; the file ends with it.
    pub table: Range<usize>,
    pub table_digest: [u8; 32],
}

/// One inode. What `content` means depends on the type in `mode`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct InodeRecord {
    /// Type and permissions, as `st_mode`.
    pub mode: U16,
    pub flags: u8,
    pub name_len: u8,
    pub uid: U32,
    pub gid: U32,
    /// As `st_nlink`.
    pub nlink: U32,
    /// File: bytes. Symlink: bytes of the target. Directory: number of entries. Else 0.
    pub size: U64,
    pub mtime_secs: I64,
    pub mtime_nanos: U32,
    /// Ordinal of the directory that holds the (first) name.
    pub parent: U32,
    /// Offset of the (first) name among the names.
    pub name: U32,
    /// Inline file: offset in the data. Object file: number in the objects. Directory: number of its first entry.
    /// Symlink: offset of the target among the names. Device: major << 32 | minor.
    pub content: U64,
    /// Offset of its set among the xattrs, plus one; 0 where it has none.
    pub xattrs: U32,
    /// Number of its first link record; only where `flags` has `GROUP`.
    pub links: U32,
    pub reserved: [u8; 4],
}

/// Bits of [`InodeRecord::flags`].
pub(super) mod flag {
    /// A file whose contents are in the data section.
    pub const INLINE: u8 = 1;
    /// A directory that hides what lower layers have below it.
    pub const OPAQUE: u8 = 2;
    /// A directory that the layer does not describe; it only holds entries that the layer has.
    pub const IMPLIED: u8 = 4;
    /// A member of a hard-link group, with link records.
    pub const GROUP: u8 = 8;
    /// An object with holes: its blocks are fewer than its size tells.
    pub const SPARSE: u8 = 16;
    pub const ALL: u8 = 31;
}

/// One name in a directory.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct EntryRecord {
    /// The name's first four bytes, zero-filled: most comparisons end here.
    pub prefix: [u8; 4],
    /// Offset of the name among the names.
    pub name: U32,
    /// The inode; 0 for a whiteout.
    pub inode: U32,
    pub name_len: u8,
    /// `DT_*` of the inode, or [`ENTRY_WHITEOUT`].
    pub kind: u8,
    pub reserved: [u8; 2],
}

/// [`EntryRecord::kind`] of a whiteout (`DT_WHT` of the BSDs).
pub(super) const ENTRY_WHITEOUT: u8 = 14;

/// One name of a hard-link group.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct LinkRecord {
    pub parent: U32,
    pub name: U32,
    pub name_len: u8,
    pub reserved: [u8; 3],
}

/// One file object that the tree uses.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ObjectRecord {
    pub digest: [u8; 32],
    pub size: U64,
}

impl Kind {
    fn to_disk(self) -> u32 {
        match self {
            Kind::Layer => 1,
            Kind::Tree => 2,
        }
    }

    fn from_disk(number: u32) -> Option<Self> {
        match number {
            1 => Some(Kind::Layer),
            2 => Some(Kind::Tree),
            _ => None,
        }
    }
}

/// The header page for sections of these lengths, in order.
pub(super) fn encode_header(
    (kind, id): (Kind, Digest),
    lens: [u64; SECTIONS],
    totals: Totals,
    table: &[u8],
) -> Vec<u8> {
    let mut offset = HEADER_BYTES as u64;
    let sections = lens.map(|len| {
        let section = SectionRecord { offset: offset.into(), len_bytes: len.into() };
        offset += len;
        section
    });
    let mut record = HeaderRecord {
        magic: MAGIC,
        version: VERSION.into(),
        kind: kind.to_disk().into(),
        id: *id.as_bytes(),
        file_bytes: (offset + table.len() as u64).into(),
        sections,
        blocks: (table.len() as u64 / 32).into(),
        table_digest: Sha256::digest(table).into(),
        entries: totals.entries.into(),
        content_bytes: totals.content_bytes.into(),
        header_digest: [0; 32],
    };
    record.header_digest = header_digest(&record);
    let mut page = record.as_bytes().to_vec();
    page.resize(HEADER_BYTES, 0);
    page
}

/// Reads and checks the header of the file that is `file`.
pub(super) fn decode_header(file: &[u8]) -> Result<Header, IndexError> {
    let (record, _) = HeaderRecord::ref_from_prefix(file).map_err(|_| IndexError::Magic)?;
    if record.magic != MAGIC {
        return Err(IndexError::Magic);
    }
    let version = record.version.get();
    if version != VERSION {
        return Err(IndexError::Version { found: version, known: VERSION });
    }
    if header_digest(record) != record.header_digest {
        return Err(IndexError::Damaged("header checksum"));
    }
    if record.file_bytes.get() != file.len() as u64 {
        return Err(IndexError::Damaged("file size"));
    }
    let kind = Kind::from_disk(record.kind.get()).ok_or(IndexError::Damaged("kind"))?;
    if !file
        .get(size_of::<HeaderRecord>()..HEADER_BYTES)
        .is_some_and(|rest| rest.iter().all(|&byte| byte == 0))
    {
        return Err(IndexError::Damaged("header page"));
    }
    let mut end = HEADER_BYTES;
    let mut sections: [Range<usize>; SECTIONS] = Default::default();
    for (range, section) in sections.iter_mut().zip(&record.sections) {
        let len =
            usize::try_from(section.len_bytes.get()).map_err(|_| IndexError::Damaged("section"))?;
        let next = end.checked_add(len).filter(|next| *next <= file.len());
        let next = next.ok_or(IndexError::Damaged("section"))?;
        if section.offset.get() != end as u64 {
            return Err(IndexError::Damaged("section"));
        }
        *range = end..next;
        end = next;
    }
    let blocks = (end - HEADER_BYTES).div_ceil(BLOCK_BYTES);
    if record.blocks.get() != blocks as u64 || file.len() - end != blocks * 32 {
        return Err(IndexError::Damaged("checksum table"));
    }
    let totals =
        Totals { entries: record.entries.get(), content_bytes: record.content_bytes.get() };
    let id = Digest::from_bytes(record.id);
    Ok(Header {
        kind,
        id,
        sections,
        totals,
        table: end..file.len(),
        table_digest: record.table_digest,
    })
}

fn header_digest(record: &HeaderRecord) -> [u8; 32] {
    let bytes = record.as_bytes();
    let end = bytes.len() - record.header_digest.len();
    Sha256::digest(&bytes[..end]).into()
}

/// The first bytes of a name, as entry records keep them.
pub(super) fn prefix_of(name: &[u8]) -> [u8; 4] {
    let mut prefix = [0; 4];
    for (to, from) in prefix.iter_mut().zip(name) {
        *to = *from;
    }
    prefix
}

/// The bytes of a set of extended attributes: a count, then each name and value behind their lengths.
pub(super) fn encode_xattrs(pairs: &[(Box<[u8]>, Box<[u8]>)]) -> Result<Vec<u8>, IndexError> {
    let too_large = |_| IndexError::TooLarge("extended attributes");
    let mut bytes = u16::try_from(pairs.len()).map_err(too_large)?.to_le_bytes().to_vec();
    for (name, value) in pairs {
        bytes.extend(u16::try_from(name.len()).map_err(too_large)?.to_le_bytes());
        bytes.extend(u32::try_from(value.len()).map_err(too_large)?.to_le_bytes());
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(value);
    }
    Ok(bytes)
}

/// The pairs of a set, whose bytes `take` gives from front to back: the set's length is in it, and what lies behind it
/// need not be read.
pub(super) fn decode_xattrs<'a>(
    mut take: impl FnMut(u64) -> Result<&'a [u8], IndexError>,
) -> Result<Vec<(&'a [u8], &'a [u8])>, IndexError> {
    let mut pairs = Vec::new();
    for _ in 0..u16::from_le_bytes(array(take(2)?)?) {
        let name_len = u16::from_le_bytes(array(take(2)?)?);
        let value_len = u32::from_le_bytes(array(take(4)?)?);
        pairs.push((take(name_len.into())?, take(value_len.into())?));
    }
    Ok(pairs)
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], IndexError> {
    bytes.try_into().map_err(|_| IndexError::Damaged("extended attributes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_the_sizes_the_format_document_gives() {
        assert_eq!(size_of::<InodeRecord>(), 64);
        assert_eq!(size_of::<EntryRecord>(), 16);
        assert_eq!(size_of::<LinkRecord>(), 12);
        assert_eq!(size_of::<ObjectRecord>(), 40);
        assert!(size_of::<HeaderRecord>() <= HEADER_BYTES);
    }
}
