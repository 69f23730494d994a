//! Packed and cut streams: every cut and every flipped bit is told, and nothing half-read is kept.

use std::path::Path;

use super::packing::{bomb, gzip, zstd};
use super::row::{Row, Want, check_all, layer_listing};
use super::store::{Victim, text};
use super::tarball::{Entry, dir, file, hard, open_ended, symlink, tar};
use crate::support::watchdog;

/// Entries of every length class, one with a record before it.
fn entries() -> Vec<Entry> {
    vec![
        dir("d"),
        file("d/small", "small"),
        file("d/large", pseudo_random(5000)),
        symlink("l", "d"),
        file("n".repeat(150), "named by a record"),
        hard("h", "d/large"),
    ]
}

/// Bytes that no packing makes smaller, the same each time.
pub fn pseudo_random(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(step).collect()
}

/// An archive that ends between two entries has no more of them; cut anywhere else it is refused.
#[test]
fn an_archive_cut_at_any_block_has_whole_entries_or_is_refused() {
    let _watch = watchdog(120);
    let victim = Victim::new();
    let before = victim.picture();
    let entries = entries();
    let ends: Vec<usize> = (0..=entries.len()).map(|n| open_ended(&entries[..n]).len()).collect();
    let whole = tar(&entries);
    let mut refused = 0;
    for len in (512..whole.len()).step_by(512) {
        let path = victim.write("cut.tar", &whole[..len]);
        let said = victim.run(&["import", "-q", text(&path), "cut"]);
        let name = format!("{len} bytes");
        match ends.iter().position(|end| *end == len.min(*ends.last().unwrap())) {
            Some(count) => {
                assert_eq!(said.status, Some(0), "{name}: {said:?}");
                assert_eq!(layer_listing(&victim, "cut").len(), count, "{name}");
                victim.forget("cut");
            }
            None => {
                said.is_refusal_with(&[text(&path), "truncated"]).unwrap();
                refused += 1;
            }
        }
        victim.assert_untouched(&name, &before);
    }
    assert!(refused > 10, "only {refused} cuts were refused");
}

#[test]
fn a_gzip_stream_cut_anywhere_is_refused() {
    every_cut_is_refused("cut.tar.gz", &gzip(&tar(&entries())));
}

#[test]
fn a_zstd_stream_cut_anywhere_is_refused() {
    every_cut_is_refused("cut.tar.zst", &zstd(&tar(&entries())));
}

/// 200 places, spread by a generator with a fixed start. Below five bytes no stream says how it is packed.
fn every_cut_is_refused(name: &str, whole: &[u8]) {
    let _watch = watchdog(120);
    let victim = Victim::new();
    let before = victim.picture();
    let numbers = pseudo_random(800);
    for bytes in numbers.chunks_exact(4) {
        let number = u32::from_le_bytes(bytes.try_into().unwrap());
        let len = 5 + usize::try_from(number).unwrap() % (whole.len() - 5);
        let path = victim.write(name, &whole[..len]);
        let said = victim.run(&["import", "-q", text(&path), "cut"]);
        said.is_refusal_with(&[text(&path)]).unwrap_or_else(|e| panic!("{len} bytes: {e}"));
        victim.assert_untouched(&format!("{len} bytes"), &before);
    }
}

/// The header's name, time and system are under no checksum: those bytes may change and the archive be the same.
#[test]
fn a_changed_byte_of_a_packed_stream_is_refused_or_changes_nothing() {
    let _watch = watchdog(120);
    let victim = Victim::new();
    let before = victim.picture();
    for (name, whole) in [("bit.gz", gzip(&tar(&entries()))), ("bit.zst", zstd(&tar(&entries())))] {
        let mut same = 0;
        for at in (4..whole.len()).step_by(whole.len() / 100) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            let path = victim.write(name, &bytes);
            let said = victim.run(&["import", "-q", text(&path), "bit"]);
            if said.status == Some(0) {
                assert_eq!(
                    layer_listing(&victim, "bit").len(),
                    entries().len(),
                    "{name}: byte {at}"
                );
                victim.forget("bit");
                same += 1;
            } else {
                said.is_refusal_with(&[text(&path)]).unwrap();
            }
            victim.assert_untouched(name, &before);
        }
        assert!(same <= 3, "{name}: {same} of 100 changed bytes were not seen");
    }
}

