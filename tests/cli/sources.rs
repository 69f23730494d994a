//! Bringing images in: pull, load, import.

use std::process::Command;

use layerfs_driver::store::digest::Digest;
use serde_json::json;

use crate::layout::{Image, Layout, big, tar, three_layers};
use crate::place::{Place, finished};
use crate::support::fixtures;

/// A layout with the small image as tag `1`, and another as tag `2`.
fn two() -> Layout {
    let other = Image {
        tag: Some("2"),
        layers: three_layers()[..1].to_vec(),
        history: json!(null),
        created: "2021-01-01T00:00:00Z",
    };
    Layout::small().with(&other)
}

#[test]
fn an_image_of_a_registry_is_told_how_to_get_it() {
    let place = Place::new();
    let line = place.refused(&["pull", "debian"]);
    assert!(line.contains("registries are not spoken yet"), "{line}");
    assert!(
        line.contains("skopeo copy docker://docker.io/library/debian:latest oci:debian:latest"),
        "{line}"
    );
    assert!(line.contains("layerfs pull oci:debian:latest"), "{line}");
}

/// What is to be used and is not here is told as what is to be pulled: how to get it.
#[test]
fn an_image_to_be_run_or_mounted_that_is_not_here_is_told_how_to_get_it() {
    let place = Place::new();
    let id = place.pull_small("small");
    let lines = [
        place.run(&["run", "--rm", "debian:77", "true"]).refusal(125),
        place.refused(&["mount", "debian:77", "."]),
    ];
    for line in lines {
        assert_eq!(
            line,
            "no image `debian:77` in the store; registries are not spoken yet; run `skopeo copy \
             docker://docker.io/library/debian:77 oci:debian:77`, then `layerfs pull oci:debian:77`"
        );
    }
    // An id is nothing that a registry knows.
    let other = if id.ends_with('0') { "1" } else { "0" };
    for words in
        [format!("{}{other}", &id[..id.len() - 1]), "deadbeef".into(), "sha256:dead".into()]
    {
        let line = place.refused(&["mount", &words, "."]);
        assert!(line.ends_with("in the store; `layerfs images` lists what is here"), "{line}");
    }
}

#[test]
fn a_bare_tag_is_joined_to_the_name_that_a_directory_has() {
    let place = Place::new();
    Layout::small().write(&place.join("small"));
    std::fs::create_dir(place.join("small/below")).unwrap();
    for (from, source) in
        [("small", "oci:."), ("small", "oci:./"), ("small/below", "oci:.."), (".", "oci:small/.")]
    {
        let mut command = place.command(&["pull", source]);
        let run = finished(command.current_dir(place.join(from)));
        assert_eq!((run.status, run.stdout.as_str()), (Some(0), "small:1\n"), "{source}: {run:?}");
        place.said(&["rmi", "small:1"]);
    }
}

#[test]
fn an_unknown_transport_lists_the_known_ones() {
    let line = Place::new().refused(&["pull", "dir:/x"]);
    for known in ["oci:DIR[:TAG]", "oci-archive:FILE[:TAG]", "docker-archive:FILE[:NAME]"] {
        assert!(line.contains(known), "{line}");
    }
}

#[test]
fn a_pulled_image_is_named_after_its_directory_and_tag() {
    let place = Place::new();
    Layout::small().write(&place.join("small"));
    let run = place.run(&["pull", "oci:small"]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(0), "small:1\n"));
    let done = run.stderr.lines().filter(|line| line.ends_with(": imported")).count();
    assert_eq!(done, 3, "{run:?}");
    let again = place.run(&["pull", "oci:small:1", "--name", "registry.example.org/other:x"]);
    assert_eq!(again.stdout, "registry.example.org/other:x\n");
    let here: Vec<&str> = again.stderr.lines().filter_map(|line| line.split(": ").nth(1)).collect();
    assert_eq!(here, ["already here"; 3], "{again:?}");
}

#[test]
fn quiet_prints_the_id_and_nothing_else() {
    let place = Place::new();
    Layout::small().write(&place.join("small"));
    let run = place.run(&["pull", "--quiet", "oci:small"]);
    assert_eq!(run.stderr, "");
    assert_eq!(run.stdout.trim_end(), place.rows(&["images", "--json"])[0]["id"]);
}

