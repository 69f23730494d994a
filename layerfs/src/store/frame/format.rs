//! Owns the form of a frame file: a header, and a packed body of records.

use std::io::{self, Read};

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::store::digest::Digest;
use crate::sys::SysError;

/// Bytes of the header.
pub(super) const HEADER_BYTES: usize = 128;
/// Bytes of one record's archive bytes, at most.
pub(super) const RAW_MAX_BYTES: usize = 64 * 1024;

const MAGIC: [u8; 8] = *b"LAYERFST";
const VERSION: u32 = 1;
const RAW: u8 = 0;
const OBJECT: u8 = 1;

/// Why a frame file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// It can't be read.
    #[error(transparent)]
    Call(#[from] SysError),
    /// A later layerfs wrote it.
    #[error("it has version {found}, this layerfs knows {VERSION}: use a newer layerfs")]
    Version {
        /// The version that it says.
        found: u32,
    },
    /// It is not what it should be.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
}

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub diff_id: Digest,
    /// Bytes of the archive.
    pub archive_bytes: u64,
    /// Bytes of the packed body, and their digest.
    pub body_bytes: u64,
    pub body_digest: Digest,
}

/// One piece of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// Bytes as they are.
    Raw(Vec<u8>),
    /// All of an object.
    Object(Digest, u64),
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Disk {
    magic: [u8; 8],
    version: U32,
    reserved: U32,
    diff_id: [u8; 32],
    archive_bytes: U64,
    body_bytes: U64,
    body_digest: [u8; 32],
    digest: [u8; 32],
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut disk = Disk {
            magic: MAGIC,
            version: VERSION.into(),
            reserved: 0.into(),
            diff_id: *self.diff_id.as_bytes(),
            archive_bytes: self.archive_bytes.into(),
            body_bytes: self.body_bytes.into(),
            body_digest: *self.body_digest.as_bytes(),
            digest: [0; 32],
        };
        disk.digest = *Digest::of(&disk.as_bytes()[..HEADER_BYTES - 32]).as_bytes();
        disk.as_bytes().to_vec()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Header, FrameError> {
        let disk = Disk::read_from_bytes(bytes).map_err(|_| FrameError::Damaged("its length"))?;
        if disk.magic != MAGIC {
            return Err(FrameError::Damaged("its first bytes"));
        }
        if disk.digest != *Digest::of(&bytes[..HEADER_BYTES - 32]).as_bytes() {
            return Err(FrameError::Damaged("its header"));
        }
        if disk.version.get() > VERSION {
            return Err(FrameError::Version { found: disk.version.get() });
        }
        Ok(Header {
            diff_id: Digest::from_bytes(disk.diff_id),
            archive_bytes: disk.archive_bytes.get(),
            body_bytes: disk.body_bytes.get(),
            body_digest: Digest::from_bytes(disk.body_digest),
        })
    }
}

/// The head of a record of raw bytes, which follow it.
pub(super) fn raw_head(len: usize) -> [u8; 5] {
    let mut head = [RAW; 5];
    head[1..].copy_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
    head
}

/// A record of an object.
pub(super) fn object_record(digest: &Digest, size: u64) -> [u8; 41] {
    let mut record = [OBJECT; 41];
    record[1..33].copy_from_slice(digest.as_bytes());
    record[33..].copy_from_slice(&size.to_le_bytes());
    record
}

/// The next record of an unpacked body; `None` at its end. Errors of the stream are damage: a body's digest is right.
pub(super) fn next_record(body: &mut impl Read) -> io::Result<Option<Record>> {
    let mut kind = [0];
    if body.read(&mut kind)? == 0 {
        return Ok(None);
    }
    match kind {
        [RAW] => {
            let mut len = [0; 4];
            body.read_exact(&mut len)?;
            let len = usize::try_from(u32::from_le_bytes(len)).unwrap_or(usize::MAX);
            if len > RAW_MAX_BYTES {
                return Err(io::Error::other("a record is too long"));
            }
            let mut bytes = vec![0; len];
            body.read_exact(&mut bytes)?;
            Ok(Some(Record::Raw(bytes)))
        }
        [OBJECT] => {
            let (mut digest, mut size) = ([0; 32], [0; 8]);
            body.read_exact(&mut digest)?;
            body.read_exact(&mut size)?;
            Ok(Some(Record::Object(Digest::from_bytes(digest), u64::from_le_bytes(size))))
        }
        _ => Err(io::Error::other("a record is of no known kind")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let (diff_id, body_digest) = (Digest::of(b"archive"), Digest::of(b"body"));
        Header { diff_id, archive_bytes: 1 << 40, body_bytes: 77, body_digest }
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let bytes = header().encode();
        assert_eq!(bytes.len(), HEADER_BYTES, "the table in docs/format.md");
        assert_eq!(Header::decode(&bytes).unwrap(), header());
    }

    #[test]
    fn one_changed_byte_and_every_cut_are_refused() {
        let good = header().encode();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(matches!(Header::decode(&bad), Err(FrameError::Damaged(_))), "byte {at}");
            assert!(matches!(Header::decode(&good[..at]), Err(FrameError::Damaged(_))));
        }
    }

    #[test]
    fn a_later_version_is_refused_by_name() {
        let mut bytes = header().encode();
        bytes[8] = 2;
        let digest = Digest::of(&bytes[..HEADER_BYTES - 32]);
        bytes[HEADER_BYTES - 32..].copy_from_slice(digest.as_bytes());
        assert!(matches!(Header::decode(&bytes), Err(FrameError::Version { found: 2 })));
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let digest = Digest::of(b"object");
        let mut body = raw_head(3).to_vec();
        body.extend_from_slice(b"abc");
        body.extend_from_slice(&object_record(&digest, 5000));
        let mut rest = body.as_slice();
        assert_eq!(next_record(&mut rest).unwrap(), Some(Record::Raw(b"abc".to_vec())));
        assert_eq!(next_record(&mut rest).unwrap(), Some(Record::Object(digest, 5000)));
        assert_eq!(next_record(&mut rest).unwrap(), None);
        for bad in [&[2][..], &[0, 255, 255, 255, 255], &[0, 1, 0, 0, 0], &body[8..20]] {
            let mut rest = bad;
            assert!(next_record(&mut rest).is_err(), "{bad:?}");
        }
    }
}
