//! What is damaged in a store: told in a line of its own, passed over by the rest, set aside by `fsck --repair`.

use std::fs;
use std::path::PathBuf;

use layerfs_driver::store::digest::Digest;

use crate::place::{Place, Run};

/// The lines of `fsck` that tell a finding.
fn findings(run: &Run) -> Vec<&str> {
    run.stdout.lines().filter(|line| !line.starts_with("checked: ")).collect()
}

/// Takes a file of the store out of the way, and writes another in its place.
fn spoil(path: &PathBuf) {
    // It may have no right to be written to.
    if path.exists() {
        fs::remove_file(path).expect("the store is ours");
    }
    fs::write(path, b"garbage\n").expect("the store is ours");
}

fn assert_clean(place: &Place) {
    let run = place.run(&["fsck"]);
    assert_eq!((run.status, findings(&run)), (Some(0), Vec::new()), "{run:?}");
}

#[test]
fn one_damaged_name_is_told_and_the_others_go_on() {
    let place = Place::new();
    let id = place.pull_small("small");
    place.said(&["tag", "small:1", "again"]);
    let names = place.join("store/images/names");
    let damaged = [Digest::of(b"again:latest").hex(), "0".repeat(64)];
    for name in &damaged {
        spoil(&names.join(name));
    }
    let run = place.run(&["images", "-q", "--no-trunc"]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(1), format!("{id}\n").as_str()), "{run:?}");
    let told: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(told.len(), 2, "{run:?}");
    for name in &damaged {
        let is_told = |line: &&str| line.starts_with("layerfs: ") && line.contains(name.as_str());
        assert!(told.iter().any(is_told), "{name} in {run:?}");
    }
    // It is there and can't be read, which is another answer than that there is none.
    let line = place.refused(&["tag", "again", "third"]);
    assert!(line.contains(&damaged[0]) && line.contains("is damaged"), "{line}");
    assert!(place.refused(&["tag", "none", "third"]).contains("no image `none`"));
    place.said(&["tag", "small:1", "third"]);

    let run = place.run(&["fsck"]);
    assert_eq!((run.status, findings(&run).len()), (Some(1), 2), "{run:?}");
    assert!(
        findings(&run).iter().all(|line| line.starts_with("damaged: images/names/")),
        "{run:?}"
    );
    let run = place.run(&["fsck", "--repair"]);
    assert_eq!((run.status, findings(&run).len()), (Some(0), 2), "{run:?}");
    assert!(
        findings(&run).iter().all(|line| line.starts_with("set aside: images/names/")),
        "{run:?}"
    );
    assert_clean(&place);
    assert_eq!(place.said(&["images", "-q", "--no-trunc"]), format!("{id}\n"));
    place.said(&["tag", "small:1", "again"]);
    place.said(&["rmi", "-f", "again", "third", "small:1"]);
    assert_eq!(place.said(&["images", "-q"]), "");
    assert_clean(&place);
}

#[test]
fn an_image_is_removed_beside_a_damaged_name() {
    let place = Place::new();
    place.pull_small("small");
    place.said(&["tag", "small:1", "again"]);
    let damaged = place.join("store/images/names").join("f".repeat(64));
    spoil(&damaged);
    assert_eq!(place.said(&["rmi", "again"]), "Untagged: again:latest\n");
    assert!(place.said(&["rmi", "small:1"]).contains("Deleted: sha256:"));
    assert!(damaged.exists(), "it may have been the name of something");
    place.said(&["gc"]);
    assert_eq!(place.run(&["fsck", "--repair"]).status, Some(0));
    assert_clean(&place);
}

/// A name under another's digest would be found by listing, and not by whoever looks for its file.
#[test]
fn a_name_under_the_digest_of_another_is_damaged() {
    let place = Place::new();
    let id = place.pull_small("small");
    let names = place.join("store/images/names");
    let right = names.join(Digest::of(b"small:1").hex());
    let wrong = names.join(Digest::of(b"other:1").hex());
    fs::copy(&right, &wrong).expect("the store is ours");
    let run = place.run(&["fsck", "--repair"]);
    assert_eq!((run.status, findings(&run).len()), (Some(0), 1), "{run:?}");
    assert!(right.exists() && !wrong.exists());
    assert_eq!(place.said(&["images", "-q", "--no-trunc"]), format!("{id}\n"));
}