#[test]
fn of_several_images_one_must_be_chosen_and_load_takes_all() {
    let place = Place::new();
    two().write(&place.join("two"));
    let line = place.refused(&["pull", "oci:two"]);
    assert!(line.contains('1') && line.contains('2'), "{line}");
    assert_eq!(place.said(&["pull", "oci:two:2"]), "two:2\n");
    std::fs::write(place.join("two.tar"), two().archive()).expect("the place is ours");
    let said = place.said(&["load", "-i", "two.tar"]);
    assert_eq!(said, "Loaded image: two:1\nLoaded image: two:2\n");
}

#[test]
fn load_reads_standard_input() {
    let place = Place::new();
    let run = place.feed(&["load", "--name", "mine"], &Layout::small().archive());
    assert_eq!(
        (run.status, run.stdout.as_str()),
        (Some(0), "Loaded image: mine:latest\n"),
        "{run:?}"
    );
    let line = place.feed(&["load", "--name", "mine"], &two().archive()).refusal(1);
    assert!(line.contains("--name names one image, and 2 are there"), "{line}");
}

/// One image that can't be taken keeps no other away, whether it comes first, last or in between.
#[test]
fn load_takes_every_image_that_is_whole() {
    let image = |tag, created| Image {
        tag: Some(tag),
        layers: vec![tar(&[("f", created)])],
        history: json!([]),
        created: std::str::from_utf8(created).unwrap(),
    };
    let tags = ["1", "2", "3"];
    let all: Vec<_> = tags.iter().map(|tag| image(tag, tag.as_bytes())).collect();
    let layout = all.iter().fold(Layout::new(), Layout::with);
    for bad in 0..3 {
        for form in ["oci", "docker", "both"] {
            let place = Place::new();
            let lost = &all[bad].layers[0];
            std::fs::write(place.join("all.tar"), layout.archive_without(lost, form)).unwrap();
            let run = place.run(&["load", "-i", "all.tar", "-q"]);
            let line = run.stderr.lines().collect::<Vec<_>>();
            assert_eq!((run.status, line.len()), (Some(1), 1), "{form} {bad}: {run:?}");
            let named = format!("layerfs: all.tar: image `all:{}`: ", tags[bad]);
            let digest = Digest::of(lost).hex();
            assert!(line[0].starts_with(&named) && line[0].contains(&digest), "{form}: {line:?}");
            assert_eq!(run.stdout.lines().count(), 2, "{form} {bad}: {run:?}");
            let rows = place.rows(&["images", "--json"]);
            let mut taken: Vec<_> = rows.iter().map(|row| row["tag"].as_str().unwrap()).collect();
            taken.sort_unstable();
            let whole: Vec<_> = tags.into_iter().filter(|tag| *tag != tags[bad]).collect();
            assert_eq!(taken, whole, "{form}");
        }
    }
    // Where there is nothing but what can't be taken, each has its line.
    let place = Place::new();
    let two = all[1..].iter().fold(Layout::new(), Layout::with);
    std::fs::write(place.join("all.tar"), two.index_alone()).unwrap();
    let run = place.run(&["load", "-i", "all.tar"]);
    assert_eq!((run.status, run.stdout.as_str()), (Some(1), ""), "{run:?}");
    assert_eq!(run.stderr.lines().count(), 2, "{run:?}");
}

#[test]
fn an_image_without_a_name_is_told_by_its_id() {
    let place = Place::new();
    let image = Image { tag: None, layers: three_layers(), history: json!([]), created: "" };
    let run = place.feed(&["load"], &Layout::new().with(&image).archive());
    let row = &place.rows(&["images", "--json"])[0];
    assert_eq!(run.stdout, format!("Loaded image ID: {}\n", row["id"].as_str().expect("a string")));
    assert_eq!((&row["repository"], &row["created"]), (&json!(null), &json!(null)));
    let table = place.said(&["images"]);
    let fields: Vec<&str> = table.lines().nth(1).expect("one image").split_whitespace().collect();
    assert_eq!((fields[0], fields[1], fields[3]), ("<none>", "<none>", "N/A"));
}

#[test]
fn a_truncated_archive_is_one_line_and_leaves_nothing() {
    let place = Place::new();
    let archive = Layout::small().archive();
    let line = place.feed(&["load"], &archive[..archive.len() / 2]).refusal(1);
    assert!(line.starts_with("standard input: "), "{line}");
    assert_eq!(place.said(&["images", "-q"]), "");
}

