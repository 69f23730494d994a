//! Several writers of one target, and killed ones: what they leave, and what the next makes of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::ground::{Ground, said};
use crate::support::{need, need_root};

/// Every file below a directory, with its contents.
fn files(top: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut todo = vec![top.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else {
                let name = path.strip_prefix(top).unwrap().to_path_buf();
                found.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    found
}

fn tags(layout: &Path) -> Vec<String> {
    let index: Value =
        serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
    let entries = index["manifests"].as_array().unwrap();
    let tag = |entry: &Value| {
        entry["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap().to_owned()
    };
    let mut tags: Vec<String> = entries.iter().map(tag).collect();
    tags.sort();
    tags
}

/// Each reads the list, adds to it and replaces it. One fails as it writes, and takes back what it made: none of the others'.
#[test]
fn several_pushes_into_one_layout_at_once_lose_no_image() {
    need_root!();
    let Some(ground) = Ground::mounted() else { return };
    ground.shell("mnt", "echo > new");
    ground.said(&["commit", "-q", &ground.at("mnt"), "new:1"]);
    ground.said(&["umount", &ground.at("mnt")]);
    let layout = ground.at("layout");
    let expected: Vec<String> = (0..12).map(|number| format!("t{number:02}")).collect();
    let pushes: Vec<_> = expected
        .iter()
        .enumerate()
        .map(|(number, tag)| {
            let image = if number % 2 == 0 { "small:1" } else { "new:1" };
            let mut command =
                ground.command_in("store", &["push", "-q", image, &format!("oci:{layout}:{tag}")]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for push in pushes {
        said(&["push"], push.wait_with_output().unwrap());
    }
    assert_eq!(tags(Path::new(&layout)), expected);
    let names: Vec<PathBuf> = files(Path::new(&layout)).into_keys().collect();
    assert_eq!(names.len(), 2 + 2 * 2 + 4, "{names:?}");
    std::fs::remove_dir_all(layout).unwrap();
    ground.ends();
}

/// A blob of the right length and other bytes: what is pushed is what others read.
#[test]
fn a_damaged_blob_of_a_layout_is_put_right_by_the_next_push() {
    need_root!();
    need!("skopeo");
    let Some(ground) = Ground::mounted() else { return };
    ground.said(&["umount", &ground.at("mnt")]);
    let (layout, target) = (ground.join("layout"), format!("oci:{}:1", ground.at("layout")));
    ground.said(&["push", "-q", "small:1", &target]);
    let whole = files(&layout);
    for (name, bytes) in whole.iter().filter(|(name, _)| name.starts_with("blobs")) {
        let mut damaged = bytes.clone();
        damaged[0] ^= 1;
        std::fs::write(layout.join(name), damaged).unwrap();
    }
    ground.said(&["push", "-q", "small:1", &target]);
    assert!(files(&layout) == whole);
    let copy = ["copy", "--quiet", &target, &format!("dir:{}", ground.at("copied"))];
    said(&copy, std::process::Command::new("skopeo").args(copy).output().unwrap());
    for name in ["layout", "copied"] {
        std::fs::remove_dir_all(ground.join(name)).unwrap();
    }
    ground.ends();
}

/// How often each verb is killed, at points spread over all that it passes.
#[cfg(feature = "fault")]
const TIMES: u64 = 24;

/// Kills the words at points spread over all that they pass; after each, `look` is called with the plan.
#[cfg(feature = "fault")]
fn killed(ground: &Ground, words: &[&str], mut look: impl FnMut(&str)) {
    let report = ground.join("report");
    let mut counted = ground.command_in("store", words);
    counted.env("LAYERFS_FAULT", "count").env("LAYERFS_FAULT_REPORT", &report);
    said(words, counted.output().unwrap());
    let text = std::fs::read_to_string(&report).unwrap();
    std::fs::remove_file(&report).unwrap();
    let points = text.split_whitespace().find_map(|word| word.strip_prefix("points="));
    let points: u64 = points.unwrap().parse().unwrap();
    // The last of them are those that give things their names.
    let last = points.saturating_sub(TIMES)..points;
    for at in (0..TIMES).map(|number| number * points / TIMES).chain(last) {
        let plan = format!("die:{}", at + 1);
        let mut command = ground.command_in("store", words);
        let died = command.env("LAYERFS_FAULT", &plan).output().unwrap();
        assert_eq!(died.status.code(), None, "{plan}: {died:?}");
        look(&plan);
    }
}

#[cfg(feature = "fault")]
#[test]
fn a_killed_push_leaves_a_layout_that_others_read_and_the_next_leaves_no_garbage() {
    need_root!();
    need!("skopeo", "cp");
    let Some(ground) = Ground::mounted() else { return };
    ground.shell("mnt", "head -c 300000 /dev/urandom > new");
    ground.said(&["commit", "-q", &ground.at("mnt"), "new:1"]);
    ground.said(&["umount", &ground.at("mnt")]);
    let (layout, target) = (ground.join("layout"), format!("oci:{}", ground.at("layout")));
    ground.said(&["push", "-q", "small:1", &format!("{target}:a")]);
    ground.shell(".", "cp -a layout kept");
    let words = ["push", "-q", "new:1", &format!("{target}:b")];
    ground.said(&words);
    let whole = files(&layout);
    killed(&ground, &words, |plan| {
        // Whoever reads it has the old image, and the new one or none.
        let found = tags(&layout);
        assert!(found == ["a"] || found == ["a", "b"], "{plan}: {found:?}");
        for tag in found {
            let look = ["inspect", "--raw", "--config", &format!("{target}:{tag}")];
            said(&look, std::process::Command::new("skopeo").args(look).output().unwrap());
        }
        ground.said(&words);
        assert!(files(&layout) == whole, "{plan}");
        ground.shell(".", "rm -r layout; cp -a kept layout");
    });
    ground.shell(".", "rm -r layout kept");
    ground.ends();
}

/// In place of a file that is there, on a file system that knows files without names, and on one that does not: a mount of ours.
#[cfg(feature = "fault")]
#[test]
fn a_killed_save_leaves_the_old_file_and_the_next_leaves_no_garbage() {
    need_root!();
    let Some(ground) = Ground::mounted() else { return };
    ground.said(&["mount", "small:1", &ground.at("again")]);
    std::fs::create_dir(ground.join("saved")).unwrap();
    for place in ["saved", "again/tmp"] {
        let (dir, path) = (ground.join(place), ground.at(&format!("{place}/out.tar")));
        let before = files(&dir).len();
        let words = ["save", "-o", &path, "small:1"];
        ground.said(&words);
        let whole = std::fs::read(&path).unwrap();
        killed(&ground, &words, |plan| {
            let found = std::fs::read(&path).unwrap();
            assert!(found == b"old" || found == whole, "{place}, {plan}");
            ground.said(&words);
            assert!(std::fs::read(&path).unwrap() == whole, "{place}, {plan}");
            let names: Vec<PathBuf> = files(&dir).into_keys().collect();
            assert_eq!(names.len(), before + 1, "{place}, {plan}: {names:?}");
            std::fs::write(&path, "old").unwrap();
        });
        // What another writes at the same time is nobody's leftover.
        let saves = [(); 4].map(|()| ground.command_in("store", &words).spawn().unwrap());
        for mut save in saves {
            assert!(save.wait().unwrap().success());
        }
        assert_eq!(files(&dir).len(), before + 1);
    }
    ground.said(&["umount", &ground.at("mnt"), &ground.at("again")]);
    std::fs::remove_dir_all(ground.join("saved")).unwrap();
    ground.said(&["gc"]);
    ground.ends();
}
