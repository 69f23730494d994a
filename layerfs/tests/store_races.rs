//! What others do to a store while an import or a repair is under way.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that can't go on should fail there

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use layerfs_driver::store::digest::Digest;
use layerfs_driver::store::{LayerOutcome, Progress, Repair, RootfsInput, Store};

/// Does something to the store between the staging of a layer and its publication.
struct BeforePublishing<F>(F);

impl<F: Fn() + Sync> Progress for BeforePublishing<F> {
    fn begin(&self, _: &Digest, _: Option<u64>) {}
    fn advance(&self, _: &Digest, _: u64) {}
    fn end(&self, _: &Digest, _: LayerOutcome) {
        (self.0)();
    }
}

/// An archive with one file that is shared by all, and one of its own.
fn archive(own: &str) -> RootfsInput {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, contents) in [("shared", &[7_u8; 10_000][..]), ("own", own.as_bytes())] {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, contents).unwrap();
    }
    RootfsInput::Archive(Box::new(Cursor::new(archive.into_inner().unwrap())))
}

fn object_path(root: &Path, digest: &Digest) -> PathBuf {
    let hex = digest.hex();
    root.join("objects").join(&hex[..2]).join(hex)
}

#[test]
fn an_import_does_not_name_an_object_that_repair_took_away_under_it() {
    let scratch = tempfile::tempdir().unwrap();
    let store = Store::open(scratch.path()).unwrap();
    store.import_rootfs(archive("a"), "a", None, &BeforePublishing(|| ())).unwrap();
    let object = object_path(scratch.path(), &Digest::of(&[7; 10_000]));
    std::fs::remove_file(&object).unwrap();
    std::fs::write(&object, [8; 10_000]).unwrap();
    // The second import counts on the object by its size; then repair finds it damaged and sets it aside.
    let repair = || {
        let report = store.fsck(Repair::SetAside).unwrap();
        assert!(report.findings.iter().any(|found| found.what.starts_with("object")));
    };
    let refused = store.import_rootfs(archive("b"), "b", None, &BeforePublishing(repair));
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("import again"), "{error}");
    // The next import of the same brings the object again.
    let id = store.import_rootfs(archive("b"), "b", None, &BeforePublishing(|| ())).unwrap();
    let told = store.fsck(Repair::Report).unwrap().findings;
    let of_it = format!("image {}", id.short());
    assert!(told.iter().all(|found| found.what != of_it), "{told:?}");
    assert!(object.exists());
}

#[test]
fn gc_gets_its_turn_beside_checks_that_never_pause() {
    let scratch = tempfile::tempdir().unwrap();
    let store = Store::open(scratch.path()).unwrap();
    store.import_rootfs(archive("a"), "a", None, &BeforePublishing(|| ())).unwrap();
    let (over, checks) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        // Each check holds the store's presence from its beginning to its end; there are always some under way.
        for _ in 0..8 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    store.fsck(Repair::Report).unwrap();
                    checks.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while checks.load(Ordering::Relaxed) < 8 {
            std::thread::yield_now();
        }
        let collected = scope.spawn(|| (0..20).try_for_each(|_| store.collect().map(drop)));
        // Without turns, gc waits for an instant at which nobody is present.
        while !collected.is_finished() && checks.load(Ordering::Relaxed) < 20_000 {
            std::thread::yield_now();
        }
        let in_time = collected.is_finished();
        over.store(true, Ordering::Relaxed);
        collected.join().unwrap().unwrap();
        println!("20 collections beside {} checks", checks.load(Ordering::Relaxed));
        assert!(in_time);
    });
}
