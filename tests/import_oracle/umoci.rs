//! The merged tree against the directory that `umoci unpack` makes of the same image.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::Command;

use layerfs_driver::store::digest::Digest;
use serde_json::{Map, Value, json};

use crate::imported::Imported;
use crate::said;
use crate::support::{Scratch, fixtures, need, need_root, watchdog};

#[test]
fn a_debian_image_is_what_umoci_unpacks() {
    need!("umoci");
    need_root!();
    let Some(layout) = fixtures::debian_layout() else { return };
    let _watch = watchdog(120);
    let scratch = Scratch::on_disk();
    let bundle = scratch.join("bundle");
    let image = format!("{}:debian", layout.display());
    let mut unpack = Command::new("umoci");
    let output = unpack.args(["unpack", "--image", &image]).arg(&bundle).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut unpacked = Map::new();
    walk(&bundle.join("rootfs"), b"", &mut unpacked);
    let imported = Imported::new("oci", &layout);
    let tree = imported.store.tree(&imported.image().chain_id().unwrap()).unwrap();
    let mut ours = said::by_index(&imported.store, &tree);
    let ours = ours.as_object_mut().unwrap();
    ours.remove("");
    for entry in ours.values_mut() {
        let word = |key: &str| entry[key].as_str().unwrap().to_owned();
        *entry = json!([word("kind"), word("sha256"), word("target")]);
    }
    assert!(unpacked.len() >= 5000, "only {} entries", unpacked.len());
    crate::assert_same(
        "what umoci unpacks",
        &Value::Object(ours.clone()),
        &Value::Object(unpacked),
    );
}

/// Kind, digest and link target of everything below a directory.
fn walk(dir: &Path, above: &[u8], seen: &mut Map<String, Value>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        let path = if above.is_empty() {
            name.as_bytes().to_vec()
        } else {
            [above, name.as_bytes()].join(&b'/')
        };
        let kind = entry.file_type().unwrap();
        let mut told = [String::new(), String::new(), String::new()];
        told[0] = match kind {
            _ if kind.is_dir() => "directory",
            _ if kind.is_symlink() => "symlink",
            _ if kind.is_fifo() => "fifo",
            _ if kind.is_char_device() => "char",
            _ if kind.is_block_device() => "block",
            _ => "file",
        }
        .into();
        if kind.is_file() {
            told[1] = Digest::of(&fs::read(entry.path()).unwrap()).hex();
        } else if kind.is_symlink() {
            told[2] = said::hex(fs::read_link(entry.path()).unwrap().as_os_str().as_bytes());
        }
        seen.insert(said::hex(&path), json!(told));
        if kind.is_dir() {
            walk(&entry.path(), &path, seen);
        }
    }
}
