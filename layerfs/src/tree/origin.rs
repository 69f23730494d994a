//! Owns the form of the origin mark: which lower object an upper one is a copy of.

use zerocopy::little_endian::{I64, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Timestamp;
use crate::store::digest::Digest;

/// The version this build writes, and the only one so far.
const VERSION: u8 = 1;
const IMAGE: u8 = 1;
const DIRECTORY: u8 = 2;
/// Bytes of the checksum: the first of the SHA-256 of all before them.
const CHECKSUM_BYTES: usize = 4;

/// A lower object, named so that it is found again after a remount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// An inode of an image's merged tree.
    Image {
        /// Version of the rules by which layers are folded and numbered.
        fold_version: u32,
        /// The merged tree.
        chain_id: Digest,
        /// The inode in it.
        ordinal: u32,
    },
    /// An inode of a plain directory.
    Directory {
        /// The file system, by its UUID or what stands for one.
        filesystem: [u8; 16],
        /// The inode number.
        ino: u64,
        /// When the inode was made: another object under the same number has another; zeros where not known.
        birth: Timestamp,
    },
}

/// Why an origin mark can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginFault {
    /// A later layerfs wrote it.
    #[error("origin mark has version {found}, this layerfs knows {VERSION}: use a newer layerfs")]
    Newer {
        /// The version that it says.
        found: u8,
    },
    /// Its length, its checksum or a field is not as it must be.
    #[error("origin mark is damaged")]
    Damaged,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Image {
    version: u8,
    kind: u8,
    fold_version: U32,
    chain_id: [u8; 32],
    ordinal: U32,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Directory {
    version: u8,
    kind: u8,
    filesystem: [u8; 16],
    ino: U64,
    birth_secs: I64,
    birth_nanos: U32,
}

impl Origin {
    /// The mark's value.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = match *self {
            Origin::Image { fold_version, chain_id, ordinal } => Image {
                version: VERSION,
                kind: IMAGE,
                fold_version: fold_version.into(),
                chain_id: *chain_id.as_bytes(),
                ordinal: ordinal.into(),
            }
            .as_bytes()
            .to_vec(),
            Origin::Directory { filesystem, ino, birth } => Directory {
                version: VERSION,
                kind: DIRECTORY,
                filesystem,
                ino: ino.into(),
                birth_secs: birth.secs.into(),
                birth_nanos: birth.nanos.into(),
            }
            .as_bytes()
            .to_vec(),
        };
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        bytes
    }

    /// Reads the mark's value.
    pub fn decode(value: &[u8]) -> Result<Origin, OriginFault> {
        let at = value.len().checked_sub(CHECKSUM_BYTES).ok_or(OriginFault::Damaged)?;
        let (body, sum) = value.split_at(at);
        if sum != checksum(body) {
            return Err(OriginFault::Damaged);
        }
        match body {
            [VERSION, IMAGE, ..] => Image::read_from_bytes(body).ok().map(Origin::from),
            [VERSION, DIRECTORY, ..] => Directory::read_from_bytes(body).ok().map(Origin::from),
            [found, ..] if *found > VERSION => return Err(OriginFault::Newer { found: *found }),
            _ => None,
        }
        .ok_or(OriginFault::Damaged)
    }
}

impl From<Image> for Origin {
    fn from(read: Image) -> Origin {
        Origin::Image {
            fold_version: read.fold_version.get(),
            chain_id: Digest::from_bytes(read.chain_id),
            ordinal: read.ordinal.get(),
        }
    }
}

impl From<Directory> for Origin {
    fn from(read: Directory) -> Origin {
        let birth = Timestamp { secs: read.birth_secs.get(), nanos: read.birth_nanos.get() };
        Origin::Directory { filesystem: read.filesystem, ino: read.ino.get(), birth }
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let [a, b, c, d, ..] = *Digest::of(bytes).as_bytes();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> [Origin; 2] {
        let birth = Timestamp { secs: -3, nanos: 999_999_999 };
        [
            Origin::Image { fold_version: 1, chain_id: Digest::of(b"chain"), ordinal: 0x0102_0304 },
            Origin::Directory { filesystem: *b"0123456789abcdef", ino: 1 << 60, birth },
        ]
    }

    #[test]
    fn origins_are_read_as_they_were_stored() {
        for (origin, len) in samples().into_iter().zip([46, 42]) {
            let value = origin.encode();
            assert_eq!(value.len(), len, "the table in docs/format.md");
            assert_eq!(Origin::decode(&value), Ok(origin));
        }
    }

    #[test]
    fn one_changed_byte_and_every_cut_are_refused() {
        for origin in samples() {
            let good = origin.encode();
            for at in 0..good.len() {
                for flip in [0xff, 0x01] {
                    let mut bad = good.clone();
                    bad[at] ^= flip;
                    assert_eq!(Origin::decode(&bad), Err(OriginFault::Damaged), "byte {at}");
                }
                assert_eq!(Origin::decode(&good[..at]), Err(OriginFault::Damaged), "cut at {at}");
            }
            let longer = [&good[..], b"x"].concat();
            assert_eq!(Origin::decode(&longer), Err(OriginFault::Damaged));
        }
    }

    #[test]
    fn a_later_version_is_refused_by_name() {
        let mut body = samples()[0].encode();
        body.truncate(body.len() - CHECKSUM_BYTES);
        body[0] = 2;
        let sum = checksum(&body);
        body.extend_from_slice(&sum);
        assert_eq!(Origin::decode(&body), Err(OriginFault::Newer { found: 2 }));
    }
}
