//! Reading a mapped index: every offset is checked, each block's checksum on its first touch.
//!
//! A page that was proved once may be dropped from memory and then fail to be read again: it reads as zeros. So whoever
//! has read asks [`Index::intact`] before anything is made of what was read, be it an answer, "absent" or an error.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::error::IndexError;
use super::format::{
    BLOCK_BYTES, ENTRY_WHITEOUT, EntryRecord, HEADER_BYTES, Header, InodeRecord, Kind, LinkRecord,
    ObjectRecord, Section, Totals, decode_header, decode_xattrs, flag, prefix_of,
};
use super::inode::{Body, Child, Inode, Ordinal, Target};
use crate::store::archive::Timestamp;
use crate::store::digest::Digest;
use crate::sys::{AsFd, Mapping};

/// One index file, mapped. Shared freely between threads; nothing in it changes but the note of checked blocks.
#[derive(Debug)]
pub struct Index {
    map: Mapping,
    header: Header,
    /// A bit for each block whose checksum was found right.
    checked: Box<[AtomicU64]>,
}

impl Index {
    /// Maps an index file and checks its header and its table of checksums.
    pub fn open(file: impl AsFd) -> Result<Self, IndexError> {
        let map = Mapping::new(file)?;
        let header = decode_header(map.bytes())?;
        let table =
            map.bytes().get(header.table.clone()).ok_or(IndexError::Damaged("checksum table"))?;
        let digest: [u8; 32] = Sha256::digest(table).into();
        if digest != header.table_digest || map.is_damaged() {
            return Err(IndexError::Damaged("checksum table"));
        }
        let words = header.table.len().div_ceil(32 * 64);
        Ok(Index { map, header, checked: (0..words).map(|_| AtomicU64::new(0)).collect() })
    }

    /// Layer or tree.
    pub fn kind(&self) -> Kind {
        self.header.kind
    }

    /// The diff id of a layer, the chain id of a tree.
    pub fn id(&self) -> Digest {
        self.header.id
    }

    /// What was counted when the index was written.
    pub fn totals(&self) -> Totals {
        self.header.totals
    }

    /// Bytes of the index file.
    pub fn file_bytes(&self) -> u64 {
        self.map.bytes().len() as u64
    }

    /// How many inodes there are: ordinals run from 0 to one less.
    pub fn inode_count(&self) -> u32 {
        u32::try_from(self.count::<InodeRecord>(Section::Inodes)).unwrap_or(u32::MAX)
    }

    /// Whether all that was read so far is what the file says: an error once any page could not be read, and from then on.
    pub fn intact(&self) -> Result<(), IndexError> {
        if self.map.is_damaged() {
            return Err(IndexError::Damaged("a page could not be read"));
        }
        Ok(())
    }

    /// One inode.
    pub fn inode(&self, ordinal: Ordinal) -> Result<Inode, IndexError> {
        let record = self.inode_record(ordinal)?;
        Ok(Inode {
            mode: u32::from(record.mode.get()),
            uid: record.uid.get(),
            gid: record.gid.get(),
            nlink: record.nlink.get(),
            size: if is_directory(record) { 0 } else { record.size.get() },
            mtime: Timestamp { secs: record.mtime_secs.get(), nanos: record.mtime_nanos.get() },
            parent: Ordinal(record.parent.get()),
            body: self.body(record)?,
            is_group: record.flags & flag::GROUP != 0,
        })
    }

    /// The entry of that name in a directory; `None` where the index has no word of it.
    pub fn lookup(&self, dir: Ordinal, name: &[u8]) -> Result<Option<Target>, IndexError> {
        let entries = self.entries(dir)?;
        let prefix = prefix_of(name);
        let (mut low, mut high) = (0, entries.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = entries.get(middle).ok_or(IndexError::Damaged("directory"))?;
            let order = match entry.prefix.cmp(&prefix) {
                std::cmp::Ordering::Equal => self.entry_name(entry)?.cmp(name),
                unequal => unequal,
            };
            match order {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return self.target(entry).map(Some),
            }
        }
        Ok(None)
    }

    /// How many entries a directory has.
    pub fn child_count(&self, dir: Ordinal) -> Result<usize, IndexError> {
        Ok(self.entries(dir)?.len())
    }