#[test]
fn a_name_of_a_newer_layerfs_is_told_and_left() {
    let place = Place::new();
    let id = place.pull_small("small");
    let newer = place.join("store/images/names").join("0".repeat(64));
    fs::write(&newer, r#"{"version":2,"form":"not known here"}"#).expect("the store is ours");
    let run = place.run(&["images", "-q", "--no-trunc"]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(1), format!("{id}\n").as_str()), "{run:?}");
    assert!(run.stderr.contains("a newer layerfs wrote it"), "{run:?}");
    // It may lead to this image, and would lead nowhere then.
    assert!(place.refused(&["rmi", "-f", "small:1"]).contains("a newer layerfs wrote it"));
    let run = place.run(&["fsck", "--repair"]);
    assert_eq!((run.status, findings(&run).len()), (Some(1), 1), "{run:?}");
    assert!(newer.exists());
}

#[test]
fn a_damaged_record_or_configuration_is_set_aside_and_comes_again() {
    let place = Place::new();
    let id = place.pull_small("small");
    let hex = id.strip_prefix("sha256:").expect("an id is a digest").to_owned();
    for file in [format!("images/ids/{hex}"), format!("blobs/sha256/{hex}")] {
        place.said(&["tag", "small:1", "again"]);
        spoil(&place.join("store").join(&file));
        let run = place.run(&["fsck"]);
        assert_eq!(run.status, Some(1), "{file}: {run:?}");
        let run = place.run(&["fsck", "--repair"]);
        assert_eq!(run.status, Some(0), "{file}: {run:?}");
        assert!(
            findings(&run).iter().all(|line| line.starts_with("set aside: ")),
            "{file}: {run:?}"
        );
        assert_clean(&place);
        // Without its configuration an image is nothing: no name leads to it any more.
        assert_eq!(place.said(&["images", "-q"]), "", "{file}");
        place.said(&["pull", "-q", "oci:small"]);
        assert_clean(&place);
        assert_eq!(place.said(&["images", "-q", "--no-trunc"]), format!("{id}\n"), "{file}");
    }
}

/// An image whose configuration is gone can be neither used nor removed by a word that means it.
#[test]
fn an_image_without_its_configuration_is_set_aside() {
    let place = Place::new();
    let id = place.pull_small("small");
    let hex = id.strip_prefix("sha256:").expect("an id is a digest");
    fs::remove_file(place.join("store/blobs/sha256").join(hex)).expect("the store is ours");
    assert_eq!(place.run(&["fsck", "--repair"]).status, Some(0));
    assert_clean(&place);
    place.said(&["gc"]);
    place.said(&["pull", "-q", "oci:small"]);
    assert_clean(&place);
}

/// The image works without it: only its digest is shown, and that stands in the record.
#[test]
fn a_damaged_manifest_is_set_aside_and_comes_again() {
    let place = Place::new();
    let id = place.pull_small("small");
    let manifest = place.rows(&["images", "--json"])[0]["digest"].as_str().unwrap().to_owned();
    let hex = manifest.strip_prefix("sha256:").expect("a digest");
    spoil(&place.join("store/blobs/sha256").join(hex));
    let run = place.run(&["fsck", "--repair"]);
    assert!(run.stdout.starts_with("set aside: "), "{run:?}");
    assert!(!place.join("store/blobs/sha256").join(hex).exists());
    assert_eq!(place.said(&["images", "-q", "--no-trunc"]), format!("{id}\n"));
    assert_eq!(place.run(&["fsck"]).status, Some(1), "it is missing until it comes again");
    place.said(&["pull", "-q", "oci:small"]);
    assert_clean(&place);
}
