//! `--filter` as docker's scripts say it: what is chosen, and what is told of words that choose nothing.
#![allow(clippy::unwrap_used, reason = "a test that can't go on stops there")]

use layerfs_driver::store::Store;
use layerfs_driver::store::container::{Base, Keep, Living, NewContainer};
use serde_json::{Map, Value, json};

use crate::containers::{make, of_image};
use crate::place::Place;

/// A container with labels and volumes.
pub fn labelled(place: &Place, name: &str, labels: Value, volumes: &[&str]) -> Living {
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
        ("name=web.+", &["web-1"]),
        ("name=^(web|db)$", &["db", "web"]),
        ("name=[w]eb-", &["web-1"]),
    ] {
        assert_eq!(chosen(&place, &[said]), names, "{said}");
    }
    for said in ["name=*web", "name=^(web|db", "name=[web", "name=web\\"] {
        let line = place.run(&["ps", "-a", "-f", said]).refusal(2);
        assert!(line.contains("it is no regular expression: "), "{said}: {line}");
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

#[test]
fn volumes_are_chosen_by_filters_and_shown_by_templates() {
    let place = Place::new();
    for (name, label) in [("data", "a=1"), ("www", "a=2"), ("www-old", "b")] {
        place.said(&["volume", "create", "-l", label, name]);
    }
    let web = labelled(&place, "web", json!({}), &["www"]);
    let chosen = |filters: &[&str]| {
        let mut words = vec!["volume", "ls", "-q"];
        filters.iter().for_each(|filter| words.extend(["-f", filter]));
        place.said(&words)
    };
    for (filters, names) in [
        (&["dangling=true"][..], "data\nwww-old\n"),
        (&["dangling=false"], "www\n"),
        (&["dangling=1", "name=www"], "www-old\n"),
        (&["name=^www$"], "www\n"),
        (&["name=www", "name=data"], "data\nwww\nwww-old\n"),
        (&["label=a"], "data\nwww\n"),
        (&["label=a=2"], "www\n"),
        (&["label=a", "label=b"], ""),
    ] {
        assert_eq!(chosen(filters), names, "{filters:?}");
    }
    for (filter, told) in [
        ("dangling", "write KEY=VALUE; the keys are dangling, name, label"),
        ("dangling=maybe", "write true or false"),
        ("driver=local", "there is no key `driver`"),
        ("name=*www", "it is no regular expression: "),
    ] {
        let line = place.run(&["volume", "ls", "--filter", filter]).refusal(2);
        assert!(line.contains(told), "{filter}: {line}");
    }
    let said = place.said(&[
        "volume",
        "ls",
        "-f",
        "label=b",
        "--format",
        "{{.Name}} {{.Driver}} {{.Labels}} {{.Mountpoint}}",
    ]);
    let at = place.join("store/volumes/www-old/data");
    assert_eq!(said, format!("www-old local b= {}\n", at.display()));
    assert_eq!(place.said(&["volume", "ls", "--format", "json"]).lines().count(), 3);
    let table = place.said(&["volume", "ls", "--format", "table {{.Name}}", "-f", "name=data"]);
    assert_eq!(table, "NAME\ndata\n");
    assert_eq!(place.rows(&["volume", "ls", "--json", "-f", "name=www"]).len(), 2);
    drop(web);
}

/// Any volume may be one of its.
#[test]
fn no_volume_is_said_to_dangle_while_a_container_can_not_be_read() {
    let place = Place::new();
    place.said(&["volume", "create", "data"]);
    let web = labelled(&place, "web", json!({}), &["data"]);
    let record = place.join("store/containers").join(web.id().hex()).join("container.json");
    std::fs::write(record, b"{").unwrap();
    drop(web);
    let line = place.refused(&["volume", "ls", "-q", "-f", "dangling=true"]);
    assert!(line.contains("may be used by a container that can't be read"), "{line}");
    assert_eq!(place.said(&["volume", "ls", "-q"]), "data\n");
}

#[test]
fn images_are_chosen_by_their_names_and_by_having_none() {
    let place = Place::new();
    std::fs::create_dir(place.join("root")).unwrap();
    let mut ids = Vec::new();
    for name in ["lost:1", "docker.io/library/debian:bookworm", "quay.io/some/debian:1"] {
        std::fs::write(place.join("root/file"), name).unwrap();
        place.said(&["import", "-q", "root", name]);
        ids.push(place.said(&["images", "-q", name]));
    }
    // Its last name goes to another image.
    place.said(&["tag", "debian:bookworm", "lost:1"]);
    assert_eq!(place.said(&["images", "-qf", "dangling=true"]), ids[0]);
    let chosen = |filters: &[&str]| {
        let mut words = vec!["images", "--format", "{{.Repository}}:{{.Tag}}"];
        filters.iter().for_each(|filter| words.extend(["-f", filter]));
        let mut names: Vec<String> = place.said(&words).lines().map(String::from).collect();
        names.sort();
        names
    };
    for (filters, names) in [
        (&["dangling=true"][..], &["<none>:<none>"][..]),
        (&["dangling=false"], &["debian:bookworm", "lost:1", "quay.io/some/debian:1"]),
        (&["reference=debian"], &["debian:bookworm"]),
        (&["reference=*:bookworm"], &["debian:bookworm"]),
        (&["reference=quay.io/*/deb*"], &["quay.io/some/debian:1"]),
        (&["reference=debian", "reference=lo?t"], &["debian:bookworm", "lost:1"]),
        (&["reference=debian", "dangling=true"], &[]),
    ] {
        assert_eq!(chosen(filters), names, "{filters:?}");
    }
    for (filter, told) in [
        ("dangling=", "write true or false"),
        ("reference=[a-z]*", "`[` is not understood"),
        ("before=debian", "there is no key `before`; the keys are dangling, reference"),
    ] {
        let line = place.run(&["images", "--filter", filter]).refusal(2);
        assert!(line.contains(told), "{filter}: {line}");
    }
}
