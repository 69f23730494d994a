//! Docker archives whose members are not what `manifest.json` says.

use layerfs_driver::store::digest::Digest;
use serde_json::{Value, json};

use super::layout::layers;
use super::store::{Victim, text};
use super::tarball::{Entry, device, dir, file, hard, open_ended, special, symlink, tar};
use crate::support::watchdog;

/// One archive: its name, its members, and the words that the refusal must have; no words where it is taken.
type Row = (&'static str, Vec<Entry>, &'static [&'static str]);

fn config(layers: &[Vec<u8>]) -> Entry {
    let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    let rootfs = json!({ "type": "layers", "diff_ids": diff_ids });
    let config = json!({ "architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs });
    file("config.json", config.to_string())
}

fn manifest(layers: &[&str]) -> Entry {
    let saved =
        json!([{ "Config": "config.json", "RepoTags": ["hostile:latest"], "Layers": layers }]);
    file("manifest.json", saved.to_string())
}

/// An archive of one layer, whose member is made by `layer`, with other members beside it.
fn of_layer(layer: Entry, beside: &[Entry]) -> Vec<Entry> {
    let usual = [config(&layers()[..1]), manifest(&["layer.tar"]), layer];
    [&usual[..], beside].concat()
}

fn check_all(rows: &[Row]) {
    let _watch = watchdog(120);
    let victim = Victim::new();
    let before = victim.picture();
    let mut wrong = Vec::new();
    for (name, members, words) in rows {
        let path = victim.write("saved.tar", &tar(members));
        let said = victim.run(&["load", "-q", "-i", text(&path)]);
        if words.is_empty() {
            if (said.status, said.stderr.as_str()) != (Some(0), "") {
                wrong.push(format!("{name}: must be taken: {said:?}"));
                continue;
            }
            victim.assert_clean(name);
            victim.forget(said.stdout.trim());
        } else if let Err(reason) = said.is_refusal_with(&[&[text(&path)], *words].concat()) {
            wrong.push(format!("{name}: {reason}"));
        }
        victim.assert_untouched(name, &before);
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

#[test]
fn a_layer_is_a_member_and_nothing_outside_the_archive() {
    let first = || layers().swap_remove(0);
    let real = || file("real.tar", first());
    check_all(&[
        ("a whole archive", of_layer(file("layer.tar", first()), &[]), &[]),
        ("a link to a member", of_layer(symlink("layer.tar", "real.tar"), &[real()]), &[]),
        (
            "an absolute link to a member",
            of_layer(symlink("layer.tar", "/real.tar"), &[real()]),
            &[],
        ),
        ("a hard link to a member", of_layer(hard("layer.tar", "real.tar"), &[real()]), &[]),
        (
            "the last of two members",
            of_layer(file("layer.tar", "first"), &[file("layer.tar", first())]),
            &[],
        ),
        (
            "a link to an absolute path",
            of_layer(symlink("layer.tar", "/etc/passwd"), &[]),
            &["`layer.tar`", "leads nowhere"],
        ),
        (
            "a link out of the archive",
            of_layer(symlink("layer.tar", "../../etc/passwd"), &[]),
            &["`layer.tar`", "leads nowhere"],
        ),
        (
            "a link above the root and back into the archive",
            of_layer(symlink("layer.tar", "../real.tar"), &[real()]),
            &["`layer.tar`", "leads nowhere"],
        ),
        (
            "a link to itself",
            of_layer(symlink("layer.tar", "layer.tar"), &[]),
            &["`layer.tar`", "leads nowhere"],
        ),
        (
            "links to each other",
            of_layer(symlink("layer.tar", "b"), &[symlink("b", "layer.tar")]),
            &["`layer.tar`", "leads nowhere"],
        ),
        (
            "a hard link out of the archive",
            of_layer(hard("layer.tar", "../x"), &[]),
            &["layer.tar (header", ".. component"],
        ),
        ("a directory", of_layer(dir("layer.tar"), &[]), &["`layer.tar`", "missing"]),
        ("a device", of_layer(device("layer.tar", 1, 5), &[]), &["`layer.tar`", "missing"]),
        ("a fifo", of_layer(special("layer.tar", b'6'), &[]), &["`layer.tar`", "missing"]),
        (
            "no such member",
            vec![config(&layers()[..1]), manifest(&["gone.tar"])],
            &["`gone.tar`", "missing"],
        ),
        (
            "a member named with dot dot",
            vec![config(&layers()[..1]), manifest(&["../../etc/passwd"])],
            &["../../etc/passwd", "missing"],
        ),
        (
            "the wrong layer",
            of_layer(file("layer.tar", layers().swap_remove(1)), &[]),
            &[": layer ", "unpacked", "digest is sha256:"],
        ),
        (
            "more layers than diff ids",
            vec![config(&[]), manifest(&["layer.tar"]), file("layer.tar", first())],
            &["1 layers", "0 diff ids"],
        ),
        (
            "a layer with holes",
            of_layer(sparse("layer.tar"), &[file("after", "")]),
            &["`layer.tar`", "sparse"],
        ),
    ]);
}

fn sparse(name: &str) -> Entry {
    let records =
        [("GNU.sparse.size", "9000"), ("GNU.sparse.numblocks", "1"), ("GNU.sparse.map", "0,1")];
    records.iter().fold(file(name, "x"), |entry, (key, value)| entry.pax(key, value))
}

#[test]
fn documents_of_an_archive_are_bounded_and_proved() {
    let named_config = |value: Value| file(format!("{}.json", "0".repeat(64)), value.to_string());
    let saved = |value: Value| file("manifest.json", value.to_string());
    let long = "x".repeat(5 << 20);
    check_all(&[
        ("no manifest", vec![file("readme", "x")], &["manifest.json", "missing"]),
        (
            "a manifest that is no JSON",
            vec![file("manifest.json", "{")],
            &["manifest.json", "malformed"],
        ),
        (
            "a manifest of 5 MiB",
            vec![saved(json!([{ "Config": long }]))],
            &["manifest.json", "more than the"],
        ),
        ("no image", vec![saved(json!([]))], &["holds no image"]),
        (
            "a config of another digest",
            vec![
                named_config(json!({})),
                saved(json!([{ "Config": format!("{}.json", "0".repeat(64)) }])),
            ],
            &["config sha256:0000", "is corrupt"],
        ),
        (
            "control characters in a name",
            vec![saved(json!([{ "Config": "a\n\u{1b}[31m" }]))],
            &["missing"],
        ),
        (
            "a tag that is no name leaves the image without one",
            vec![config(&[]), saved(json!([{ "Config": "config.json", "RepoTags": ["\n/../:"] }]))],
            &[],
        ),
        (
            "an entry of dot dot",
            vec![manifest(&[]), config(&[]), file("../x", "x")],
            &["../x", ".. component"],
        ),
    ]);
}

#[test]
fn a_cut_archive_is_told() {
    let _watch = watchdog(120);
    let victim = Victim::new();
    let before = victim.picture();
    let whole = open_ended(&of_layer(file("layer.tar", layers().swap_remove(0)), &[]));
    for len in (0..whole.len()).step_by(512) {
        let path = victim.write("saved.tar", &whole[..len]);
        let said = victim.run(&["load", "-q", "-i", text(&path)]);
        said.is_refusal_with(&[text(&path)]).unwrap_or_else(|e| panic!("{len} bytes: {e}"));
        victim.assert_untouched(&format!("{len} bytes"), &before);
    }
}
