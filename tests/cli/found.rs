//! From the words for an image to the image: the same in every verb.

use serde_json::{Value, json};

use crate::layout::{Image, Layout, tar};
use crate::place::{Place, Run, array};

/// The verbs that take words for an image and need no rights; `run` is asked beside them.
const VERBS: [&str; 7] = ["images", "layers", "history", "inspect", "tag", "rmi", "mount"];

fn verb_on(place: &Place, verb: &str, words: &str) -> Run {
    match verb {
        "images" => place.run(&["images", "--no-trunc", "-q", words]),
        "inspect" => place.run(&["inspect", "--type", "image", words]),
        "tag" => place.run(&["tag", words, "tagged:now"]),
        "mount" => place.run(&["mount", "--fake", words, "."]),
        verb => place.run(&[verb, words]),
    }
}

/// The image of one file with these contents, alone in a layout; its id is chosen by `created`.
fn image(created: &str) -> Layout {
    let layers = vec![tar(&[("file", b"x")])];
    Layout::new().with(&Image { tag: Some("1"), layers, history: json!([]), created })
}

/// Pulls it under a name; answers id and digest of the manifest.
fn pulled(place: &Place, created: &str, name: &str) -> (String, String) {
    let dir = place.join("layout");
    if dir.exists() {
        std::fs::remove_dir_all(&dir).expect("the place is ours");
    }
    image(created).write(&dir);
    place.said(&["pull", "-q", "--name", name, "oci:layout"]);
    let row = place.rows(&["images", "--json", name]).remove(0);
    let text = |key: &str| row[key].as_str().expect("it has both").to_owned();
    (text("id"), text("digest"))
}

fn hex(id: &str) -> &str {
    id.strip_prefix("sha256:").expect("an id is a digest")
}

#[test]
fn every_verb_finds_an_image_by_every_form_of_words() {
    let place = Place::new();
    let (id, digest) = pulled(&place, "2001", "docker.io/library/foo:1");
    pulled(&place, "2002", "quay.io/some/other:1");
    let forms = [
        "foo:1".into(),
        "docker.io/library/foo:1".into(),
        "docker.io/foo:1".into(),
        id.clone(),
        hex(&id).into(),
        hex(&id)[..4].into(),
        format!("sha256:{}", &hex(&id)[..5]),
        format!("foo@{digest}"),
        format!("docker.io/library/foo@{digest}"),
        // The id is a digest of the image, too.
        format!("foo@{id}"),
    ];
    for words in &forms {
        for verb in VERBS {
            let run = verb_on(&place, verb, words);
            assert_eq!(run.status, Some(0), "{verb} {words}: {run:?}");
            match verb {
                "images" => assert_eq!(run.stdout, format!("{id}\n"), "{words}"),
                "inspect" => assert_eq!(array(&run.stdout)[0]["Id"], json!(id), "{words}"),
                "tag" => {
                    assert_eq!(place.rows(&["inspect", "tagged:now"])[0]["Id"], json!(id));
                    place.said(&["rmi", "tagged:now"]);
                }
                "rmi" => {
                    assert!(run.stdout.contains(&format!("Deleted: {id}")), "{words}: {run:?}");
                    pulled(&place, "2001", "docker.io/library/foo:1");
                }
                _ => {}
            }
        }
    }
    // A run gets past the image: what is refused is the name.
    for words in &forms {
        let line = place.run(&["run", "--name", "/", words]).refusal(125);
        assert!(!line.contains("no image"), "{words}: {line}");
    }
}

#[test]
fn what_is_no_image_is_found_by_no_verb() {
    let place = Place::new();
    let (id, digest) = pulled(&place, "2001", "localhost/foo:1");
    let wrong = "0".repeat(64);
    let forms = [
        hex(&id)[..3].into(),
        format!("sha256:{}", &hex(&id)[..3]),
        wrong.clone(),
        format!("sha256:{wrong}"),
        format!("foo@sha256:{wrong}"),
        format!("bar@{digest}"),
        "docker.io/library/foo:1".into(),
        "foo:2".into(),
    ];
    for words in &forms {
        for verb in VERBS {
            let run = verb_on(&place, verb, words);
            if verb == "images" {
                // A filter that nothing passes is no failure.
                assert_eq!((run.status, run.stdout.as_str()), (Some(0), ""), "{words}: {run:?}");
                continue;
            }
            assert_eq!(run.status, Some(1), "{verb} {words}: {run:?}");
            assert!(run.stderr.contains("no image `"), "{verb} {words}: {run:?}");
            assert_eq!(run.stderr.lines().count(), 1, "{verb} {words}: {run:?}");
        }
        let line = place.run(&["run", "--name", "/", words]).refusal(125);
        assert!(line.contains("no image `"), "{words}: {line}");
    }
    assert_eq!(place.rows(&["images", "--json"]).len(), 1);
}

