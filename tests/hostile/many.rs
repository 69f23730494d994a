//! An image of as many layers as are taken at all works within the limits that a shell gives.

use std::process::Command;

use super::layout::Layout;
use super::packing::gzip;
use super::store::text;
use super::tarball::{file, tar};
use crate::support::{Scope, Scratch, photograph, rights, watchdog};

/// The most that an image may have.
const LAYERS: usize = 4096;

/// Runs the command with 1,024 descriptors; answers what it printed.
fn layerfs(scratch: &Scratch, words: &[&str]) -> String {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 1024 && exec \"$@\"", "sh", env!("CARGO_BIN_EXE_layerfs")]);
    command.arg("--root").arg(scratch.join("store")).args(words).env_remove("LAYERFS_LOG");
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{words:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_image_of_4096_layers_works_with_1024_descriptors() {
    let _watch = watchdog(300);
    let scratch = Scratch::new();
    let before = photograph(&Scope::Below(scratch.path().to_owned()));
    // Each layer adds a file of its own, replaces one that all have, and every other one deletes the file before.
    let archive = |number: usize| {
        let mut entries =
            vec![file(format!("f{number:04}"), "x"), file("last", number.to_string())];
        if number % 2 == 1 {
            entries.push(file(format!(".wh.f{:04}", number - 1), ""));
        }
        tar(&entries)
    };
    let archives: Vec<_> = (0..LAYERS).map(archive).collect();
    let packed: Vec<_> = archives.iter().map(|archive| gzip(archive)).collect();
    let mut layout = Layout::new(&scratch.join("layout"));
    layout.set_layers(&packed, &archives);
    let source = format!("oci:{}", scratch.join("layout").display());
    layerfs(&scratch, &["pull", "--quiet", "--name", "many:1", &source]);
    assert_eq!(layerfs(&scratch, &["layers", "many:1"]).lines().count(), LAYERS + 1);
    assert_eq!(layerfs(&scratch, &["history", "many:1"]).lines().count(), LAYERS + 1);
    assert!(layerfs(&scratch, &["fsck"]).contains("findings: 0"));
    layerfs(&scratch, &["gc"]);
    if rights::have_root() {
        let at = scratch.join("mnt");
        std::fs::create_dir(&at).unwrap();
        layerfs(&scratch, &["mount", "many:1", text(&at)]);
        let names = std::fs::read_dir(&at).unwrap().count();
        let last = std::fs::read_to_string(at.join("last")).unwrap();
        layerfs(&scratch, &["umount", text(&at)]);
        assert_eq!((names, last.as_str()), (LAYERS / 2 + 1, "4095"));
        std::fs::remove_dir(&at).unwrap();
    }
    photograph(&Scope::Below(scratch.path().to_owned())).assert_same(&before);
}
