//! What several mounts show is in memory once.

use std::path::PathBuf;
use std::process::Command;

use crate::support::rights::have_given_files;
use crate::support::{figure, need, need_root, soak, watchdog};
use crate::trees::{self, Disk, ran};

/// A file of a store is in memory once, whichever mounts it is read through: of the same image, read-only or not, and of
/// directories.
#[test]
fn what_two_mounts_of_an_image_read_is_in_memory_once() {
    need_root!();
    need!("python3");
    if !have_given_files() {
        return;
    }
    let _watch = watchdog(240);
    let size_mib: u32 = if soak() { 500 } else { 48 };
    let Some(disk) = trees::disk(Disk::Ext4, 4 * size_mib + 128) else { return };
    let layerfs = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_layerfs"));
        command.args(words).env("LAYERFS_ROOT", disk.join("store")).current_dir(disk.path());
        ran(&mut command);
    };
    for dir in ["lower", "first", "second", "third", "fourth", "fifth"] {
        std::fs::create_dir(disk.join(dir)).unwrap();
    }
    let bytes = vec![b'x'; usize::try_from(size_mib).unwrap() << 20];
    std::fs::write(disk.join("lower/data"), &bytes).unwrap();
    ran(Command::new("sync").arg("-f").arg(disk.join("lower/data")));
    layerfs(&["import", "lower", "shared:1"]);
    layerfs(&["mount", "--read-only", "shared:1", "first"]);
    layerfs(&["mount", "--read-only", "shared:1", "second"]);
    layerfs(&["mount", "shared:1", "third"]);
    layerfs(&["mount", "-o", "lowerdir=lower", "fourth"]);
    layerfs(&["mount", "-o", "lowerdir=lower", "fifth"]);
    let object = largest_object(&disk.join("store/objects"));
    for (original, mounts) in [
        (object, &["first", "second", "third"][..]),
        (disk.join("lower/data"), &["fourth", "fifth"]),
    ] {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/posix_files/shared.py");
        let mut command = Command::new("python3");
        command.arg("-B").arg(script).arg(original);
        command.args(mounts.iter().map(|mount| disk.join(mount).join("data")));
        let grown = ran(&mut command);
        let grown = grown.trim().replace(' ', ", ");
        figure(format!("{size_mib} MiB read through {mounts:?}: `Cached` grew by {grown} MiB"));
    }
    for mount in ["first", "second", "third", "fourth", "fifth"] {
        layerfs(&["umount", mount]);
    }
}

fn largest_object(objects: &std::path::Path) -> PathBuf {
    let dirs = std::fs::read_dir(objects).unwrap().flatten();
    let files = dirs.flat_map(|dir| std::fs::read_dir(dir.path()).unwrap().flatten());
    files.map(|file| file.path()).max_by_key(|path| path.metadata().unwrap().len()).unwrap()
}
