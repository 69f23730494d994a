//! `layerfs system prune` and `reset`: what goes, what stays, and that somebody is asked.

use layerfs_driver::store::container::Keep;

use crate::containers::{exited, make, of_image};
use crate::place::Place;

/// A store with an image that a container has, one that none has, one without a name, and volumes.
fn filled() -> Place {
    let place = Place::new();
    place.pull_small("small");
    let root = place.join("root");
    std::fs::create_dir(&root).expect("the place is its own");
    for name in ["free", "nameless"] {
        std::fs::write(root.join(name), name).expect("the place is its own");
        place.said(&["import", "root", &format!("{name}:1")]);
    }
    place.said(&["tag", "free:1", "nameless:1"]);
    make(&place, "ended", of_image(&place, "small:1"), Keep::Kept).end(exited(3)).expect("it ends");
    place.said(&["volume", "create", "data"]);
    place.said(&["volume", "create"]);
    place
}

fn count(place: &Place, words: &[&str]) -> usize {
    place.said(words).lines().count()
}

fn counts(place: &Place) -> [usize; 3] {
    let words: [&[&str]; 3] = [&["ps", "-aq"], &["images", "-q"], &["volume", "ls", "-q"]];
    words.map(|words| count(place, words))
}

#[test]
fn prune_removes_what_nobody_uses_and_names_it() {
    let place = filled();
    let runs = make(&place, "runs", of_image(&place, "small:1"), Keep::Kept);
    let before = counts(&place);
    assert_eq!((before[0], before[2]), (2, 2));
    let ended = place.said(&["ps", "-aq", "--no-trunc", "--filter", "name=ended"]);
    let said = place.said(&["system", "prune", "--force"]);
    assert!(said.starts_with(&ended) && said.contains("Total reclaimed space: "), "{said}");
    // The one without a name is gone; the others have names, and a volume nobody asked for.
    assert_eq!(said.matches("Deleted: sha256:").count(), 1, "{said}");
    assert_eq!(counts(&place), [1, before[1] - 1, 2]);
    assert!(place.said(&["images"]).contains("free"));
    let said = place.said(&["system", "prune", "-af", "--volumes"]);
    assert!(said.contains("Untagged: ") && said.contains("free:1"), "{said}");
    let images = place.said(&["images"]);
    assert!(images.contains("small") && !images.contains("free"), "{images}");
    // What has a name was meant to stay.
    assert_eq!(place.said(&["volume", "ls", "-q"]), "data\n");
    place.said(&["fsck"]);
    drop(runs);
}

#[test]
fn who_is_asked_and_does_not_say_yes_loses_nothing() {
    let place = filled();
    let before = counts(&place);
    for verb in ["prune", "reset"] {
        for answer in ["", "\n", "n\n", "yo\n"] {
            let run = place.feed(&["system", verb], answer.as_bytes());
            assert_eq!((run.status, run.stdout.as_str()), (Some(1), ""), "{run:?}");
            assert!(
                run.stderr.starts_with("This ")
                    && run.stderr.contains("[y/N] layerfs: nothing is removed: "),
                "{run:?}"
            );
            assert_eq!(counts(&place), before);
        }
    }
    let run = place.feed(&["system", "prune"], b"y\n");
    assert_eq!(run.status, Some(0), "{run:?}");
    assert_eq!(counts(&place)[0], 0);
}

#[test]
fn reset_leaves_an_empty_store_that_works() {
    let place = filled();
    assert_eq!(place.said(&["system", "reset", "-f"]), "");
    assert_eq!(counts(&place), [0, 0, 0]);
    let objects = std::fs::read_dir(place.join("store/layers")).expect("the store is there");
    assert_eq!(objects.count(), 0);
    place.said(&["fsck"]);
    place.said(&["pull", "-q", "oci:small"]);
    assert_eq!(count(&place, &["images", "-q"]), 1);
    assert_eq!(place.said(&["system", "df"]), place.said(&["df"]));
}
