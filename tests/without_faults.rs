//! The release binary, as `make install` builds it: without the fault points.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that can't go on should fail there

use std::process::Command;

/// What the fault points read from the environment: a binary that has them has this text.
const MARK: &[u8] = b"LAYERFS_FAULT";

#[test]
fn the_release_binary_has_no_fault_points() {
    let binary = build("release", &["--release"]);
    assert!(!has_mark(&binary), "the release binary reads LAYERFS_FAULT");
}

/// The control: the binary of the tests has them, and would be found out.
#[test]
#[cfg(feature = "fault")]
fn the_binary_under_test_has_fault_points() {
    assert!(has_mark(&std::fs::read(env!("CARGO_BIN_EXE_layerfs")).unwrap()));
}

fn build(profile: &str, flags: &[&str]) -> Vec<u8> {
    let here = env!("CARGO_MANIFEST_DIR");
    // The directory of the binary under test is `<target>/debug`, wherever the target directory is.
    let debug = std::path::Path::new(env!("CARGO_BIN_EXE_layerfs")).parent().unwrap();
    let target = debug.parent().unwrap();
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--locked",
            "--quiet",
            "--package",
            "layerfs",
            "--bin",
            "layerfs",
            "--target-dir",
        ])
        .arg(target)
        .args(flags)
        .current_dir(here)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    std::fs::read(target.join(profile).join("layerfs")).unwrap()
}

fn has_mark(binary: &[u8]) -> bool {
    binary.windows(MARK.len()).any(|window| window == MARK)
}
