//! Looking at images: images, layers, history, inspect, tag.

use serde_json::json;

use crate::layout::{Image, Layout, big, tar};
use crate::place::{Place, array};

#[test]
fn a_new_store_is_empty_and_says_so() {
    let place = Place::new();
    assert_eq!(place.said(&["images"]), "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n");
    assert_eq!(place.said(&["images", "--json"]), "[]\n");
    assert_eq!(place.said(&["images", "-q"]), "");
    place.pull_small("small");
    for verb in [&["layers"][..], &["history"], &["inspect", "--type", "image"]] {
        let run = place.run(&[verb, &["nothing"]].concat());
        assert_eq!(run.status, Some(1), "{run:?}");
        assert_eq!(
            run.stderr,
            "layerfs: no image `nothing` in the store; `layerfs images` lists what is here\n"
        );
    }
}

/// A misspelled --root is told, and makes no store.
#[test]
fn a_store_that_is_not_there_is_told_and_not_made() {
    let place = Place::new();
    let line = format!(
        "no store at `{}` yet: `layerfs pull`, `load` or `import` makes one; is --root right?",
        place.join("store").display()
    );
    let verbs: [&[&str]; 9] = [
        &["layers", "x"],
        &["history", "x"],
        &["inspect", "x"],
        &["tag", "x", "y"],
        &["rmi", "x"],
        &["mount", "x", "."],
        &["df"],
        &["gc"],
        &["fsck"],
    ];
    for words in verbs {
        assert_eq!(place.refused(words), line, "{words:?}");
    }
    for words in [&["images"][..], &["info"]] {
        let run = place.run(words);
        assert_eq!((run.status, run.stderr), (Some(0), format!("layerfs: {line}\n")), "{words:?}");
    }
    assert!(!place.join("store").exists());
    std::fs::create_dir(place.join("store")).unwrap();
    assert_eq!(place.refused(&["gc"]), line);
    assert_eq!(std::fs::read_dir(place.join("store")).unwrap().count(), 0);
}

#[test]
fn images_are_listed_under_dockers_headings() {
    let place = Place::new();
    let id = place.pull_small("small");
    let short = &id["sha256:".len()..][..12];
    let table = place.said(&["images"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(
        lines[0]
            .split("   ")
            .map(str::trim)
            .filter(|heading| !heading.is_empty())
            .collect::<Vec<_>>(),
        ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]
    );
    assert!(
        lines[1].starts_with("small ") && lines[1].contains(short) && lines[1].ends_with("20kB"),
        "{table}"
    );
    assert!(lines[1].contains(" years ago "), "{table}");
    assert_eq!(place.said(&["images", "-q"]), format!("{short}\n"));
    assert_eq!(place.said(&["images", "-q", "--no-trunc"]), format!("{id}\n"));
    assert!(
        place
            .said(&["images", "--digests"])
            .lines()
            .all(|line| line.contains("DIGEST") || line.contains("sha256:"))
    );
}

#[test]
fn a_name_narrows_the_list_to_its_repository_or_tag() {
    let place = Place::new();
    place.pull_small("small");
    for name in ["small:2", "localhost/small:3", "docker.io/library/debian:12", "other/small:1"] {
        place.said(&["tag", "small:1", name]);
    }
    let listed = |name: &str| -> Vec<String> {
        let rows = place.rows(&["images", "--json", name]);
        let name = |row: &serde_json::Value| {
            format!("{}:{}", row["repository"], row["tag"]).replace('"', "")
        };
        rows.iter().map(name).collect()
    };
    assert_eq!(listed("small"), ["small:1", "small:2", "localhost/small:3"]);
    assert_eq!(listed("small:2"), ["small:2"]);
    assert_eq!(listed("small:3"), ["localhost/small:3"]);
    assert_eq!(listed("debian"), ["debian:12"]);
    assert_eq!(listed("other/small"), ["other/small:1"]);
    assert!(listed("absent").is_empty());
    assert_eq!(place.said(&["images", "-q"]).lines().count(), 1, "an id is printed once");
}

#[test]
fn the_newest_image_comes_first() {
    let place = Place::new();
    let image = |tag, created| Image {
        tag: Some(tag),
        layers: vec![tar(&[("f", &big(1))])],
        history: json!([]),
        created,
    };
    let layout = Layout::new()
        .with(&image("old", "2001-01-01T00:00:00Z"))
        .with(&image("new", "2011-01-01T00:00:00Z"))
        .with(&image("timeless", "no time"))
        .with(&image("middle", "2006-01-01T00:00:00Z"));
    std::fs::write(place.join("many.tar"), layout.archive()).unwrap();
    place.said(&["load", "-i", "many.tar"]);
    let tags: Vec<String> = place
        .said(&["images"])
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().nth(1).unwrap().into())
        .collect();
    assert_eq!(tags, ["new", "middle", "old", "timeless"]);
}

