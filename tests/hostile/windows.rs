//! zstd frames that are to be unpacked with much memory: a large window is had by one layer at a time, a huge one refused.

use std::io::Write;

use super::layout::Layout;
use super::packing::zstd;
use super::row::layer_listing;
use super::store::{Victim, text};
use super::tarball::{file, open_ended, tar};
use crate::support::watchdog;

/// The window of 128 MiB, and what an import takes besides.
const PEAK_MAX_KIB: u64 = (128 + 64) << 10;

/// One frame of an archive of a file of zeros of `mib` MiB, packed piece by piece so that it does not say its length.
fn zeros(name: &str, mib: usize) -> (Vec<u8>, Vec<u8>) {
    let bytes =
        [open_ended(&[file(name, "").claims((mib as u64) << 20)]), vec![0; (mib << 20) + 1024]]
            .concat();
    let mut packer = zstd::Encoder::new(Vec::new(), 1).unwrap();
    bytes.chunks(1 << 20).for_each(|piece| packer.write_all(piece).unwrap());
    (packer.finish().unwrap(), bytes)
}

/// The same frame with a header that says another window: 2 to the power of `log` bytes.
fn with_window(mut frame: Vec<u8>, log: u8) -> Vec<u8> {
    assert_eq!(frame[4] & 0x20, 0, "a frame of one segment has no window");
    frame[5] = (log - 10) << 3;
    frame
}

#[test]
fn layers_with_windows_of_128_mib_take_one_window_at_a_time() {
    let _watch = watchdog(120);
    let victim = Victim::new();
    let layers = ["a", "b", "c", "d"].map(|name| zeros(name, 192));
    let packed = layers.each_ref().map(|(frame, _)| with_window(frame.clone(), 27));
    let mut layout = Layout::new(&victim.path("layout"));
    layout.set_layers(&packed, &layers.map(|(_, archive)| archive));
    let place = format!("oci:{}", text(&layout.dir));
    let said = victim.measured(&["pull", "-q", "--name", "windows", &place]);
    assert_eq!(said.status, Some(0), "{said:?}");
    println!("4 windows of 128 MiB: {} MiB at its peak", said.peak_kib >> 10);
    assert!(said.peak_kib <= PEAK_MAX_KIB, "{} KiB of memory", said.peak_kib);
    victim.assert_clean("windows");
}

/// The window is looked at in every frame, before any memory is had for it.
#[test]
fn a_window_of_1_gib_is_refused_with_the_cure_within_bounded_memory() {
    let _watch = watchdog(120);
    let victim = Victim::new();
    let before = victim.picture();
    let (frame, archive) = zeros("zeros", 1);
    let large = with_window(frame, 30);
    let later = [zstd(&archive[..512]), large.clone()].concat();
    for (name, bytes) in [("first.tar.zst", &large), ("later.tar.zst", &later)] {
        let path = victim.write(name, bytes);
        let words = ["zstd window of 1024 MiB, more than 128 MiB", "`zstd --long=27`"];
        for verb in [&["import", "-q", text(&path), "x"][..], &["load", "-q", "-i", text(&path)]] {
            let said = victim.measured(verb);
            said.is_refusal_with(&[&[text(&path)][..], &words].concat()).unwrap();
            assert!(said.peak_kib < 64 << 10, "{verb:?}: {} KiB of memory", said.peak_kib);
        }
        std::fs::remove_file(&path).unwrap();
        victim.assert_untouched(name, &before);
    }
}

/// Frames of every kind follow each other: of one segment, empty, to be skipped, shorter than a header may be.
#[test]
fn frames_of_all_kinds_are_one_stream() {
    let _watch = watchdog(120);
    let victim = Victim::new();
    let archive = tar(&[file("f", [7; 3000]), file("g", "x")]);
    let skipped =
        [&[0x51, 0x2a, 0x4d, 0x18, 0, 0, 0, 0][..], &[0x5f, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9]];
    let mut stream = skipped.concat();
    for piece in archive.chunks(700) {
        stream.extend(zstd::bulk::compress(piece, 3).unwrap());
        stream.extend(zstd(b""));
        stream.extend(skipped[0]);
    }
    let path = victim.write("frames.tar.zst", &stream);
    let said = victim.run(&["import", "-q", text(&path), "frames"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    let found = layer_listing(&victim, "frames");
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[1], "g: file x");
    victim.assert_clean("frames");
}
