//! `docs/json.md` and the command agree on every key.

use std::collections::{BTreeMap, BTreeSet};

use layerfs_driver::store::container::Keep;
use serde_json::Value;

use crate::containers::{make, of_image};
use crate::layout::big;
use crate::place::{Place, array};

/// The keys that the page lists, by the words after `layerfs`.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/json.md"))
        .expect("the page is there");
    let mut found = BTreeMap::new();
    for section in page.split("\n## ").skip(1) {
        let words = section.strip_prefix("`layerfs ").and_then(|rest| rest.split('`').next());
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
        let keys = rows.filter_map(|row| row.split('`').next()).map(String::from);
        let keys = keys.filter(|key| !is_foreign(key)).collect();
        let words = words.expect("a section is headed by its command");
        found.insert(words.trim_end_matches(" --json").to_owned(), keys);
    }
    found
}

/// What images say in words of their own, and containers in those that `run` noted: its tests compare them with the page.
const FOREIGN: [&str; 4] = ["Config", "HostConfig", "NetworkSettings", "labels"];

fn is_foreign(key: &str) -> bool {
    key.split_once('.').is_some_and(|(first, _)| FOREIGN.contains(&first))
}

/// The keys of a row, those of nested rows with the path to them.
fn keys_of(row: &Value, path: &str, found: &mut BTreeSet<String>) {
    let Value::Object(fields) = row else { panic!("a row is an object: {row}") };
    for (key, value) in fields {
        let path = format!("{path}{key}");
        match value {
            Value::Object(_) if !FOREIGN.contains(&path.as_str()) => {
                keys_of(value, &format!("{path}."), found)
            }
            Value::Array(rows) if rows.iter().any(Value::is_object) => {
                rows.iter().for_each(|row| keys_of(row, &format!("{path}[]."), found));
            }
            _ => {
                found.insert(path);
            }
        }
    }
}

#[test]
fn every_key_is_documented_and_every_documented_key_is_printed() {
    let place = Place::new();
    place.pull_small("small");
    let objects = std::fs::read_dir(place.join("store/objects")).unwrap().flat_map(|dir| {
        std::fs::read_dir(dir.unwrap().path()).unwrap().map(|entry| entry.unwrap().path())
    });
    let object = objects.into_iter().next().expect("the image has a big file");
    let _web = make(&place, "web", of_image(&place, "small:1"), Keep::Kept);
    place.run(&["volume", "create", "data"]);
    let runs: [(&str, &[&str]); 14] = [
        ("images", &["images", "--json"]),
        ("layers IMAGE", &["layers", "--json", "small:1"]),
        ("history IMAGE", &["history", "--json", "small:1"]),
        ("inspect IMAGE", &["inspect", "small:1"]),
        ("inspect CONTAINER", &["inspect", "web"]),
        ("ps", &["ps", "--all", "--json"]),
        ("stats", &["stats", "--json", "web"]),
        ("volume ls", &["volume", "ls", "--json"]),
        ("network ls", &["network", "ls", "--json"]),
        ("df", &["df", "--json"]),
        ("gc", &["gc", "--json"]),
        ("info", &["info", "--json"]),
        ("check", &["check", "--json"]),
        ("fsck", &["fsck", "--json"]),
    ];
    let documented = documented();
    // What needs a mount has a test among those of mounts.
    let headings =
        runs.iter().map(|(heading, _)| *heading).chain(["mount", "diff CONTAINER|DIR", "bench"]);
    let headings: BTreeSet<&str> = headings.collect();
    assert_eq!(documented.keys().map(String::as_str).collect::<BTreeSet<_>>(), headings);
    for (heading, words) in runs {
        if words[0] == "fsck" {
            // Findings have keys of their own.
            std::fs::remove_file(&object).unwrap();
            std::fs::write(&object, big(b'!')).unwrap();
        }
        let rows = array(&place.run(words).stdout);
        assert!(!rows.is_empty(), "{words:?}");
        for row in rows {
            let mut found = BTreeSet::new();
            keys_of(&row, "", &mut found);
            assert_eq!(found, documented[heading], "{words:?}");
        }
    }
}