#[test]
fn layers_are_listed_lowest_first_with_what_each_takes() {
    let place = Place::new();
    place.pull_small("small");
    let rows = place.rows(&["layers", "--json", "small:1"]);
    let column =
        |key: &str| rows.iter().map(|row| row[key].as_u64().expect("a number")).collect::<Vec<_>>();
    assert_eq!(column("size"), [10_005, 10_000, 0]);
    assert!(column("own_bytes")[0] >= 10_000, "{rows:?}");
    assert_eq!(column("shared_bytes"), [0, 0, 0]);
    let table = place.said(&["layers", "small:1"]);
    assert!(table.starts_with("DIFF ID        SIZE      FILES     OWN"), "{table}");
    // A second image whose layer holds the same contents shares them.
    place.feed(&["import", "-", "other"], &tar(&[("elsewhere", &big(b'a'))]));
    assert_eq!(
        place.rows(&["layers", "--json", "small:1"])[0]["shared_bytes"]
            .as_u64()
            .map(|b| b >= 10_000),
        Some(true)
    );
}

#[test]
fn only_the_ids_of_layers_are_printed_on_demand() {
    let place = Place::new();
    place.pull_small("small");
    let full = place.rows(&["layers", "--json", "small:1"]);
    let full: Vec<&str> = full.iter().map(|row| row["diff_id"].as_str().unwrap()).collect();
    let lines =
        |words: &[&str]| -> Vec<String> { place.said(words).lines().map(String::from).collect() };
    assert_eq!(lines(&["layers", "-q", "--no-trunc", "small:1"]), full);
    let short: Vec<&str> = full.iter().map(|id| &id[7..19]).collect();
    assert_eq!(lines(&["layers", "--quiet", "small:1"]), short);
    assert!(
        place.run(&["layers", "-q", "--json", "small:1"]).refusal(2).contains("cannot be used")
    );
}

#[test]
fn history_says_which_step_made_which_layer() {
    let place = Place::new();
    let id = place.pull_small("small");
    let rows = place.rows(&["history", "--json", "small:1"]);
    let layers: Vec<_> = place
        .rows(&["layers", "--json", "small:1"])
        .iter()
        .map(|row| row["diff_id"].clone())
        .collect();
    let made: Vec<_> = rows.iter().map(|row| row["layer"].clone()).collect();
    assert_eq!(made, [layers[2].clone(), json!(null), layers[1].clone(), layers[0].clone()]);
    let sizes: Vec<_> = rows.iter().map(|row| row["size"].clone()).collect();
    assert_eq!(sizes, [0, 0, 10_000, 10_005]);
    assert_eq!((&rows[0]["id"], &rows[1]["id"]), (&json!(id), &json!(null)));
    assert_eq!(rows[0]["created"], "2020-01-03T23:00:00Z");
    let table = place.said(&["history", "small:1"]);
    assert_eq!(
        table.lines().nth(2).and_then(|line| line.split("   ").next()),
        Some("<missing>"),
        "{table}"
    );
    assert!(table.contains("ENV X=1") && table.contains("a remark"), "{table}");
    assert_eq!(
        place.said(&["history", "-q", "small:1"]).lines().skip(1).collect::<Vec<_>>(),
        ["<missing>"; 3]
    );
}

#[test]
fn what_an_image_says_can_not_steer_the_terminal() {
    let place = Place::new();
    place.pull_small("small");
    for words in [&["history", "small:1"][..], &["history", "--no-trunc", "small:1"]] {
        let table = place.said(words);
        assert!(!table.contains('\u{1b}') && table.contains("RM \\u{1b}[31mb  and"), "{table}");
        assert_eq!(table.lines().count(), 5, "{table}");
    }
    assert!(place.said(&["history", "small:1"]).contains('…'));
}

