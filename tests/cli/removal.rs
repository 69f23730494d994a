//! Removing names and images, and what that frees.

use std::path::Path;

use crate::layout::{Layout, big, tar};
use crate::place::Place;

/// The regular files below a directory, with their sizes.
fn files(dir: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let mut left = vec![dir.to_path_buf()];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(&dir).expect("the store is readable") {
            let entry = entry.expect("the store is readable");
            let meta = entry.metadata().expect("the store is readable");
            match meta.is_dir() {
                true => left.push(entry.path()),
                false => found.push((entry.path().display().to_string(), meta.len())),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_last_name_takes_the_image_and_its_bytes_along() {
    let place = Place::new();
    // A store that is whole and empty: `check` tries what it can do.
    place.run(&["check"]);
    place.said(&["gc"]);
    let before = files(&place.join("store"));
    let id = place.pull_small("small");
    let diff_ids: Vec<String> = place
        .rows(&["layers", "--json", "small:1"])
        .iter()
        .map(|row| row["diff_id"].to_string())
        .collect();
    let said = place.said(&["rmi", "small:1"]);
    let mut lines = said.lines();
    assert_eq!(lines.next(), Some("Untagged: small:1"));
    assert_eq!(lines.next(), Some(format!("Deleted: {id}").as_str()));
    let deleted: Vec<&str> = lines.collect();
    assert_eq!(deleted.len(), 3, "{said}");
    assert!(
        diff_ids.iter().all(
            |layer| deleted.contains(&format!("Deleted: {}", layer.trim_matches('"')).as_str())
        )
    );
    assert_eq!(files(&place.join("store")), before, "nothing of the image is left");
}

#[test]
fn one_name_of_several_takes_nothing_along() {
    let place = Place::new();
    place.pull_small("small");
    place.said(&["tag", "small:1", "again"]);
    assert_eq!(place.said(&["rmi", "small:1"]), "Untagged: small:1\n");
    assert_eq!(place.rows(&["inspect", "again"]).len(), 1);
    assert!(place.run(&["fsck"]).status == Some(0));
}

#[test]
fn an_id_of_several_names_wants_force() {
    let place = Place::new();
    let id = place.pull_small("small");
    place.said(&["tag", "small:1", "again"]);
    let line = place.refused(&["rmi", &id[7..19]]);
    assert!(line.contains("has 2 names") && line.contains("--force"), "{line}");
    let said = place.said(&["rmi", "-f", &id[7..19]]);
    assert!(said.starts_with("Untagged: again:latest\nUntagged: small:1\nDeleted: "), "{said}");
    assert_eq!(place.said(&["images", "-q"]), "");
}

#[test]
fn layers_that_another_image_has_stay() {
    let place = Place::new();
    place.pull_small("small");
    let archive = tar(&[("a", &big(b'a')), ("b", b"hello")]);
    // The same archive as the lowest layer of the small image.
    place.feed(&["import", "-", "lowest"], &archive);
    let said = place.said(&["rmi", "small:1"]);
    assert_eq!(
        said.lines().filter(|line| line.starts_with("Deleted: ")).count(),
        3,
        "image and two layers: {said}"
    );
    assert_eq!(place.run(&["fsck"]).status, Some(0));
    assert_eq!(place.rows(&["layers", "--json", "lowest"])[0]["size"], 10_005);
}

#[test]
fn each_failure_has_its_line_and_the_rest_is_done() {
    let place = Place::new();
    place.pull_small("small");
    let run = place.run(&["rmi", "absent", "small:1", "gone:2"]);
    assert_eq!(run.status, Some(1));
    let told: Vec<bool> =
        run.stderr.lines().map(|line| line.starts_with("layerfs: no image `")).collect();
    assert_eq!(told, [true, true], "{run:?}");
    assert_eq!(place.said(&["images", "-q"]), "");
    let forced = place.run(&["rmi", "-f", "absent"]);
    assert_eq!((forced.status, forced.stderr.lines().count()), (Some(0), 1), "{forced:?}");
}

#[test]
fn damage_is_found_set_aside_and_mended_by_another_pull() {
    let place = Place::new();
    Layout::small().write(&place.join("small"));
    place.said(&["pull", "oci:small"]);
    let objects = files(&place.join("store/objects"));
    let (object, _) = objects.first().expect("the image has a big file");
    std::fs::remove_file(object).expect("the store is ours");
    std::fs::write(object, big(b'!')).expect("the store is ours");
    let run = place.run(&["fsck"]);
    assert_eq!(run.status, Some(1));
    assert!(
        run.stdout.starts_with("damaged: ") && run.stdout.contains("checked: 1 images, 3 layers"),
        "{run:?}"
    );
    assert!(run.stderr.contains("`layerfs fsck --repair`"), "{run:?}");
    let mended = place.run(&["fsck", "--repair"]);
    assert!(mended.stdout.starts_with("set aside: object "), "{mended:?}");
    assert_eq!(mended.status, Some(1), "the image lacks a layer until it comes again: {mended:?}");
    assert!(mended.stdout.contains("damaged: image "), "{mended:?}");
    place.said(&["pull", "oci:small"]);
    assert_eq!(place.run(&["fsck"]).status, Some(0));
}

#[test]
fn a_record_of_a_newer_layerfs_is_told_and_left() {
    let place = Place::new();
    let id = place.pull_small("small");
    let hex = id.strip_prefix("sha256:").unwrap();
    let record = place.join("store/images/ids").join(hex);
    let newer = r#"{"version":2,"form":"not known here"}"#;
    std::fs::write(&record, newer).unwrap();
    let names = || std::fs::read_dir(place.join("store/images/names")).unwrap().count();
    let names_before = names();
    for words in [&["fsck"][..], &["fsck", "--repair"]] {
        let run = place.run(words);
        assert_eq!(run.status, Some(1), "{run:?}");
        let line = run.stdout.lines().next().unwrap();
        assert!(line.contains("version 2") && line.contains("a newer layerfs wrote it"), "{run:?}");
        assert_eq!(run.stdout.lines().count(), 2, "{run:?}");
        assert_eq!(std::fs::read_to_string(&record).unwrap(), newer);
        assert_eq!(names(), names_before);
    }
    assert!(place.refused(&["gc"]).contains("a newer layerfs wrote it, use that"));
    let listed = place.run(&["images", "-q"]);
    assert_eq!((listed.status, listed.stdout.as_str()), (Some(1), ""), "{listed:?}");
    assert!(listed.stderr.contains("a newer layerfs wrote it, use that"), "{listed:?}");
}
