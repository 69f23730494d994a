//! How a stream is packed, told by its first bytes.

use crate::store::oci::Packing;

/// The packing of a layer or an archive. Media types lie; first bytes do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not packed.
    Plain,
    /// gzip, of one or many members.
    Gzip,
    /// zstd, of one or many frames, skippable ones among them.
    Zstd,
}

/// Bytes that are enough to tell.
pub(super) const PEEK_LEN: usize = 512;

impl Compression {
    /// The packing of a stream that starts with `head`; the name of the packing where it is one that is not read.
    pub(in crate::store) fn of(head: &[u8]) -> Result<Self, &'static str> {
        // A tar archive may start with a file whose name looks like a magic number.
        if head.get(257..262) == Some(b"ustar") {
            return Ok(Compression::Plain);
        }
        match head {
            [0x1f, 0x8b, ..] => Ok(Compression::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                Ok(Compression::Zstd)
            }
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Err("xz"),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..] => Err("bzip2"),
            [0x04, 0x22, 0x4d, 0x18, ..] => Err("lz4"),
            _ => Ok(Compression::Plain),
        }
    }

    /// Whether a media type says the same.
    pub(super) fn agrees_with(self, said: Packing) -> bool {
        matches!(
            (self, said),
            (Compression::Plain, Packing::Plain)
                | (Compression::Gzip, Packing::Gzip)
                | (Compression::Zstd, Packing::Zstd)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packings_are_told_by_their_first_bytes() {
        let mut tar = b"BZh91AY&SY".to_vec();
        tar.resize(257, 0);
        tar.extend_from_slice(b"ustar\0");
        let table: &[(&[u8], Result<Compression, &str>)] = &[
            (b"", Ok(Compression::Plain)),
            (b"\x1f", Ok(Compression::Plain)),
            (b"\x1f\x8b\x08", Ok(Compression::Gzip)),
            (b"\x28\xb5\x2f\xfd\x00", Ok(Compression::Zstd)),
            (b"\x5f\x2a\x4d\x18\x00", Ok(Compression::Zstd)),
            (b"\xfd7zXZ\x00", Err("xz")),
            (b"BZh91AY&SY", Err("bzip2")),
            (&tar, Ok(Compression::Plain)),
        ];
        for (head, want) in table {
            assert_eq!(Compression::of(head), *want);
        }
    }
}
