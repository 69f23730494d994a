//! Writing an index file: contents go to disk as they come, records stay in memory until the end.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use sha2::{Digest as _, Sha256};
use zerocopy::{Immutable, IntoBytes};

use super::error::IndexError;
use super::format::{
    BLOCK_BYTES, EntryRecord, FILES_MAX, HEADER_BYTES, InodeRecord, Kind, LinkRecord, ObjectRecord,
    SECTIONS, TEXT_MAX_BYTES, Totals, encode_header, encode_xattrs,
};
use super::traverse::XattrSet;
use crate::store::digest::Digest;
use crate::sys::{file, xattr};

/// The sections of an index being written.
pub(super) struct IndexWriter {
    out: BlockOut,
    pub inodes: Vec<InodeRecord>,
    pub entries: Vec<EntryRecord>,
    pub links: Vec<LinkRecord>,
    pub totals: Totals,
    names: Vec<u8>,
    xattrs: Vec<u8>,
    /// The references of the sets, by the digest of how they are written.
    xattr_sets: HashMap<Digest, u32>,
    /// The sets met, by where they lie, with their references; kept, so that no other comes to lie there.
    shared_sets: HashMap<usize, (XattrSet, u32)>,
    objects: Vec<ObjectRecord>,
    object_numbers: HashMap<Digest, u64>,
}

impl IndexWriter {
    /// Writes to `file`, which is empty.
    pub(super) fn new(file: OwnedFd) -> Self {
        IndexWriter {
            out: BlockOut {
                file,
                written: HEADER_BYTES as u64,
                pending: Vec::new(),
                table: Vec::new(),
            },
            inodes: Vec::new(),
            entries: Vec::new(),
            links: Vec::new(),
            totals: Totals::default(),
            names: Vec::new(),
            xattrs: Vec::new(),
            xattr_sets: HashMap::new(),
            shared_sets: HashMap::new(),
            objects: Vec::new(),
            object_numbers: HashMap::new(),
        }
    }

    /// Appends contents of a small file; answers their offset in the data section.
    pub(super) fn data(&mut self, bytes: &[u8]) -> Result<u64, IndexError> {
        let offset = self.out.position() - HEADER_BYTES as u64;
        self.out.push(bytes)?;
        Ok(offset)
    }

    /// Appends a name or a link target; answers its offset among the names.
    pub(super) fn name(&mut self, bytes: &[u8]) -> Result<u32, IndexError> {
        let offset = u32::try_from(self.names.len()).map_err(|_| IndexError::TooLarge("names"))?;
        self.check_text(bytes.len())?;
        self.names.extend_from_slice(bytes);
        Ok(offset)
    }

    /// The reference to a set of extended attributes, each distinct set stored once; 0 for the empty set.
    pub(super) fn xattrs(&mut self, set: &XattrSet) -> Result<u32, IndexError> {
        if set.is_empty() {
            return Ok(0);
        }
        let place = set.as_ptr().addr();
        if let Some((_, reference)) = self.shared_sets.get(&place) {
            return Ok(*reference);
        }
        let reference = self.xattrs_by_value(set)?;
        self.shared_sets.insert(place, (XattrSet::clone(set), reference));
        Ok(reference)
    }

    fn xattrs_by_value(&mut self, pairs: &[xattr::Pair]) -> Result<u32, IndexError> {
        let bytes = encode_xattrs(pairs)?;
        let digest = Digest::of(&bytes);
        if let Some(known) = self.xattr_sets.get(&digest) {
            return Ok(*known);
        }
        self.check_text(bytes.len())?;
        let too_large = |_| IndexError::TooLarge("extended attributes");
        let reference = u32::try_from(self.xattrs.len() + 1).map_err(too_large)?;
        self.xattrs.extend_from_slice(&bytes);
        self.xattr_sets.insert(digest, reference);
        Ok(reference)
    }

    /// Refuses text that does not fit in with what there is.
    fn check_text(&self, len: usize) -> Result<(), IndexError> {
        let text = self.names.len() as u64 + self.xattrs.len() as u64 + len as u64;
        if text > TEXT_MAX_BYTES { Err(IndexError::TooMuchText) } else { Ok(()) }
    }

