//! An imported directory is what lstat says of it, with one of every class of file in it.

use std::error::Error;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::imported::Imported;
use super::{assert_same, classes, said};
use crate::support::rights::have_loop_devices;
use crate::support::{Scratch, need, need_root, watchdog};

fn script(words: &[&Path]) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/import_oracle/directory.py");
    let output = Command::new("python3").arg(script).args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn mount(words: &[&str], place: &Path) {
    let output = Command::new("mount").args(words).arg(place).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Imports `tree` into a store at `store` and compares the layer with what lstat says of all but `left_out`.
fn agrees(tree: &Path, store: &Path, left_out: &[&Path]) -> (Imported, Value) {
    let imported = Imported::of_directory(store, File::open(tree).unwrap().into()).unwrap();
    let words = [&[Path::new("say"), tree], left_out].concat();
    let wanted: Value = serde_json::from_str(&script(&words)).unwrap();
    let layer = imported.image().layers[0].diff_id;
    let found = said::by_index(&imported.store, &imported.store.layer_index(&layer).unwrap());
    assert_same("the directory", &found, &wanted);
    (imported, found)
}

/// A tree with one of every class of file, on a file system of its own: hard links as they are, other file systems and the
/// store left out, whatever inode numbers they have.
#[test]
fn an_imported_directory_is_what_lstat_says_of_it() {
    need!("python3", "mkfs.ext4");
    need_root!();
    if !have_loop_devices() {
        return;
    }
    let _watch = watchdog(120);
    let scratch = Scratch::ext4(64);
    let (tree, store) = (scratch.path(), scratch.join("dir/store"));
    script(&[Path::new("make"), tree]);
    let other = scratch.join("other");
    fs::create_dir(&other).unwrap();
    mount(&["-t", "tmpfs", "none"], &other);
    let inode = PathBuf::from(fs::metadata(scratch.join("file")).unwrap().ino().to_string());
    let same = script(&[Path::new("same"), &inode, &other]);
    let stranger = scratch.join("stranger");
    fs::write(&stranger, "covered").unwrap();
    mount(&["--bind", same.trim_end()], &stranger);
    let (imported, found) = agrees(tree, &store, &[&other, &stranger, &store]);
    let found = found.as_object().unwrap();
    for (class, is_there) in classes(found) {
        assert!(is_there, "the tree has no {class}");
    }
    assert!(imported.has_sparse(), "the tree has no sparse file");
    assert!(
        found.contains_key(&said::hex(b"other")) && found.contains_key(&said::hex(b"dir/store"))
    );
    assert!(
        !found.contains_key(&said::hex(b"stranger")) && !found.contains_key(&said::hex(b"socket"))
    );
}

/// Files of a layer of overlayfs have another device number than its directories, and belong to it all the same.
#[test]
fn an_imported_directory_may_lie_on_overlayfs() {
    need!("python3", "mkfs.ext4");
    need_root!();
    if !have_loop_devices() {
        return;
    }
    let _watch = watchdog(120);
    let (scratch, base) = (Scratch::ext4(64), Scratch::on_disk());
    script(&[Path::new("make"), scratch.path()]);
    let (upper, merged) = (base.join("tmpfs"), base.join("merged"));
    fs::create_dir(&upper).unwrap();
    fs::create_dir(&merged).unwrap();
    mount(&["-t", "tmpfs", "none"], &upper);
    fs::create_dir(upper.join("upper")).unwrap();
    fs::create_dir(upper.join("work")).unwrap();
    let (lower, upper) = (scratch.path().display(), upper.display());
    let options = format!("lowerdir={lower},upperdir={upper}/upper,workdir={upper}/work,xino=off");
    mount(&["-t", "overlay", "overlay", "-o", &options], &merged);
    fs::write(merged.join("new"), "of the upper").unwrap();
    let devices = ["", "file", "new"].map(|name| fs::metadata(merged.join(name)).unwrap().dev());
    assert!(devices[0] != devices[1], "{devices:?}: this overlayfs shows nothing");
    agrees(&merged, &base.join("store"), &[]);
}

/// A subvolume has a device number of its own, and lies there as directories do; what is mounted does not.
#[test]
fn an_imported_directory_has_its_subvolumes_of_btrfs() {
    need!("python3", "mkfs.btrfs", "btrfs");
    need_root!();
    if !have_loop_devices() {
        return;
    }
    let _watch = watchdog(120);
    let (scratch, base) = (Scratch::btrfs(256), Scratch::on_disk());
    let (tree, other) = (scratch.join("tree"), scratch.join("tree/other"));
    let subvolume = |words: &[&str]| {
        let mut made = Command::new("btrfs");
        let output =
            made.arg("subvolume").args(words).current_dir(scratch.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    subvolume(&["create", "tree"]);
    script(&[Path::new("make"), &tree]);
    subvolume(&["snapshot", "tree", "tree/snapshot"]);
    fs::create_dir(&other).unwrap();
    mount(&["-t", "tmpfs", "none"], &other);
    let (_, found) = agrees(&tree, &base.join("store"), &[&other]);
    let found = found.as_object().unwrap();
    for name in [&b"other"[..], b"snapshot/dir/large"] {
        assert!(found.contains_key(&said::hex(name)), "{}", name.escape_ascii());
    }
}

/// Of a tree with what would be a whiteout in an image nothing is imported.
fn is_refused(name: &str, make: impl FnOnce(&Path)) {
    let scratch = Scratch::new();
    let tree = scratch.join("tree");
    fs::create_dir_all(tree.join("below")).unwrap();
    make(&tree.join("below").join(name));
    let imported = Imported::of_directory(&scratch.join("store"), File::open(tree).unwrap().into());
    let error = imported.err().unwrap();
    let causes = std::iter::successors(error.source(), |error| (*error).source());
    let told = causes.fold(error.to_string(), |told, cause| format!("{told}: {cause}"));
    assert!(told.contains(&format!("`below/{name}` would be a whiteout in an image")), "{told}");
}

#[test]
fn a_directory_with_a_name_of_a_whiteout_is_refused() {
    let _watch = watchdog(120);
    is_refused(".wh.name", |path| fs::write(path, "").unwrap());
}

#[test]
fn a_directory_with_a_device_that_is_a_whiteout_is_refused() {
    need_root!();
    let _watch = watchdog(120);
    is_refused("null", |path| {
        let made = Command::new("mknod").arg(path).args(["c", "0", "0"]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    });
}