    /// The entries of a directory from number `from` on, by name.
    pub fn children(
        &self,
        dir: Ordinal,
        from: usize,
    ) -> Result<impl Iterator<Item = Result<Child<'_>, IndexError>>, IndexError> {
        let entries = self.entries(dir)?;
        let entries = entries.get(from..).unwrap_or_default();
        Ok(entries
            .iter()
            .map(|entry| Ok(Child { name: self.entry_name(entry)?, target: self.target(entry)? })))
    }

    /// The (first) name of an inode; empty for the root.
    pub fn name(&self, ordinal: Ordinal) -> Result<&[u8], IndexError> {
        let record = self.inode_record(ordinal)?;
        self.bytes(Section::Names, record.name.get().into(), record.name_len.into())
    }

    /// All names of an inode, each with the directory that holds it.
    pub fn names(&self, ordinal: Ordinal) -> Result<Vec<(Ordinal, &[u8])>, IndexError> {
        let record = self.inode_record(ordinal)?;
        if record.flags & flag::GROUP == 0 {
            return Ok(vec![(Ordinal(record.parent.get()), self.name(ordinal)?)]);
        }
        let links = self.records::<LinkRecord>(
            Section::Links,
            record.links.get().into(),
            record.nlink.get().into(),
        )?;
        let name = |link: &LinkRecord| {
            self.bytes(Section::Names, link.name.get().into(), link.name_len.into())
        };
        links.iter().map(|link| Ok((Ordinal(link.parent.get()), name(link)?))).collect()
    }

    /// The target of a symbolic link.
    pub fn link_target(&self, ordinal: Ordinal) -> Result<&[u8], IndexError> {
        let record = self.inode_record(ordinal)?;
        self.bytes(Section::Names, record.content.get(), record.size.get())
    }

    /// The contents of a file of [`Body::Inline`].
    pub fn inline(&self, ordinal: Ordinal) -> Result<&[u8], IndexError> {
        let record = self.inode_record(ordinal)?;
        if record.flags & flag::INLINE == 0 {
            return Err(IndexError::Damaged("contents are not inline"));
        }
        self.bytes(Section::Data, record.content.get(), record.size.get())
    }

    /// The extended attributes of an inode, sorted by name.
    pub fn xattrs(&self, ordinal: Ordinal) -> Result<Vec<(&[u8], &[u8])>, IndexError> {
        let reference = self.inode_record(ordinal)?.xattrs.get();
        let Some(offset) = reference.checked_sub(1) else { return Ok(Vec::new()) };
        let mut at = u64::from(offset);
        decode_xattrs(|len| {
            let bytes = self.bytes(Section::Xattrs, at, len)?;
            at += len;
            Ok(bytes)
        })
    }

    /// What names an inode's set of extended attributes in this index: equal for inodes that share one.
    pub(in crate::store) fn xattr_set(&self, ordinal: Ordinal) -> Result<u32, IndexError> {
        Ok(self.inode_record(ordinal)?.xattrs.get())
    }

    /// The objects that the tree uses, with their sizes in bytes.
    pub fn objects(&self) -> Result<impl Iterator<Item = (Digest, u64)>, IndexError> {
        let count = self.count::<ObjectRecord>(Section::Objects);
        let records = self.records::<ObjectRecord>(Section::Objects, 0, count)?;
        Ok(records.iter().map(|record| (Digest::from_bytes(record.digest), record.size.get())))
    }

    /// Checks the checksum of every block.
    pub(super) fn check_blocks(&self) -> Result<(), IndexError> {
        self.check(HEADER_BYTES..self.header.table.start)
    }

    pub(super) fn inode_record(&self, ordinal: Ordinal) -> Result<&InodeRecord, IndexError> {
        let records = self.records::<InodeRecord>(Section::Inodes, ordinal.0.into(), 1)?;
        records.first().ok_or(IndexError::Damaged("inode number"))
    }

    fn body(&self, record: &InodeRecord) -> Result<Body, IndexError> {
        let content = record.content.get();
        Ok(match record.mode.get() >> 12 {
            0o04 => Body::Directory {
                opaque: record.flags & flag::OPAQUE != 0,
                implied: record.flags & flag::IMPLIED != 0,
            },
            0o10 if record.flags & flag::INLINE != 0 => Body::Inline,
            0o10 => {
                let object = self.records::<ObjectRecord>(Section::Objects, content, 1)?;
                let object = object.first().ok_or(IndexError::Damaged("object number"))?;
                Body::Object {
                    digest: Digest::from_bytes(object.digest),
                    sparse: record.flags & flag::SPARSE != 0,
                }
            }
            0o12 => Body::Symlink,
            0o02 | 0o06 => {
                let half = |bits: u64| u32::try_from(bits & 0xffff_ffff).unwrap_or(0);
                Body::Device { major: half(content >> 32), minor: half(content) }
            }
            0o01 | 0o14 => Body::Special,
            _ => return Err(IndexError::Damaged("type of an inode")),
        })
    }

    fn entries(&self, dir: Ordinal) -> Result<&[EntryRecord], IndexError> {
        let record = self.inode_record(dir)?;
        if !is_directory(record) {
            return Err(IndexError::Damaged("not a directory"));
        }
        self.records(Section::Entries, record.content.get(), record.size.get())
    }

    fn entry_name(&self, entry: &EntryRecord) -> Result<&[u8], IndexError> {
        self.bytes(Section::Names, entry.name.get().into(), entry.name_len.into())
    }

    fn target(&self, entry: &EntryRecord) -> Result<Target, IndexError> {
        if entry.kind == ENTRY_WHITEOUT {
            return match self.kind() {
                Kind::Layer => Ok(Target::Whiteout),
                Kind::Tree => Err(IndexError::Damaged("whiteout in a merged tree")),
            };
        }
        Ok(Target::Inode(Ordinal(entry.inode.get()), entry.kind))
    }

    fn section(&self, section: Section) -> &Range<usize> {
        &self.header.sections[section as usize]
    }

    fn count<T>(&self, section: Section) -> u64 {
        (self.section(section).len() / size_of::<T>()) as u64
    }

    /// `count` records from number `first` on.
    fn records<T: FromBytes + KnownLayout + Immutable>(
        &self,
        section: Section,
        first: u64,
        count: u64,
    ) -> Result<&[T], IndexError> {
        let size = size_of::<T>() as u64;
        let offset = first.checked_mul(size).ok_or(IndexError::Damaged("record number"))?;
        let len = count.checked_mul(size).ok_or(IndexError::Damaged("record count"))?;
        let bytes = self.bytes(section, offset, len)?;
        <[T]>::ref_from_bytes(bytes).map_err(|_| IndexError::Damaged("records"))
    }

    /// `len` bytes at `offset` of a section, under checked checksums.
    fn bytes(&self, section: Section, offset: u64, len: u64) -> Result<&[u8], IndexError> {
        let outside = IndexError::Damaged("an offset outside its section");
        let section = self.section(section);
        let end = offset.checked_add(len).filter(|end| *end <= section.len() as u64);
        let (Some(end), Ok(offset)) = (end, usize::try_from(offset)) else { return Err(outside) };
        let Ok(end) = usize::try_from(end) else { return Err(outside) };
        let range = section.start + offset..section.start + end;
        self.check(range.clone())?;
        self.map.bytes().get(range).ok_or(outside)
    }

    /// Checks the blocks under `range` that were not checked before.
    fn check(&self, range: Range<usize>) -> Result<(), IndexError> {
        if !range.is_empty() {
            let first = (range.start - HEADER_BYTES) / BLOCK_BYTES;
            let last = (range.end - 1 - HEADER_BYTES) / BLOCK_BYTES;
            for block in first..=last {
                self.check_block(block)?;
            }
        }
        self.intact()
    }

    fn check_block(&self, block: usize) -> Result<(), IndexError> {
        let word = self.checked.get(block / 64).ok_or(IndexError::Damaged("block number"))?;
        let bit = 1 << (block % 64);
        if word.load(Ordering::Acquire) & bit != 0 {
            return Ok(());
        }
        let start = HEADER_BYTES + block * BLOCK_BYTES;
        let end = (start + BLOCK_BYTES).min(self.header.table.start);
        let bytes = self.map.bytes().get(start..end).ok_or(IndexError::Damaged("block number"))?;
        let digest = Sha256::digest(bytes);
        let entry = self.header.table.start + block * 32;
        if self.map.bytes().get(entry..entry + 32) != Some(digest.as_slice()) {
            return Err(IndexError::Damaged("checksum of a block"));
        }
        word.fetch_or(bit, Ordering::Release);
        Ok(())
    }
}

fn is_directory(record: &InodeRecord) -> bool {
    record.mode.get() >> 12 == 0o04
}