    /// The number of an object in this index.
    pub(super) fn object(&mut self, digest: Digest, size: u64) -> u64 {
        *self.object_numbers.entry(digest).or_insert_with(|| {
            self.objects.push(ObjectRecord { digest: *digest.as_bytes(), size: size.into() });
            self.objects.len() as u64 - 1
        })
    }

    /// The ordinal that the next inode will have.
    pub(super) fn next_ordinal(&self) -> Result<u32, IndexError> {
        check_files(self.inodes.len(), self.entries.len())?;
        u32::try_from(self.inodes.len()).map_err(|_| IndexError::TooLarge("inodes"))
    }

    /// Writes the records, the checksums and the header. The file is not synced.
    pub(super) fn finish(mut self, kind: Kind, id: Digest) -> Result<(), IndexError> {
        let mut lens = [0; SECTIONS];
        lens[0] = self.out.position() - HEADER_BYTES as u64;
        let sections: [&[u8]; SECTIONS - 1] = [
            bytes_of(&self.inodes),
            bytes_of(&self.entries),
            &self.names,
            &self.xattrs,
            bytes_of(&self.links),
            bytes_of(&self.objects),
        ];
        for (len, section) in lens[1..].iter_mut().zip(sections) {
            self.out.push(section)?;
            *len = section.len() as u64;
        }
        let (file, table) = self.out.finish()?;
        let header = encode_header((kind, id), lens, self.totals, &table);
        file::write_all_at(&file, &header, 0)?;
        Ok(())
    }
}

/// Refuses one more file, or one more name, than are taken.
fn check_files(inodes: usize, entries: usize) -> Result<(), IndexError> {
    if inodes.max(entries) < FILES_MAX { Ok(()) } else { Err(IndexError::TooManyFiles) }
}

fn bytes_of<T: IntoBytes + Immutable>(records: &[T]) -> &[u8] {
    records.as_bytes()
}

/// Appends to the file block by block and keeps each block's checksum.
struct BlockOut {
    file: OwnedFd,
    /// Where the pending block will begin.
    written: u64,
    pending: Vec<u8>,
    table: Vec<u8>,
}

impl BlockOut {
    fn position(&self) -> u64 {
        self.written + self.pending.len() as u64
    }

    fn push(&mut self, mut bytes: &[u8]) -> Result<(), IndexError> {
        while !bytes.is_empty() {
            let room = BLOCK_BYTES - self.pending.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.pending.extend_from_slice(now);
            bytes = later;
            if self.pending.len() == BLOCK_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), IndexError> {
        self.table.extend_from_slice(&Sha256::digest(&self.pending));
        file::write_all_at(&self.file, &self.pending, self.written)?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<(OwnedFd, Vec<u8>), IndexError> {
        if !self.pending.is_empty() {
            self.flush()?;
        }
        file::write_all_at(&self.file, &self.table, self.written)?;
        Ok((self.file, self.table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_attributes_of_a_tree_have_one_bound() {
        let mut writer = IndexWriter::new(tempfile::tempfile().unwrap().into());
        let most = usize::try_from(TEXT_MAX_BYTES).unwrap();
        writer.names = vec![0; most - 100];
        let set = |len| XattrSet::from(vec![(b"user.a"[..].into(), vec![b'v'; len].into())]);
        let first = writer.xattrs(&set(50)).unwrap();
        assert_eq!(writer.xattrs(&set(50)).unwrap(), first, "an equal set is written once");
        assert!(matches!(writer.xattrs(&set(51)), Err(IndexError::TooMuchText)));
        let left = 100 - writer.xattrs.len();
        writer.name(&vec![b'n'; left]).unwrap();
        assert!(matches!(writer.name(b"n"), Err(IndexError::TooMuchText)));
    }

    #[test]
    fn files_of_a_tree_have_a_bound() {
        assert!(check_files(FILES_MAX - 1, FILES_MAX - 1).is_ok());
        assert!(matches!(check_files(FILES_MAX, 1), Err(IndexError::TooManyFiles)));
        assert!(matches!(check_files(1, FILES_MAX), Err(IndexError::TooManyFiles)));
    }
}