#[test]
fn the_beginning_of_two_ids_is_refused_by_every_verb() {
    let place = Place::new();
    // Ids with four digits in common: 600 images make sure of it, with one file for all of them.
    let mut layout = Layout::new();
    for year in 0..600 {
        let image = Image {
            tag: None,
            layers: vec![tar(&[("file", b"x")])],
            history: json!([]),
            created: &format!("{year}"),
        };
        layout = layout.with(&image);
    }
    let ids = layout.ids();
    let twins = ids.iter().enumerate().find_map(|(at, one)| {
        let other = ids[..at].iter().find(|other| other[..4] == one[..4])?;
        Some([one.clone(), other.clone()])
    });
    let twins = twins.expect("600 ids have four digits in common");
    layout.keep(&twins).write(&place.join("layout"));
    for (twin, manifest) in twins.iter().zip(layout.digests(&twins)) {
        let source = format!("oci:layout:{manifest}");
        assert_eq!(place.said(&["pull", "-q", &source]), format!("sha256:{twin}\n"));
    }
    for verb in VERBS {
        let line = verb_on(&place, verb, &twins[0][..4]);
        assert_eq!(
            (line.status, line.stdout.trim()),
            (Some(1), if verb == "inspect" { "[]" } else { "" })
        );
        for twin in &twins {
            assert!(line.stderr.contains(&format!("image {}", &twin[..12])), "{verb}: {line:?}");
        }
    }
    assert_eq!(place.rows(&["images", "--json"]).len(), 2);
}

#[test]
fn a_short_name_of_two_images_is_refused_and_names_both() {
    let place = Place::new();
    pulled(&place, "2001", "docker.io/library/foo:1");
    pulled(&place, "2002", "localhost/foo:1");
    for verb in VERBS {
        let run = verb_on(&place, verb, "foo:1");
        if verb == "images" {
            assert_eq!(run.stdout.lines().count(), 2, "a filter lists what passes: {run:?}");
            continue;
        }
        assert_eq!(run.status, Some(1), "{verb}: {run:?}");
        for name in ["`docker.io/library/foo:1`", "`localhost/foo:1`"] {
            assert!(run.stderr.contains(name), "{verb}: {run:?}");
        }
    }
    assert_eq!(place.rows(&["images", "--json"]).len(), 2);
}

/// As `load` and then `commit`, `import` or `tag` make them.
#[test]
fn a_name_that_is_there_is_never_another() {
    let place = Place::new();
    pulled(&place, "2001", "docker.io/library/foo:latest");
    let (bare, _) = pulled(&place, "2002", "foo:latest");
    for words in ["foo", "foo:latest"] {
        assert_eq!(place.rows(&["inspect", words])[0]["Id"], json!(bare), "{words}");
    }
    let mut shown: Vec<Value> =
        place.rows(&["images", "--json"]).iter().map(|row| row["repository"].clone()).collect();
    shown.sort_by_key(|name| name.as_str().map(str::to_owned));
    assert_eq!(shown, [json!("docker.io/library/foo"), json!("foo")]);
    assert_eq!(place.said(&["rmi", "foo"]).lines().next(), Some("Untagged: foo:latest"));
    // What it meant then is what is left.
    let rows: Vec<Value> = place.rows(&["images", "--json"]);
    assert_eq!((rows.len(), &rows[0]["repository"]), (1, &json!("foo")));
    assert_eq!(place.rows(&["inspect", "foo"])[0]["Id"], rows[0]["id"]);
}

/// Where the two are one image there is nothing to choose, except which name goes.
#[test]
fn rmi_refuses_a_short_name_that_is_two_names_of_one_image() {
    let place = Place::new();
    let (id, digest) = pulled(&place, "2001", "docker.io/library/foo:1");
    place.said(&["tag", "docker.io/library/foo:1", "localhost/foo:1"]);
    assert_eq!(place.rows(&["inspect", "foo:1"])[0]["Id"], json!(id));
    for words in ["foo:1".to_owned(), format!("foo@{digest}")] {
        let line = place.refused(&["rmi", &words]);
        for name in ["`docker.io/library/foo:1`", "`localhost/foo:1`"] {
            assert!(line.contains(name), "{words}: {line}");
        }
    }
    assert_eq!(place.said(&["rmi", "localhost/foo:1"]), "Untagged: localhost/foo:1\n");
    let left: Vec<Value> = place.rows(&["images", "--json"]);
    assert_eq!((left.len(), &left[0]["repository"]), (1, &json!("foo")));
}
