//! A stack of directories is the tree that the kernel's overlayfs makes of the same directories.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that can't go on should fail there

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use layerfs_driver::lower::{DirStack, Lower, Redirects, StackOptions, WhNames};
use layerfs_driver::tree::MarkSpace;
use proptest::prop_assert_eq;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use rustix::mount::{MountFlags, UnmountFlags};

#[path = "lower_trees/grow.rs"]
mod grow;
#[path = "lower_trees/seen.rs"]
mod seen;

const TRUSTED: StackOptions = StackOptions {
    space: MarkSpace::Trusted,
    redirects: Redirects::Follow,
    wh_names: WhNames::Plain,
};

fn stack(layers: &[PathBuf], options: StackOptions) -> Lower {
    Lower::Dirs(DirStack::open_paths(layers, options).unwrap())
}

/// Runs this test again in a mount namespace of its own. Answers whether this is that run.
fn in_own_namespace(test: &str) -> bool {
    if std::env::var_os("LAYERFS_TEST_NAMESPACE").is_some() {
        return true;
    }
    if !rustix::process::geteuid().is_root() {
        skip(test, "mounting overlayfs needs root");
        return false;
    }
    let done = Command::new("unshare")
        .args(["-m", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("LAYERFS_TEST_NAMESPACE", "1")
        .output()
        .unwrap();
    let told = [done.stdout, done.stderr].concat();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&told));
    false
}

fn skip(test: &str, why: &str) {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{test}: {why}");
    writeln!(std::io::stderr(), "skipped: {test}: {why}").expect("standard error takes a line");
}

/// A kernel overlayfs, read-only, over the same directories. Gone when dropped.
struct Overlay(PathBuf);

impl Overlay {
    fn mount(at: &Path, layers: &[PathBuf]) -> Overlay {
        std::fs::create_dir_all(at).unwrap();
        let dirs: Vec<&str> = layers.iter().map(|dir| dir.to_str().unwrap()).collect();
        let options = format!("lowerdir={},redirect_dir=follow,metacopy=on", dirs.join(":"));
        let options = std::ffi::CString::new(options).unwrap();
        rustix::mount::mount("overlay", at, "overlay", MountFlags::RDONLY, Some(&*options))
            .unwrap();
        Overlay(at.to_owned())
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.0, UnmountFlags::DETACH).unwrap();
    }
}

/// Grows layers on a disk, the first on top; below all, one that is empty, since the kernel wants two.
fn grown(scratch: &Path, layers: &[Vec<grow::Step>]) -> Vec<PathBuf> {
    let dirs: Vec<PathBuf> = (0..=layers.len()).map(|n| scratch.join(format!("l{n}"))).collect();
    for dir in &dirs {
        std::fs::create_dir(dir).unwrap();
    }
    for (dir, steps) in dirs.iter().zip(layers) {
        grow::grow(dir, steps);
    }
    dirs
}

#[test]
fn a_stack_is_what_overlayfs_makes_of_it() {
    if !in_own_namespace("a_stack_is_what_overlayfs_makes_of_it") {
        return;
    }
    let cases = std::env::var("PROPTEST_CASES").map_or(150, |n| n.parse().unwrap());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let run = runner.run(&grow::layers(), |layers| both(&layers).map(|_| ()));
    if let Err(error) = run {
        panic!("{error}");
    }
}

/// The tree that both sides make of the layers.
fn both(layers: &[Vec<grow::Step>]) -> Result<seen::Tree, TestCaseError> {
    let scratch = tempfile::tempdir().unwrap();
    let dirs = grown(scratch.path(), layers);
    let ours = seen::of_lower(&stack(&dirs, TRUSTED));
    // Who asked for many names that nobody has gets the others from the layers alone that have them.
    let after_misses = seen::of_lower_asked(&stack(&dirs, TRUSTED), 60);
    prop_assert_eq!(&ours, &after_misses);
    let overlay = Overlay::mount(&scratch.path().join("m"), &dirs);
    match seen::of_directory(&overlay.0) {
        Ok(kernel) => compare(&ours, &kernel).map(|()| ours),
        // In a directory with whiteouts by mark, a file whose data lies nowhere keeps the kernel from listing at all.
        Err(_) if ours.values().any(|seen| *seen == seen::Seen::Broken) => Ok(ours),
        Err(error) => Err(TestCaseError::fail(error.to_string())),
    }
}

fn compare(ours: &seen::Tree, kernel: &seen::Tree) -> Result<(), TestCaseError> {
    for path in ours.keys().chain(kernel.keys()) {
        let (ours, kernel) = (ours.get(path), kernel.get(path));
        // The one difference: a file whose data lies nowhere is absent to the kernel, and an error here.
        let is_told = ours == Some(&seen::Seen::Broken) && kernel.is_none();
        if ours != kernel && !is_told {
            return Err(TestCaseError::fail(format!("{path}\n ours {ours:?}\n kernel {kernel:?}")));
        }
    }
    Ok(())
}

/// Meetings that are too rare among generated layers: on the path of one redirect there is another mark.
#[test]
fn redirects_lead_over_redirects_and_opaque_directories() {
    use grow::Thing::{Directory, File, Moved, Opaque, Sibling};
    if !in_own_namespace("redirects_lead_over_redirects_and_opaque_directories") {
        return;
    }
    let (a, b, c, e) = (0, 1, 2, 3);
    let top = vec![(vec![a], Directory), (vec![e], Moved(vec![a, b]))];
    let file = File(10, 0o644);
    let over_opaque = [
        top.clone(),
        vec![(vec![a], Opaque), (vec![a, b], Moved(vec![c]))],
        vec![(vec![c, a], file.clone())],
    ];
    let over_sibling = [
        top.clone(),
        vec![(vec![a], Sibling(c)), (vec![a, b], Directory)],
        vec![(vec![c, b, a], file.clone())],
    ];
    let over_absolute = [
        top.clone(),
        vec![(vec![b, c], Directory), (vec![a], Moved(vec![b, a])), (vec![a, b], Directory)],
        vec![(vec![b, a, b], Directory), (vec![b, a, b, a], file.clone())],
    ];
    let into_opaque =
        [top, vec![(vec![a], Opaque), (vec![a, b], Directory)], vec![(vec![a, b, a], file)]];
    let leads = |layers: &[Vec<grow::Step>]| both(layers).unwrap().contains_key("/\\xc3\\xa9/a");
    assert!(leads(&over_opaque), "an absolute redirect goes on below an opaque directory");
    assert!(leads(&over_sibling), "the rest of the path is under the other name");
    assert!(leads(&over_absolute), "the rest of the path is at the other place");
    assert!(!leads(&into_opaque), "an opaque directory on the way ends it");
}
