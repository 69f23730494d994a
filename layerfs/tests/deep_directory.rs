//! A directory too deep for an archive is refused in words, and not by the end of the process.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that can't go on should fail there

use layerfs_driver::store::digest::Digest;
use layerfs_driver::store::{LayerOutcome, Progress, RootfsInput, Store};
use layerfs_driver::sys::dir;
use layerfs_driver::sys::file::Symlinks;

struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &Digest, _: Option<u64>) {}
    fn advance(&self, _: &Digest, _: u64) {}
    fn end(&self, _: &Digest, _: LayerOutcome) {}
}

#[test]
fn a_directory_2500_deep_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let store = Store::open(&scratch.path().join("store")).unwrap();
    let top = scratch.path().join("top");
    std::fs::create_dir(&top).unwrap();
    let mut deepest = dir::open_path(top.as_path()).unwrap();
    for _ in 0..2500 {
        dir::make(&deepest, "d", 0o755).unwrap();
        deepest = dir::open(&deepest, "d", Symlinks::Stop).unwrap();
    }
    let input = RootfsInput::Directory(dir::open_path(top.as_path()).unwrap());
    let error = store.import_rootfs(input, "test", None, &Silent).unwrap_err();
    let error = chain(&error);
    // Each level holds a descriptor: where there are fewer of them than levels, that is what is told.
    let told = ["more than 2048 directories deep", "Too many open files"];
    assert!(told.iter().any(|words| error.contains(words)), "{error}");
    // Deeper than what removes the scratch directory may go on a test's small stack.
    assert!(std::process::Command::new("rm").arg("-rf").arg(&top).status().unwrap().success());
}

/// What went wrong, with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let below = error.source().map(chain).unwrap_or_default();
    format!("{error}: {below}")
}
