//! What the store says of real images is what Python's tarfile says of their layers, and umoci of their trees.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail there")]
#![allow(clippy::print_stdout, reason = "figures that are told and not bounded")]

mod support;

#[path = "import_oracle/directory.rs"]
mod directory;
#[path = "import_oracle/forms.rs"]
mod forms;
#[path = "import_oracle/handmade.rs"]
mod handmade;
#[path = "import_oracle/imported.rs"]
mod imported;
#[path = "hostile/layout.rs"]
#[allow(dead_code, reason = "this test uses the part it needs")]
mod layout;
#[path = "hostile/packing.rs"]
#[allow(dead_code, reason = "this test uses the part it needs")]
mod packing;
#[path = "import_oracle/said.rs"]
mod said;
#[path = "hostile/tarball.rs"]
#[allow(dead_code, reason = "this test uses the part it needs")]
mod tarball;
#[path = "import_oracle/umoci.rs"]
mod umoci;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value};

use imported::Imported;
use support::{fixtures, watchdog};

/// Compares every layer and the merged tree of an image with what the script says.
fn agrees(form: &str, source: &Path) -> (Imported, Value) {
    let imported = Imported::new(form, source);
    let oracle = said::by_python(form, source);
    let image = imported.image();
    let diff_ids: Vec<String> = image.layers.iter().map(|l| l.diff_id.to_string()).collect();
    assert_eq!(Value::from(diff_ids), oracle["diff_ids"], "{form}");
    assert_eq!(oracle["chain_id"], image.chain_id().unwrap().to_string(), "{form}");
    for (layer, wanted) in image.layers.iter().zip(oracle["layers"].as_array().unwrap()) {
        let index = imported.store.layer_index(&layer.diff_id).unwrap();
        assert_same(&layer.diff_id.to_string(), &said::by_index(&imported.store, &index), wanted);
    }
    let tree = imported.store.tree(&image.chain_id().unwrap()).unwrap();
    let found = said::by_index(&imported.store, &tree);
    assert_same("the merged tree", &found, &oracle["tree"]);
    (imported, found)
}

/// Panics with the first entries that differ.
fn assert_same(what: &str, found: &Value, wanted: &Value) {
    let (found, wanted) = (found.as_object().unwrap(), wanted.as_object().unwrap());
    let paths: BTreeSet<&String> = found.keys().chain(wanted.keys()).collect();
    let differ = paths.into_iter().filter(|path| found.get(*path) != wanted.get(*path));
    let lines: Vec<String> = differ
        .take(10)
        .map(|path| {
            let shown = said::readable(path);
            format!("{shown}\n  layerfs: {:?}\n  tarfile: {:?}", found.get(path), wanted.get(path))
        })
        .collect();
    assert!(lines.is_empty(), "{what}, of {} entries:\n{}", wanted.len(), lines.join("\n"));
}

#[test]
fn a_debian_image_is_what_tarfile_says() {
    let Some(layout) = fixtures::debian_layout() else { return };
    let _watch = watchdog(120);
    let (imported, tree) = agrees("oci", &layout);
    let tree = tree.as_object().unwrap();
    assert!(tree.len() >= 5000, "only {} entries", tree.len());
    for (class, is_there) in classes(tree) {
        assert!(is_there, "the image has no {class}");
    }
    assert!(imported.has_whiteout(), "the image has no whiteout");
    assert!(imported.has_opaque(), "the image has no re-created directory");
    assert!(imported.has_sparse(), "the image has no sparse file");
}

/// The classes of files without which the comparison would say little.
fn classes(tree: &Map<String, Value>) -> Vec<(&'static str, bool)> {
    let any = |is: &dyn Fn(&Value) -> bool| tree.values().any(is);
    let xattr = |name: &'static str| {
        let hex = said::hex(name.as_bytes());
        any(&move |entry: &Value| entry["xattrs"].get(&hex).is_some())
    };
    let kind = |kind: &'static str| any(&move |entry: &Value| entry["kind"] == kind);
    let mut seen = BTreeSet::new();
    let again = |entry: &Value| entry["file"].as_u64().is_some_and(|file| !seen.insert(file));
    let names = tree.keys().filter(|path| std::str::from_utf8(&said::bytes(path)).is_err());
    vec![
        ("set-uid file", any(&|entry| entry["mode"].as_u64().unwrap_or(0) & 0o4000 != 0)),
        ("capability", xattr("security.capability")),
        ("ACL", xattr("system.posix_acl_access")),
        ("default ACL", xattr("system.posix_acl_default")),
        ("device", kind("char")),
        ("fifo", kind("fifo")),
        ("symbolic link", kind("symlink")),
        ("name that is not UTF-8", names.count() > 0),
        ("hard link", tree.values().map(again).filter(|is| *is).count() > 0),
    ]
}

#[test]
fn the_small_image_is_what_tarfile_says_in_every_form() {
    let _watch = watchdog(120);
    let mut count = 0;
    for (form, source) in forms::small() {
        agrees(form, &source);
        count += 1;
    }
    println!("{count} forms agree");
}