#[test]
fn packed_streams_end_where_they_say() {
    let _watch = watchdog(120);
    let archive = tar(&[file("f", "x")]);
    let (gz, zst) = (gzip(&archive), zstd(&archive));
    let cut_into =
        |pack: fn(&[u8]) -> Vec<u8>| archive.chunks(300).flat_map(pack).collect::<Vec<u8>>();
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..], &zst].concat();
    let whole = Want::Layer(&["f: file x"]);
    let row = |name, archive, want| Row { name, archive, want };
    let refused = |words| Want::Refused(words);
    check_all(&[
        row("many gzip members", cut_into(gzip), Want::Layer(&["f: file x"])),
        row("many zstd frames", cut_into(zstd), Want::Layer(&["f: file x"])),
        row("a zstd frame to be skipped", skippable, whole),
        row("a wrong gzip checksum", flipped(&gz, gz.len() - 8), refused(&["corrupt"])),
        row("a wrong gzip length", flipped(&gz, gz.len() - 4), refused(&["corrupt"])),
        row("a wrong zstd checksum", flipped(&zst, zst.len() - 1), refused(&["checksum"])),
        row(
            "garbage after gzip",
            [&gz[..], b"ten bytes of garbage"].concat(),
            refused(&["invalid gzip header"]),
        ),
        row("three bytes after gzip", [&gz[..], b"bit"].concat(), refused(&["unexpected end"])),
        row("zeros after gzip", [&gz[..], &[0; 512]].concat(), refused(&["invalid gzip header"])),
        row("garbage after zstd", [&zst[..], b"garbage"].concat(), refused(&["Unknown frame"])),
        row("xz", b"\xfd7zXZ\0\0\x04".repeat(20), refused(&["packed with xz", "gzip or zstd"])),
        row(
            "gzip of text",
            gzip(&b"text ".repeat(500)),
            refused(&["header at byte 0", "checksum"]),
        ),
        row("gzip within gzip", gzip(&gz), refused(&["truncated"])),
    ]);
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

/// 10 GiB of zeros as one file, from some kilobytes or megabytes: a hole in the store.
#[test]
fn a_bomb_of_zeros_is_a_hole_within_bounded_memory() {
    let _watch = watchdog(300);
    let is_soak = std::env::var_os("LAYERFS_SOAK").is_some();
    // Once is enough in a quick run: behind the unpacking both are one.
    let second_gib = if is_soak { 10 } else { 1 };
    for (name, pack, gib) in
        [("bomb.gz", gzip as fn(&[u8]) -> Vec<u8>, 10), ("bomb.zst", zstd, second_gib)]
    {
        let victim = Victim::new();
        let mib = gib << 10;
        let head = open_ended(&[file("zeros", "").claims(mib << 20)]);
        let path =
            victim.write(name, &bomb(pack, &head, usize::try_from(mib).unwrap(), &[0; 1024]));
        let packed = path.metadata().unwrap().len();
        assert!(packed < 12 << 20, "{name} is no bomb: {packed} bytes");
        let said = victim.measured(&["import", "-q", text(&path), "bomb"]);
        assert_eq!(said.status, Some(0), "{name}: {said:?}");
        assert!(said.peak_kib < 128 << 10, "{name}: {} KiB of memory", said.peak_kib);
        assert_eq!(layer_listing(&victim, "bomb"), [format!("zeros: file of {}", mib << 20)]);
        let taken = allocated(&victim.root());
        assert!(taken < 1 << 20, "{name}: the store takes {taken} bytes");
    }
}

#[test]
fn a_bomb_of_headers_is_refused_within_bounded_memory() {
    let _watch = watchdog(120);
    let victim = Victim::new();
    let before = victim.picture();
    for (name, kind) in [("records", b'x'), ("globals", b'g'), ("name", b'L'), ("link", b'K')] {
        let claim = super::tarball::special("header", kind).claims(10 << 30);
        let path = victim.write(name, &bomb(gzip, &open_ended(&[claim]), 10 << 10, &[0; 1024]));
        let said = victim.measured(&["import", "-q", text(&path), "bomb"]);
        said.is_refusal_with(&[text(&path), "claims 10737418240 bytes, more than 1 MiB"]).unwrap();
        assert!(said.peak_kib < 128 << 10, "{name}: {} KiB of memory", said.peak_kib);
        std::fs::remove_file(&path).unwrap();
        victim.assert_untouched(name, &before);
    }
}

/// Bytes on disk of all files below a directory.
fn allocated(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| match path.symlink_metadata().unwrap() {
            stat if stat.is_dir() => allocated(&path),
            stat => stat.blocks() * 512,
        })
        .sum()
}