#[test]
fn inspect_prints_what_it_finds_and_tells_what_it_does_not() {
    let place = Place::new();
    let id = place.pull_small("small");
    let run = place.run(&["inspect", "small:1", "absent", &id[..15]]);
    assert_eq!(run.status, Some(1));
    assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
    let found = array(&run.stdout);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0], found[1]);
    assert_eq!((&found[0]["Id"], &found[0]["RepoTags"]), (&json!(id), &json!(["small:1"])));
    assert_eq!(found[0]["Config"]["Unknown"], json!({ "kept": true }));
    assert_eq!(found[0]["RootFS"]["Layers"].as_array().map(Vec::len), Some(3));
    let by_digest = found[0]["RepoDigests"][0].as_str().expect("a digest");
    assert_eq!(place.rows(&["inspect", by_digest])[0], found[0]);
    assert_eq!(place.rows(&["inspect", "--json", "small:1"])[0], found[0]);
}

#[test]
fn a_name_goes_to_the_image_that_was_tagged_last() {
    let place = Place::new();
    let first = place.pull_small("small");
    let second = place.feed(&["import", "-", "other"], &tar(&[("f", b"1")])).stdout;
    place.said(&["tag", "small:1", "mine"]);
    assert_eq!(place.rows(&["inspect", "mine"])[0]["Id"], json!(first));
    place.said(&["tag", "other", "mine:latest"]);
    assert_eq!(place.rows(&["inspect", "mine"])[0]["Id"], json!(second.trim_end()));
    let line = place.refused(&["tag", "small:1", &format!("x@sha256:{}", "0".repeat(64))]);
    assert!(line.contains("leave out what follows `@`"), "{line}");
    assert!(place.refused(&["tag", "small:1", "UPPER"]).contains("UPPER"));
}

/// One line for what is damaged, and exit status 1; the rest is shown.
#[test]
fn a_damaged_image_is_told_and_the_others_are_listed() {
    let place = Place::new();
    let id = place.pull_small("small");
    place.feed(&["import", "-", "other:1"], &tar(&[("f", b"1")]));
    let config = place.join("store/blobs/sha256").join(&id["sha256:".len()..]);
    let whole = std::fs::read(&config).unwrap();
    let damage = |bytes: &[u8]| {
        std::fs::remove_file(&config).unwrap();
        std::fs::write(&config, bytes).unwrap();
    };
    damage(b"{}");
    let short = &id["sha256:".len()..][..12];
    for words in [&["images"][..], &["images", "--json"], &["images", "-q"], &["info"]] {
        let run = place.run(words);
        assert_eq!((run.status, run.stderr.lines().count()), (Some(1), 1), "{words:?}: {run:?}");
        assert!(run.stderr.contains(short) && run.stderr.contains("is damaged"), "{run:?}");
        assert!(!run.stdout.contains(short) && !run.stdout.contains("small"), "{run:?}");
    }
    assert_eq!(array(&place.run(&["images", "--json"]).stdout)[0]["repository"], "other");
    assert!(place.run(&["info"]).stdout.contains("\nImages: 1\n"));
    // Whoever asks for another image has nothing to do with it.
    assert_eq!(place.rows(&["images", "--json", "other"]).len(), 1);
    for words in ["small", short] {
        let run = place.run(&["images", "-q", words]);
        assert_eq!((run.status, run.stdout.as_str()), (Some(1), ""), "{run:?}");
    }
    damage(&whole);
    assert_eq!(place.rows(&["images", "--json"]).len(), 2);
    let names = std::fs::read_dir(place.join("store/images/names")).unwrap();
    let name = names
        .map(|entry| entry.unwrap().path())
        .find(|path| std::fs::read_to_string(path).unwrap().contains("small"));
    std::fs::write(name.expect("each name has a file"), b"{}").unwrap();
    let run = place.run(&["images", "--json"]);
    assert_eq!((run.status, run.stderr.lines().count()), (Some(1), 1), "{run:?}");
    assert_eq!(array(&run.stdout).len(), 2, "the image is there without its name: {run:?}");
}
