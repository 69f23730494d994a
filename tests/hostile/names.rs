//! Sources of very many images or names: time grows with them and no faster, and there is an end to it.

use layerfs_driver::store::digest::Digest;
use serde_json::{Value, json};

use super::layout::{descriptor, layers};
use super::store::{Victim, text};
use super::tarball::{Entry, file, hard, tar};
use crate::support::watchdog;

const FEW: usize = 2000;
const MANY: usize = 10_000;

/// An image of one layer: its configuration, its manifest, and its layer.
fn image() -> [Vec<u8>; 3] {
    let layer = layers().remove(0);
    let rootfs = json!({ "type": "layers", "diff_ids": [Digest::of(&layer).to_string()] });
    let config = json!({ "architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs });
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "config": descriptor("config.v1+json", &config),
        "layers": [descriptor("layer.v1.tar", &layer)],
    });
    [config, manifest.to_string().into_bytes(), layer]
}

fn blob(bytes: &[u8]) -> String {
    format!("blobs/sha256/{}", Digest::of(bytes).hex())
}

/// The blobs of the image as members.
fn blobs() -> Vec<Entry> {
    image().iter().map(|bytes| file(blob(bytes), bytes)).collect()
}

/// A docker archive with these entries in `manifest.json`.
fn docker(entries: &Value, more: &[Entry]) -> Vec<u8> {
    tar(&[&blobs()[..], more, &[file("manifest.json", entries.to_string())]].concat())
}

/// An entry of `manifest.json` with `count` names.
fn named(count: usize) -> Value {
    let [config, _, layer] = image();
    let names: Vec<_> = (0..count).map(|n| format!("many:t{n}")).collect();
    json!({ "Config": blob(&config), "RepoTags": names, "Layers": [blob(&layer)] })
}

/// The members of a layout whose index has an entry for each of `count` names.
fn layout(count: usize) -> Vec<Entry> {
    let entry = |n: usize| {
        let mut entry = descriptor("manifest.v1+json", &image()[1]);
        entry["annotations"] = json!({ "io.containerd.image.name": format!("many:t{n}") });
        entry
    };
    let manifests: Vec<_> = (0..count).map(entry).collect();
    let index = json!({ "schemaVersion": 2, "manifests": manifests }).to_string();
    vec![file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#), file("index.json", index)]
}

/// Five times the names take less than twelve times as long; a quadratic load would take 25 times.
fn grows_linearly(what: &str, archive: impl Fn(usize) -> Vec<u8>) {
    let _watch = watchdog(240);
    let victim = Victim::new();
    let cpu_secs = |count: usize| {
        let path = victim.write("many.tar", &archive(count));
        let said = victim.measured(&["load", "-q", "-i", text(&path)]);
        assert_eq!((said.status, said.stderr.as_str()), (Some(0), ""), "{what}");
        assert_eq!(said.stdout.lines().count(), 1, "{what}: one image");
        let id = said.stdout.trim().to_owned();
        assert_eq!(victim.store().find(&id).unwrap().image.names.len(), count, "{what}");
        victim.forget(&id);
        said.cpu_secs
    };
    let (few, many) = (cpu_secs(FEW), cpu_secs(MANY));
    println!("{what}: {few} s, {many} s");
    assert!(many < 12.0 * few, "{what}: {FEW} took {few} s, {MANY} took {many} s");
}

#[test]
fn names_of_one_image_take_linear_time() {
    grows_linearly("names in manifest.json", |count| docker(&json!([named(count)]), &[]));
}

#[test]
fn labels_of_one_image_take_linear_time() {
    grows_linearly("labels in index.json", |count| tar(&[blobs(), layout(count)].concat()));
}

#[test]
fn names_in_both_forms_take_linear_time() {
    grows_linearly("names in both", |count| docker(&json!([named(count)]), &layout(count)));
}

/// As many members lead to one configuration: they are one image.
#[test]
fn entries_of_one_image_take_linear_time() {
    grows_linearly("entries of manifest.json", |count| {
        let [config, _, layer] = image();
        let entry = |n: usize| json!({ "Config": format!("c{n}"), "RepoTags": [format!("many:t{n}")], "Layers": [blob(&layer)] });
        let links: Vec<_> = (0..count).map(|n| hard(format!("c{n}"), blob(&config))).collect();
        docker(&(0..count).map(entry).collect(), &links)
    });
}

#[test]
fn more_images_or_names_than_any_source_has_are_refused() {
    let _watch = watchdog(120);
    let victim = Victim::new();
    let before = victim.picture();
    let unnamed = |n: usize| {
        let mut entry = descriptor("manifest.v1+json", n.to_string().as_bytes());
        entry["platform"] = json!({ "os": "linux", "architecture": format!("a{}", n / 2) });
        entry
    };
    let entries: Vec<_> = (0..10_001).map(unnamed).collect();
    let index = json!({ "schemaVersion": 2, "manifests": entries }).to_string();
    let missing = |n: usize| json!({ "Config": format!("{n:05}") });
    let rows = [
        ("entries of manifest.json", docker(&(0..60_000).map(missing).collect(), &[]), "images"),
        ("names in manifest.json", docker(&json!([named(30_000)]), &[]), "names"),
        ("labels in index.json", tar(&[blobs(), layout(20_001)].concat()), "names"),
        (
            "entries of index.json",
            tar(&[&layout(0)[..1], &[file("index.json", index)]].concat()),
            "images",
        ),
    ];
    for (name, archive, what) in rows {
        let path = victim.write("many.tar", &archive);
        let said = victim.run(&["load", "-q", "-i", text(&path)]);
        let words = [text(&path), "more than", what];
        if let Err(reason) = said.is_refusal_with(&words) {
            panic!("{name}: {}", reason.chars().take(600).collect::<String>());
        }
        victim.assert_untouched(name, &before);
    }
}
