//! What `save` and `push` write, and that an image comes back from it as it was, whatever its archives look like.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::ground::{Ground, refused, said};
use crate::support::{fixtures, need, need_root};

/// Reads the images of a source into one store, writes them in each form, and reads those into another: ids and layers stay, and
/// what is saved from there is the same to the byte.
fn comes_back(ground: &Ground, source: &str) {
    ground.said(&["load", "--quiet", "--input", source]);
    // What a later entry of an archive replaced is nobody's, and its archive needs it all the same.
    ground.said(&["gc"]);
    let ids = |store: &str| ground.said_in(store, &["images", "--quiet", "--no-trunc"]);
    let all: Vec<String> = ids("store").lines().map(str::to_owned).collect();
    for form in ["docker-archive", "oci-archive"] {
        let saved = ground.at("saved.tar");
        let words: Vec<&str> = ["save", "--format", form, "-o", &saved]
            .into_iter()
            .chain(all.iter().map(String::as_str))
            .collect();
        ground.said(&words);
        ground.said_in("store2", &["load", "--quiet", "--input", &saved]);
        assert_eq!(ids("store2"), ids("store"), "{source} as {form}");
        let again = ground.at("again.tar");
        let words: Vec<&str> =
            words.iter().map(|word| if *word == saved { again.as_str() } else { word }).collect();
        ground.said_in("store2", &words);
        assert!(std::fs::read(&saved).unwrap() == std::fs::read(&again).unwrap(), "{source}");
        ground.said_in("store2", &["fsck"]);
        for name in ["saved.tar", "again.tar"] {
            std::fs::remove_file(ground.join(name)).unwrap();
        }
        std::fs::remove_dir_all(ground.join("store2")).unwrap();
    }
    ground.said(&["fsck"]);
    std::fs::remove_dir_all(ground.join("store")).unwrap();
}

#[test]
fn images_of_docker_podman_and_skopeo_come_back_as_they_were() {
    let sources: [fn() -> Option<PathBuf>; 7] = [
        fixtures::docker_save_legacy,
        fixtures::docker_save_25,
        fixtures::docker_save_containerd,
        fixtures::podman_save,
        fixtures::podman_save_oci,
        fixtures::skopeo_docker_archive,
        fixtures::skopeo_oci_archive,
    ];
    let ground = Ground::new();
    for source in sources {
        if let Some(source) = source() {
            comes_back(&ground, source.to_str().unwrap());
        }
    }
    ground.ends();
}

/// Layers that other writers make: holes in each of GNU's forms, long names in GNU's form, entries that replace others, a blocking
/// factor and bytes after the end, gzip members and zstd.
#[test]
fn archives_of_every_kind_come_back_to_the_byte() {
    need!("python3", "tar", "zstd");
    let ground = Ground::new();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/export/odd.py");
    let made = Command::new("python3").args([script, &ground.at("odd")]).output().unwrap();
    said(&["odd.py"], made);
    ground.shell("odd", "tar -cf ../odd.tar .");
    std::fs::remove_dir_all(ground.join("odd")).unwrap();
    comes_back(&ground, &ground.at("odd.tar"));
    std::fs::remove_file(ground.join("odd.tar")).unwrap();
    ground.ends();
}

