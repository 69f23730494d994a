//! Who else imports what was made: podman from each form, umoci, skopeo, and layerfs itself into another store.

use std::process::Command;

use crate::ground::{Ground, said, same_trees};
use crate::layers::EVERYTHING;
use crate::support::{need, need_root};

/// What podman's own way of copying layers loses of lower ones, and the time of the root, which it sets itself.
const OF_PODMAN: [&str; 2] = [".:mtime", "etc/acl:xattrs"];

/// podman with a storage of its own, of the driver that needs no mounts.
struct Podman<'a>(&'a Ground);

impl Podman<'_> {
    fn run(&self, words: &[&str]) -> String {
        let place = |name: &str| self.0.at(name);
        let mut command = Command::new("podman");
        command.args(["--root", &place("podman"), "--runroot", &place("podman-run")]);
        command.args(["--storage-driver", "vfs"]).args(words);
        said(words, command.output().unwrap())
    }

    /// Compares the only image with what is mounted at `mnt`, and removes it.
    fn shows_the_same(&self, called: &str) {
        let id = self.run(&["images", "--quiet", "--no-trunc"]);
        let at = self.run(&["image", "mount", id.trim()]);
        same_trees(&self.0.at("mnt"), at.trim(), &OF_PODMAN, called);
        self.run(&["image", "umount", "--all"]);
        self.run(&["rmi", "--all", "--force"]);
    }
}

#[test]
fn podman_umoci_and_skopeo_import_the_same_tree() {
    need_root!();
    need!("podman", "umoci", "skopeo", "python3", "setfattr", "setfacl", "setcap");
    let Some(ground) = Ground::mounted() else { return };
    let mnt = ground.at("mnt");
    ground.shell("mnt", EVERYTHING);
    let id = ground.layerfs(&["commit", "--quiet", &mnt, "every:1"]);
    let id = String::from_utf8(id.stdout).unwrap().trim().to_owned();
    let [layout, oci, docker] = ["layout", "oci.tar", "docker.tar"].map(|name| ground.at(name));
    ground.said(&["push", "every:1", &format!("oci:{layout}:1")]);
    let packed = format!("oci-archive:{oci}:every:1");
    ground.said(&["push", "--compression", "zstd", "every:1", &packed]);
    ground.said(&["save", "-o", &docker, "every:1"]);

    let bundle = ground.at("bundle");
    let unpacked = ["unpack", "--image", &format!("{layout}:1"), &bundle];
    said(&unpacked, Command::new("umoci").args(unpacked).output().unwrap());
    same_trees(&mnt, &format!("{bundle}/rootfs"), &[], "umoci");

    let podman = Podman(&ground);
    let pulled = podman.run(&["pull", "--quiet", &format!("oci:{layout}:1")]);
    assert_eq!(format!("sha256:{}", pulled.trim()), id);
    podman.shows_the_same("podman pull oci:");
    podman.run(&["load", "--quiet", "--input", &oci]);
    podman.shows_the_same("podman load of an OCI archive");
    let loaded = podman.run(&["load", "--quiet", "--input", &docker]);
    // Docker means its own registry by a name without one, and so does what it saves.
    assert_eq!(loaded.trim(), "Loaded image: docker.io/library/every:1");
    podman.shows_the_same("podman load of a docker archive");

    for target in [
        format!("oci:{layout}:1"),
        format!("oci-archive:{oci}"),
        format!("docker-archive:{docker}"),
    ] {
        let looked = ["inspect", "--config", "--raw", &target];
        let config = said(&looked, Command::new("skopeo").args(looked).output().unwrap());
        assert!(config.contains("\"diff_ids\""), "{target}: {config}");
    }

    for source in [format!("oci:{layout}:1"), packed, format!("docker-archive:{docker}")] {
        let pulled = ground.said_in("store2", &["pull", "--quiet", "--name", "every:2", &source]);
        assert_eq!(pulled.trim(), id, "{source}");
    }
    ground.said_in("store2", &["mount", "--read-only", "every:2", &ground.at("again")]);
    same_trees(&mnt, &ground.at("again"), &[], "layerfs");
    ground.said(&["umount", &mnt, &ground.at("again")]);
    for name in ["bundle", "layout", "podman", "podman-run"] {
        std::fs::remove_dir_all(ground.join(name)).unwrap();
    }
    for file in [oci, docker] {
        std::fs::remove_file(file).unwrap();
    }
    ground.ends();
}
