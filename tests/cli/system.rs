//! The store as a whole, and the machine: df, gc, info, check, completion, man.

use std::process::Command;

use serde_json::{Value, json};

use crate::filters::labelled;
use crate::layout::big;
use crate::place::{Place, finished};

#[test]
fn df_adds_up_to_what_du_counts() {
    let place = Place::new();
    place.pull_small("small");
    place.said(&["volume", "create", "data"]);
    std::fs::write(place.join("store/volumes/data/data/file"), big(1).repeat(20)).unwrap();
    let rows = place.rows(&["df", "--json"]);
    let size = |kind: &str| {
        rows.iter().find(|row| row["type"] == kind).and_then(|row| row["size"].as_u64()).unwrap()
    };
    let parts: u64 =
        ["objects", "layers", "trees", "blobs", "other"].iter().map(|kind| size(kind)).sum();
    assert_eq!(size("images"), parts);
    let du = Command::new("du")
        .args(["-s", "--block-size=1"])
        .arg(place.join("store"))
        .output()
        .unwrap();
    let du: u64 =
        String::from_utf8(du.stdout).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    let counted = size("images") + size("containers") + size("volumes");
    assert!(counted.abs_diff(du) * 100 <= du, "df {counted}, du {du}");
    let table = place.said(&["df"]);
    assert!(
        table.starts_with("TYPE") && table.contains("\nImages ") && table.contains("\nContainers "),
        "{table}"
    );
}

#[test]
fn df_counts_volumes_by_who_names_them() {
    let place = Place::new();
    for name in ["used", "free"] {
        place.said(&["volume", "create", name]);
        let file = place.join("store/volumes").join(name).join("data/file");
        std::fs::write(file, big(1).repeat(20)).unwrap();
    }
    // What a removal left that was killed is nobody's volume.
    std::fs::create_dir_all(place.join("store/volumes/.gone-1/data")).unwrap();
    let web = labelled(&place, "web", json!({}), &["used"]);
    let volumes = |place: &Place| {
        let rows = place.rows(&["df", "--json"]);
        let row = rows.iter().find(|row| row["type"] == "volumes").unwrap();
        ["total", "active", "size", "reclaimable"].map(|key| row[key].as_u64().unwrap())
    };
    let [total, active, size, reclaimable] = volumes(&place);
    assert_eq!((total, active, reclaimable), (2, 1, size / 2));
    assert!(reclaimable >= 200_000, "{reclaimable}");
    let table = place.said(&["system", "df"]);
    let row: Vec<&str> = table
        .lines()
        .find(|line| line.starts_with("Local Volumes "))
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!((&row[2..4], row[6]), (&["2", "1"][..], "(50%)"), "{table}");
    drop(web);
    place.said(&["rm", "web"]);
    let [total, active, size, reclaimable] = volumes(&place);
    assert_eq!((total, active, reclaimable), (2, 0, size));
    place.said(&["volume", "prune", "-af"]);
    assert_eq!(volumes(&place), [0; 4]);
}

#[test]
fn df_and_info_are_shown_by_templates() {
    let place = Place::new();
    place.pull_small("small");
    let kinds = place.said(&["system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Active}}"]);
    assert_eq!(kinds, "Images 1 0\nContainers 0 0\nLocal Volumes 0 0\n");
    for line in place.said(&["df", "--format", "json"]).lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let keys: Vec<&String> = row.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["Type", "TotalCount", "Active", "Size", "Reclaimable"]);
    }
    let table = place.said(&["system", "df", "--format", "table {{.Type}}\\t{{.Size}}"]);
    assert!(table.starts_with("TYPE            SIZE\nImages          "), "{table}");
    let _web = labelled(&place, "web", json!({}), &[]);
    let said = place.said(&[
        "system",
        "info",
        "-f",
        "{{.ServerVersion}} {{.Images}} {{.DockerRootDir}} {{.Containers}} {{.ContainersStopped}}",
    ]);
    let root = place.join("store");
    assert_eq!(said, format!("{} 1 {} 1 1\n", env!("CARGO_PKG_VERSION"), root.display()));
    let row: Value = serde_json::from_str(&place.said(&["info", "--format", "json"])).unwrap();
    assert_eq!((&row["Driver"], &row["OSType"]), (&json!("layerfs"), &json!("linux")));
    for verb in ["df", "info"] {
        let line = place.refused(&["system", verb, "--format", "{{.Absent}}"]);
        assert!(line.contains("there is no field `Absent`; there are "), "{line}");
        let line = place.run(&[verb, "--format", "{{Absent}}"]).refusal(2);
        assert!(line.contains("is not understood"), "{line}");
    }
    let absent = place.run(&["--root", "absent", "info", "-f", "{{.Containers}}"]);
    assert_eq!((absent.status, absent.stdout.as_str()), (Some(0), "0\n"), "{absent:?}");
}