#[test]
fn a_root_file_system_comes_from_a_file_a_directory_or_standard_input() {
    let place = Place::new();
    let archive = tar(&[("file", &big(b'x'))]);
    std::fs::write(place.join("root.tar"), &archive).expect("the place is ours");
    std::fs::create_dir(place.join("root")).expect("the place is ours");
    std::fs::write(place.join("root/file"), big(b'x')).expect("the place is ours");
    let runs = [
        place.run(&["import", "root.tar", "from:file"]),
        place.run(&["import", "root", "from:dir"]),
        place.feed(&["import", "-", "from:stdin"], &archive),
    ];
    for run in &runs {
        assert_eq!(run.status, Some(0), "{run:?}");
        assert!(run.stdout.starts_with("sha256:"), "{run:?}");
    }
    let rows = place.rows(&["images", "--json", "from"]);
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row["size"] == 10_000), "{rows:?}");
    let history = place.said(&["history", "from:stdin"]);
    assert!(history.contains("Imported from standard input"), "{history}");
}

/// What `<(command)` and /dev/stdin are: fifos, of which one may have no writer yet.
#[test]
fn a_root_file_system_comes_through_a_fifo() {
    let place = Place::new();
    std::fs::write(place.join("root.tar"), tar(&[("file", &big(b'x'))])).unwrap();
    assert!(Command::new("mkfifo").arg(place.join("fifo")).status().unwrap().success());
    let layerfs = env!("CARGO_BIN_EXE_layerfs");
    let scripts = [
        format!("{layerfs} import <(cat root.tar) from:substitution"),
        format!("cat root.tar | {layerfs} import /dev/stdin from:stdin"),
        format!("{layerfs} import fifo from:fifo & cat root.tar > fifo; wait $!"),
    ];
    for script in scripts {
        let mut shell = Command::new("bash");
        shell.args(["-c", &script]).current_dir(place.join("."));
        let run = finished(shell.env("LAYERFS_ROOT", place.join("store")));
        assert_eq!(run.status, Some(0), "{script}: {run:?}");
    }
    let rows = place.rows(&["images", "--json", "from"]);
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row["size"] == 10_000), "{rows:?}");
}

#[test]
fn an_import_is_told_by_the_words_for_where_it_comes_from() {
    let place = Place::new();
    std::fs::write(place.join("root.tar"), tar(&[("file", b"x")])).expect("the place is ours");
    let run = place.run(&["import", "root.tar", "x"]);
    assert_eq!(run.stderr, "root.tar: importing\nroot.tar: imported\n");
}

#[test]
fn a_path_without_its_kind_is_told_how_to_be_written() {
    let place = Place::new();
    Layout::small().write(&place.join("small"));
    for words in ["small", "small:1", "./small:1"] {
        let line = place.refused(&["pull", words]);
        assert!(line.contains(&format!("write oci:{words} for a layout")), "{line}");
    }
}

#[test]
fn an_import_that_can_not_be_begun_says_why() {
    let place = Place::new();
    let rows: [(&[&str], &str); 4] = [
        (&["import", "absent.tar", "x"], "absent.tar"),
        (&["import", "/dev/null", "x"], "neither an archive nor a directory"),
        (&["import", "-", "Upper"], "Upper"),
        (&["pull", "oci:absent"], "absent"),
    ];
    for (words, expected) in rows {
        let line = place.refused(words);
        assert!(line.contains(expected), "{words:?}: {line}");
    }
}

#[test]
fn a_name_that_docker_writes_twice_is_given_once() {
    let place = Place::new();
    let archives = [fixtures::docker_save_25(), fixtures::docker_save_containerd()];
    for archive in archives.into_iter().flatten() {
        let said =
            place.said(&["load", "-i", archive.to_str().expect("the cache has a plain path")]);
        assert_eq!(said, "Loaded image: small:latest\n");
    }
    assert!(place.rows(&["images", "--json"]).len() <= 1);
}

#[test]
fn sources_that_are_not_there_or_none_are_told_in_plain_words() {
    let place = Place::new();
    std::fs::write(place.join("text"), "root:x:0:0:\n".repeat(200)).unwrap();
    let absent = ": it does not exist; is its name right?";
    let none = ": it is not a tar archive, plain or packed with gzip or zstd: ";
    let rows: [(&[&str], &str); 7] = [
        (&["pull", "oci:nope"], absent),
        (&["pull", "oci-archive:nope"], absent),
        (&["load", "-i", "nope"], absent),
        (&["import", "nope", "x"], absent),
        (&["pull", "oci:text"], ": it is not a directory; is its name right?"),
        (&["import", "text", "x"], none),
        (&["load", "-i", "text"], none),
    ];
    for (words, expected) in rows {
        let run = place.run(words);
        assert_eq!(run.status, Some(1), "{words:?}: {run:?}");
        let line = run.stderr.lines().last().unwrap();
        assert!(line.contains(expected) && !line.contains("openat"), "{words:?}: {line}");
    }
}
