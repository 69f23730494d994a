//! `--filter` as docker's scripts say it: what is chosen, and what is told of words that choose nothing.
#![allow(clippy::unwrap_used, reason = "a test that can't go on stops there")]

use layerfs_driver::store::Store;
use layerfs_driver::store::container::{Base, Keep, Living, NewContainer};
use serde_json::{Map, Value, json};

use crate::containers::{make, of_image};
use crate::place::Place;

/// A container with labels and volumes.
fn labelled(place: &Place, name: &str, labels: Value, volumes: &[&str]) -> Living {
    let new = NewContainer {
        name: Some(name.into()),
        base: Base::rootfs(std::path::Path::new("/some/where")),
        command: vec!["sh".into()],
        hostname: None,
        keep: Keep::Kept,
        details: Map::from_iter([("Config".to_owned(), json!({ "Labels": labels }))]),
        said: Value::Null,
        volumes: volumes.iter().map(|name| (*name).to_owned()).collect(),
    };
    Store::open(&place.join("store")).unwrap().create_container(new).unwrap()
}

/// Names of all containers that fit, sorted.
fn chosen(place: &Place, filters: &[&str]) -> Vec<String> {
    let mut words = vec!["ps", "-a", "--format", "{{.Names}}"];
    filters.iter().for_each(|filter| words.extend(["-f", filter]));
    let mut names: Vec<String> = place.said(&words).lines().map(String::from).collect();
    names.sort();
    names
}

#[test]
fn containers_are_chosen_by_names_as_dockers_scripts_say_them() {
    let place = Place::new();
    for name in ["web", "web-1", "my.web", "db"] {
        drop(labelled(&place, name, json!({}), &[]));
    }
    for (said, names) in [
        ("name=web", &["my.web", "web", "web-1"][..]),
        ("name=^web$", &["web"]),
        ("name=^/web$", &["web"]),
        ("name=/web", &["web", "web-1"]),
        ("name=web$", &["my.web", "web"]),
        ("name=^db$|^web$", &["db", "web"]),
        ("name=^eb", &[]),
    ] {
        assert_eq!(chosen(&place, &[said]), names, "{said}");
    }
    for said in ["name=web.*", "name=^(web|db)$", "name=[w]eb", "name=w\neb"] {
        let line = place.run(&["ps", "-a", "-f", said]).refusal(2);
        assert!(line.contains("is not understood: names have letters"), "{said}: {line}");
    }
}

#[test]
fn containers_are_chosen_by_all_labels_that_are_said() {
    let place = Place::new();
    drop(labelled(&place, "one", json!({"a": "1"}), &[]));
    drop(labelled(&place, "two", json!({"a": "1", "b": "2"}), &[]));
    assert_eq!(chosen(&place, &["label=a"]), ["one", "two"]);
    assert_eq!(chosen(&place, &["label=a=1", "label=b"]), ["two"]);
    assert!(chosen(&place, &["label=a", "label=b=3"]).is_empty());
}

#[test]
fn containers_are_chosen_by_the_image_that_they_are_of() {
    let place = Place::new();
    let id = place.pull_small("small");
    std::fs::create_dir(place.join("root")).unwrap();
    let mut others = Vec::new();
    for name in ["docker.io/library/debian:latest", "debian:bookworm"] {
        std::fs::write(place.join("root").join(name.replace('/', "_")), name).unwrap();
        place.said(&["import", "-q", "root", name]);
        others.push(place.said(&["images", "-q", "--no-trunc", name]).trim_end().to_owned());
    }
    // Made by a tag, by a name without one, by another form of it, and by an id.
    let keep = Keep::Kept;
    drop(make(&place, "small", of_image(&place, "small:1"), keep));
    drop(make(&place, "byid", of_image(&place, &id[7..19]), keep));
    drop(make(&place, "latest", of_image(&place, "debian:latest"), keep));
    drop(make(&place, "bare", of_image(&place, "debian"), keep));
    drop(make(&place, "whole", of_image(&place, "docker.io/library/debian:latest"), keep));
    drop(make(&place, "bookworm", of_image(&place, "debian:bookworm"), keep));
    let latest = &["bare", "latest", "whole"][..];
    let short = &others[0][7..19];
    for (said, names) in [
        ("debian", latest),
        ("debian:latest", latest),
        ("docker.io/library/debian", latest),
        (short, latest),
        (&others[0], latest),
        (&others[0][..19], latest),
        (&others[0][7..], latest),
        ("debian:bookworm", &["bookworm"]),
        (&others[1][7..19], &["bookworm"]),
        ("small:1", &["byid", "small"]),
        ("small", &[]),
        (&id[7..19], &["byid", "small"]),
        ("debian:trixie", &[]),
        ("deb", &[]),
        ("0000000000000", &[]),
        ("", &[]),
    ] {
        assert_eq!(chosen(&place, &[&format!("ancestor={said}")]), names, "{said}");
    }
    // Containers outlive the image of their name.
    place.said(&["rmi", "-f", "debian:bookworm"]);
    assert_eq!(chosen(&place, &["ancestor=debian:bookworm"]), ["bookworm"]);
    assert_eq!(chosen(&place, &[&format!("ancestor={}", &others[1][7..19])]), ["bookworm"]);
}