fn json(path: PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_layout_that_is_there_gets_one_image_more() {
    need_root!();
    let Some(ground) = Ground::mounted() else { return };
    let mnt = ground.at("mnt");
    ground.shell("mnt", "echo > new");
    ground.said(&["commit", "-q", &mnt, "new:1"]);
    let layout = ground.at("layout");
    let push =
        |image: &str, tag: &str| ground.said(&["push", image, &format!("oci:{layout}{tag}")]);
    let tags = || -> Vec<String> {
        let index = json(ground.join("layout/index.json"));
        let entries = index["manifests"].as_array().unwrap();
        let tag =
            |entry: &Value| entry["annotations"]["org.opencontainers.image.ref.name"].to_string();
        entries.iter().map(tag).collect()
    };
    push("small:1", ":a");
    push("new:1", ":b");
    assert_eq!(tags(), ["\"a\"", "\"b\""]);
    let blobs = std::fs::read_dir(ground.join("layout/blobs/sha256")).unwrap().count();
    assert_eq!(blobs, 2 * 2 + 4, "layers that both have stand once");
    // A tag goes to the newest; what has none is told by its digest.
    push("new:1", ":a");
    push("new:1", "");
    push("new:1", "");
    push("small:1", "");
    assert_eq!(tags(), ["\"b\"", "\"a\"", "null", "null"]);
    ground.said(&["save", "--format", "oci-dir", "-o", &layout, "small:1", "new:1"]);
    assert_eq!(tags()[4..], ["\"small:1\"", "\"new:1\""]);
    std::fs::remove_dir_all(ground.join("layout")).unwrap();
    ground.said(&["umount", &mnt]);
    ground.ends();
}

#[test]
fn a_docker_archive_names_its_images_as_docker_does() {
    need!("tar");
    let Some(layout) = fixtures::small_layout() else { return };
    let ground = Ground::new();
    ground.said(&[
        "pull",
        "-q",
        "--name",
        "docker.io/library/small:1",
        &format!("oci:{}:small", layout.display()),
    ]);
    ground.said(&["tag", "small:1", "registry.example.org/x:2"]);
    ground.said(&["save", "-o", &ground.at("saved.tar"), "small:1", "registry.example.org/x:2"]);
    ground.shell(".", "mkdir saved; tar -C saved -xf saved.tar");
    let manifest = json(ground.join("saved/manifest.json"));
    assert_eq!(manifest.as_array().unwrap().len(), 1);
    assert_eq!(manifest[0]["RepoTags"], serde_json::json!(["small:1", "registry.example.org/x:2"]));
    let top = manifest[0]["Layers"][2].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let repositories = json(ground.join("saved/repositories"));
    assert_eq!(
        repositories,
        serde_json::json!({"small": {"1": top}, "registry.example.org/x": {"2": top}})
    );
    let index = json(ground.join("saved/index.json"));
    let name = &index["manifests"][0]["annotations"]["io.containerd.image.name"];
    assert_eq!(name, "docker.io/library/small:1");
    // By its id an image has no name.
    let id = ground.said(&["images", "-q", "--no-trunc", "small"]);
    let saved = ground.at("saved.tar");
    ground.said(&["save", "-o", &saved, id.lines().next().unwrap()]);
    ground.shell(".", "tar -C saved -xf saved.tar manifest.json");
    assert_eq!(json(ground.join("saved/manifest.json"))[0]["RepoTags"], Value::Null);
    std::fs::remove_dir_all(ground.join("saved")).unwrap();
    std::fs::remove_file(saved).unwrap();
    ground.ends();
}

#[test]
fn a_dash_is_standard_output() {
    need_root!();
    let Some(ground) = Ground::mounted() else { return };
    let mnt = ground.at("mnt");
    ground.shell("mnt", "echo new > new");
    for words in [&["save", "small:1"][..], &["diff", "--tar", &mnt]] {
        let written = |more: &[&str]| {
            let words = [words, more].concat();
            let mut command = ground.command_in("store", &words);
            let output = command.current_dir(ground.join(".")).output().unwrap();
            assert!(output.status.success(), "{words:?}: {output:?}");
            output.stdout
        };
        let plain = written(&[]);
        assert!(plain.len() > 1024);
        assert!(written(&["-o", "-"]) == plain, "{words:?}");
    }
    assert!(!ground.join("-").exists());
    let layout = ground.layerfs(&["save", "--format", "oci-dir", "-o", "-", "small:1"]);
    refused(&layout, "name the directory with -o");
    ground.said(&["umount", &mnt]);
    ground.ends();
}

/// The frame of a layer, of the first by name.
fn a_frame(ground: &Ground) -> PathBuf {
    let listed = std::fs::read_dir(ground.join("store/frames")).unwrap();
    let mut all: Vec<PathBuf> = listed.map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all.swap_remove(0)
}

#[test]
fn a_frame_that_is_absent_or_damaged_is_told_and_comes_again() {
    let Some(layout) = fixtures::small_layout() else { return };
    let ground = Ground::new();
    let pull = || {
        ground.said(&[
            "pull",
            "-q",
            "--name",
            "small:1",
            &format!("oci:{}:small", layout.display()),
        ])
    };
    pull();
    let whole = ground.layerfs(&["save", "small:1"]).stdout;
    // As a store of an earlier version has it.
    std::fs::remove_dir_all(ground.join("store/frames")).unwrap();
    let saved = ground.at("saved.tar");
    refused(
        &ground.layerfs(&["save", "-o", &saved, "small:1"]),
        "pull or load the image once more",
    );
    assert!(!ground.join("saved.tar").exists());
    ground.said(&["fsck"]);
    pull();
    assert!(ground.layerfs(&["save", "small:1"]).stdout == whole);
    // A bit of the body: fsck finds it, the repair sets the frame aside, a pull brings it again.
    let frame = a_frame(&ground);
    let mut bytes = std::fs::read(&frame).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::remove_file(&frame).unwrap();
    std::fs::write(&frame, &bytes).unwrap();
    let found = ground.layerfs(&["fsck"]);
    let told = String::from_utf8(found.stdout).unwrap();
    assert!(told.contains("damaged: frame of layer") && told.contains("findings: 1"), "{told}");
    let output = ground.layerfs(&["save", "-o", &saved, "small:1"]);
    assert!(!output.status.success() && !ground.join("saved.tar").exists(), "{output:?}");
    ground.said(&["fsck", "--repair"]);
    refused(
        &ground.layerfs(&["save", "-o", &saved, "small:1"]),
        "pull or load the image once more",
    );
    pull();
    assert!(ground.layerfs(&["save", "small:1"]).stdout == whole);
    // It goes with its layer.
    ground.said(&["rmi", "small:1"]);
    ground.said(&["gc"]);
    assert_eq!(std::fs::read_dir(ground.join("store/frames")).unwrap().count(), 0);
    ground.ends();
}
