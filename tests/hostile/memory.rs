//! One large file: its import has a bounded amount of memory, however it comes.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use layerfs_driver::store::digest::Hasher;
use layerfs_driver::store::index::{Body, Ordinal, Target};
use serde_json::json;

use super::layout::Layout;
use super::store::{Said, Victim, text};
use super::tarball::{file, global, open_ended};
use crate::support::watchdog;

const LEN_BYTES: u64 = 2 << 30;
const PEAK_MAX_KIB: u64 = 128 << 10;

/// An archive of one file of 2 GiB that no packing makes smaller, piece by piece.
fn large_archive(out: &mut dyn Write) {
    out.write_all(&open_ended(&[file("large", "").claims(LEN_BYTES)])).unwrap();
    let mut piece = super::packed::pseudo_random(1 << 20);
    for number in 0..LEN_BYTES >> 20 {
        piece[..8].copy_from_slice(&number.to_le_bytes());
        out.write_all(&piece).unwrap();
    }
    out.write_all(&[0; 1024]).unwrap();
}

fn assert_whole(victim: &Victim, said: &Said) {
    assert_eq!(said.status, Some(0), "{said:?}");
    let store = victim.store();
    let image = store.find("large").unwrap().image;
    let index = store.layer_index(&image.layers[0].diff_id).unwrap();
    let Some(Target::Inode(ordinal, _)) = index.lookup(Ordinal::ROOT, b"large").unwrap() else {
        panic!("no file `large`");
    };
    let inode = index.inode(ordinal).unwrap();
    assert_eq!(inode.size, LEN_BYTES);
    assert!(matches!(inode.body, Body::Object { sparse: false, .. }), "{inode:?}");
    victim.assert_clean("a large file");
    println!("2 GiB: {} MiB at its peak", said.peak_kib >> 10);
    assert!(said.peak_kib <= PEAK_MAX_KIB, "{} KiB of memory", said.peak_kib);
}

#[test]
fn one_file_of_2_gib_from_standard_input_takes_at_most_128_mib() {
    let _watch = watchdog(300);
    let victim = Victim::on_disk();
    let said = victim.fed(&["import", "-q", "-", "large"], large_archive);
    assert_whole(&victim, &said);
}

#[test]
fn one_file_of_2_gib_in_a_gzipped_layer_takes_at_most_128_mib() {
    let _watch = watchdog(300);
    let victim = Victim::on_disk();
    let mut layout = Layout::new(&victim.path("layout"));
    let blob = layout.dir.join("blobs/sha256/large");
    let blob_file = Summed::over(BufWriter::new(File::create(&blob).unwrap()));
    let mut archive = Summed::over(GzEncoder::new(blob_file, Compression::fast()));
    large_archive(&mut archive);
    let diff_id = archive.sum.finish();
    let packed = archive.out.finish().unwrap();
    let (digest, size) = (packed.sum.clone().finish(), packed.len);
    drop(packed);
    std::fs::rename(&blob, blob.with_file_name(digest.hex())).unwrap();
    layout.config["rootfs"]["diff_ids"] = json!([diff_id.to_string()]);
    layout.manifest["layers"] = json!([{ "digest": digest.to_string(), "size": size,
        "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip" }]);
    layout.seal();
    let place = format!("oci:{}", text(&layout.dir));
    let said = victim.measured(&["pull", "-q", "--name", "large", &place]);
    assert_whole(&victim, &said);
}

/// One header may speak of all entries: what it says is kept once, however many they are and however they are merged.
#[test]
fn attributes_of_all_entries_are_kept_once() {
    let _watch = watchdog(120);
    let victim = Victim::new();
    let said = victim.fed(&["import", "-q", "-", "attributes"], |out| {
        let value = "v".repeat(50_000);
        out.write_all(&open_ended(&[global("SCHILY.xattr.user.a", &value)])).unwrap();
        out.write_all(&open_ended(&[global("SCHILY.xattr.user.b", &value)])).unwrap();
        for number in 0..20_000 {
            out.write_all(&open_ended(&[file(format!("d/{number}"), "")])).unwrap();
        }
        out.write_all(&[0; 1024]).unwrap();
    });
    assert_eq!(said.status, Some(0), "{said:?}");
    println!("20,000 files of 100 KB of attributes: {} MiB at its peak", said.peak_kib >> 10);
    assert!(said.peak_kib <= PEAK_MAX_KIB, "{} KiB of memory", said.peak_kib);
    victim.assert_clean("attributes of all entries");
}

/// Passes bytes on, and keeps their digest and number.
struct Summed<W> {
    out: W,
    sum: Hasher,
    len: u64,
}

impl<W> Summed<W> {
    fn over(out: W) -> Self {
        Summed { out, sum: Hasher::new(), len: 0 }
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.out.write(bytes)?;
        self.sum.update(&bytes[..len]);
        self.len += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
