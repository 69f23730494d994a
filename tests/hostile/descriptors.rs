//! A process that meets many corrupt layers keeps no descriptor of any.

use std::io::Cursor;
use std::sync::atomic::{AtomicUsize, Ordering};

use layerfs_driver::store::digest::Digest;
use layerfs_driver::store::source::{self, Pick, SourceSpec, Wanted};
use layerfs_driver::store::{LayerOutcome, Progress, RootfsInput, Store};
use std::os::fd::AsFd;

use super::layout::Layout;
use super::packing::gzip;
use super::tarball::{file, hard, tar};
use crate::support::{Scratch, watchdog};

/// Counts the layers that were begun.
#[derive(Default)]
struct Counted(AtomicUsize);

impl Progress for Counted {
    fn begin(&self, _: &Digest, _: Option<u64>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn advance(&self, _: &Digest, _: u64) {}
    fn end(&self, _: &Digest, _: LayerOutcome) {}
}

/// The descriptors of this process that lead below a directory: other tests run beside.
fn held_below(place: &std::path::Path) -> Vec<std::path::PathBuf> {
    let links = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let targets = links.filter_map(|link| std::fs::read_link(link.path()).ok());
    targets.filter(|target| target.starts_with(place)).collect()
}

#[test]
fn five_hundred_corrupt_imports_leave_no_descriptor() {
    let _watch = watchdog(120);
    let scratch = Scratch::new();
    let store = Store::open(&scratch.join("store")).unwrap();
    let good = tar(&[file("large", vec![3; 100_000]), file("f", "x")]);
    let bad = tar(&[file("large", vec![4; 100_000]), hard("h", "gone")]);
    let mut layout = Layout::new(&scratch.join("layout"));
    layout.set_layers(&[gzip(&good), gzip(&bad)], &[good.clone(), bad.clone()]);
    let words = format!("oci:{}", scratch.join("layout").display());
    let spec = SourceSpec::parse(words.as_ref()).unwrap();
    let progress = Counted::default();
    let packed = gzip(&good);
    let before = held_below(scratch.path());
    for round in 0..250 {
        let cut = packed[..5 + round % (packed.len() - 5)].to_vec();
        let archive = RootfsInput::Archive(Box::new(Cursor::new(cut)));
        store.import_rootfs(archive, "cut", None, &progress).expect_err("a cut archive");
        let source = source::open(&spec, Wanted::Host, store.spool_dir().as_fd()).unwrap();
        let image = source.images(Pick::One(None)).unwrap().remove(0);
        store.import_image(&source, &image, &[], &progress).expect_err("a layer with a bad link");
    }
    assert!(progress.0.load(Ordering::Relaxed) >= 500, "every import read a layer");
    assert_eq!(held_below(scratch.path()), before);
    assert_eq!(std::fs::read_dir(scratch.join("store/tmp")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(scratch.join("store/layers")).unwrap().count(), 0);
}