#[test]
fn gc_tells_what_it_freed() {
    let place = Place::new();
    place.pull_small("small");
    assert_eq!(place.said(&["gc"]), "Total reclaimed space: 0B\n");
    // What a killed import leaves: a directory without a lock.
    std::fs::create_dir(place.join("store/tmp/killed")).unwrap();
    std::fs::write(place.join("store/tmp/killed/part"), big(1)).unwrap();
    let row = &place.rows(&["gc", "--json"])[0];
    assert_eq!(row["imports"], 1, "{row}");
    assert!(!place.join("store/tmp/killed").exists());
}

#[test]
fn check_looks_at_everything_and_gives_a_cure_for_each_lack() {
    let place = Place::new();
    let rows = crate::place::array(&place.run(&["check", "--json"]).stdout);
    let names: Vec<&str> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    let names_all = [
        &["kernel", "/dev/fuse", "store", "O_TMPFILE", "rights", "cgroups", "overlayfs"][..],
        // Containers of others have no bridge, and no ranges of ids of their own.
        if rustix::process::geteuid().is_root() {
            &["nft", "user namespaces", "idmapped mounts"]
        } else {
            &["users' networks"]
        },
    ];
    for name in names_all.concat() {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    // Nothing that layerfs does today wants these.
    for name in ["pasta", "newuidmap", "fusermount3"] {
        assert!(!names.contains(&name), "{name} in {names:?}");
    }
    for row in &rows {
        assert_eq!(row["cure"].is_null(), row["state"] == "ok", "{row}");
    }
    let run = place.run(&["check"]);
    assert_eq!(run.stdout.lines().count(), rows.len());
    let lacks = rows.iter().any(|row| row["needed"] == true && row["state"] == "missing");
    assert_eq!(run.status, Some(i32::from(lacks)));
    let left =
        std::fs::read_dir(place.join("store")).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().ends_with(".new")).collect();
    assert!(left.is_empty(), "the trials are gone: {left:?}");
}

#[test]
fn check_without_a_store_fails_and_says_where_to_put_it() {
    let place = Place::new();
    std::fs::write(place.join("file"), b"").unwrap();
    let run = finished(place.command(&["check"]).env("LAYERFS_ROOT", place.join("file")));
    assert_eq!(run.status, Some(1));
    let line = run.stdout.lines().find(|line| line.starts_with("missing  store ")).unwrap();
    assert!(line.contains("cure: choose another directory: --root DIR"), "{line}");
}

#[test]
fn completions_know_every_shell_and_verb() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let text = place.said(&["completion", shell]);
        for word in ["history", "no-trunc", "digests", "log-level"] {
            assert!(text.contains(word), "{shell}: {word}");
        }
        for hidden in [
            "layerfs__serve",
            "layerfs__subcmd__serve",
            "-a \"serve\"",
            "'serve:",
            " serve ",
            " man ",
        ] {
            assert!(!text.contains(hidden), "{shell}: {hidden}");
        }
    }
}

#[test]
fn manual_pages_are_written_and_written_again() {
    let place = Place::new();
    for _ in 0..2 {
        assert_eq!(place.said(&["man", "deep/man1"]), "");
    }
    let names: Vec<_> = std::fs::read_dir(place.join("deep/man1"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert!(
        names.contains(&"layerfs.1".into()) && names.contains(&"layerfs-fsck.1".into()),
        "{names:?}"
    );
    assert!(names.iter().all(|name| name.to_string_lossy().ends_with(".1")), "{names:?}");
}

#[test]
fn the_log_speaks_on_standard_error_only() {
    let place = Place::new();
    place.pull_small("small");
    let run = place.run(&["--log-level", "trace", "images", "-q"]);
    assert_eq!(run.stdout.lines().count(), 1);
    assert!(run.stderr.contains("layerfs: debug: open the store `"), "{run:?}");
    assert!(run.stderr.lines().all(|line| line.starts_with("layerfs: ")), "{run:?}");
}

#[test]
fn info_tells_of_a_place_that_is_relative_and_absent() {
    let place = Place::new();
    let run = place.run(&["--root", "rel", "info"]);
    assert_eq!(run.status, Some(0), "{run:?}");
    assert!(run.stdout.contains("Root: rel\n"), "{run:?}");
    assert!(run.stderr.starts_with("layerfs: no store at `rel` yet"), "{run:?}");
}
