//! A file larger than the size of an archive's header can say: out by `commit` and `push`, and in by others.

use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Command;

use crate::ground::{Ground, said};
use crate::support::{Scratch, need, need_root, soak};

/// More than 8 GiB: eleven octal digits do not say it.
const SIZE: u64 = 9 << 30;
const WORDS: [(u64, &[u8]); 3] = [(5, b"begin"), (8_600_000_001, b"middle"), (SIZE - 3, b"end")];

/// It has that size and those words, and nothing between them but zeros.
fn is_whole(path: &Path, called: &str) {
    let file = std::fs::File::open(path).unwrap();
    assert_eq!(file.metadata().unwrap().size(), SIZE, "{called}");
    for (at, word) in WORDS {
        let mut found = vec![0; word.len()];
        file.read_exact_at(&mut found, at).unwrap();
        assert_eq!(found, word, "{called}");
    }
    let zeros = Command::new("bash")
        .args(["-euo", "pipefail", "-c", "tr -d '\\0' <\"$1\" | cat", "-"])
        .arg(path)
        .output()
        .unwrap();
    assert!(zeros.status.success());
    assert_eq!(zeros.stdout, b"beginmiddleend", "{called}");
}

/// Others write the hole as zeros, and that takes its time.
#[test]
fn a_file_of_9_gib_is_committed_and_imported_by_all() {
    need_root!();
    if !soak() {
        return;
    }
    need!("umoci", "podman", "bash");
    let ground = Ground::within(1800);
    ground.shell(".", "mkdir tree; echo x > tree/x");
    ground.said(&["import", "-q", &ground.at("tree"), "tree:1"]);
    ground.said(&["mount", "tree:1", &ground.at("mnt")]);
    let path = ground.join("mnt/large");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(SIZE).unwrap();
    for (at, word) in WORDS {
        file.write_all_at(word, at).unwrap();
    }
    drop(file);
    ground.said(&["commit", "-q", &ground.at("mnt"), "large:1"]);
    let layout = ground.at("layout");
    ground.said(&["push", "-q", "large:1", &format!("oci:{layout}:1")]);

    let source = format!("oci:{layout}:1");
    ground.said_in("store2", &["pull", "-q", "--name", "large:2", &source]);
    ground.said_in("store2", &["mount", "--read-only", "large:2", &ground.at("again")]);
    let ours = ground.join("again/large");
    is_whole(&ours, "layerfs");
    assert!(ours.metadata().unwrap().blocks() < 10_000, "what is a hole takes nothing");
    ground.said(&["umount", &ground.at("mnt"), &ground.at("again")]);

    let disk = Scratch::on_disk();
    let bundle = disk.join("bundle").to_str().unwrap().to_owned();
    let unpacked = ["unpack", "--image", &format!("{layout}:1"), &bundle];
    said(&unpacked, Command::new("umoci").args(unpacked).output().unwrap());
    is_whole(&disk.join("bundle/rootfs/large"), "umoci");
    std::fs::remove_dir_all(&bundle).unwrap();

    std::fs::create_dir(disk.join("tmp")).unwrap();
    let podman = |words: &[&str]| {
        let mut command = Command::new("podman");
        command.arg("--root").arg(disk.join("podman")).arg("--runroot").arg(disk.join("run"));
        command.args(["--storage-driver", "vfs"]).args(words).env("TMPDIR", disk.join("tmp"));
        said(words, command.output().unwrap())
    };
    let id = podman(&["pull", "--quiet", &source]);
    let at = podman(&["image", "mount", id.trim()]);
    is_whole(&Path::new(at.trim()).join("large"), "podman");
    podman(&["image", "umount", "--all"]);
    podman(&["rmi", "--all", "--force"]);
    ground.shell(".", "rm -r layout tree");
    ground.ends();
}
