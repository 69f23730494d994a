//! Packed streams: whole ones, and bombs of a few kilobytes.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

/// One gzip member.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::new(6));
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// One zstd frame with a checksum.
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut packer = zstd::Encoder::new(Vec::new(), 3).unwrap();
    packer.include_checksum(true).unwrap();
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// `head`, so many MiB of zeros, `tail`, each packed for itself: members and frames may follow each other.
pub fn bomb(pack: fn(&[u8]) -> Vec<u8>, head: &[u8], zeros_mib: usize, tail: &[u8]) -> Vec<u8> {
    const PART_MIB: usize = 64;
    assert!(zeros_mib.is_multiple_of(PART_MIB), "whole parts of {PART_MIB} MiB");
    let part = pack(&vec![0; PART_MIB << 20]);
    let mut out = pack(head);
    for _ in 0..zeros_mib / PART_MIB {
        out.extend(&part);
    }
    out.extend(pack(tail));
    out
}
