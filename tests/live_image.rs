//! A mounted Debian image: the tree is what Python's tarfile says of its layers, and programs work in it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)] // a test that can't go on should fail there

mod support;

use std::path::Path;
use std::process::{Command, Output};

use support::{Scope, Scratch, fixtures, photograph, watchdog};

/// The command on a store in `scratch`.
fn layerfs(scratch: &Scratch, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_layerfs"));
    command.arg("--root").arg(scratch.join("store")).args(words).output().unwrap()
}

fn done(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn mounted(scratch: &Scratch, layout: &Path, words: &[&str]) -> String {
    done(layerfs(
        scratch,
        &["pull", "--quiet", "--name", "image:1", &format!("oci:{}", layout.display())],
    ));
    let mnt = scratch.join("mnt");
    std::fs::create_dir_all(&mnt).unwrap();
    let at = mnt.to_str().unwrap().to_owned();
    done(layerfs(scratch, &[&["mount"], words, &["image:1", &at]].concat()));
    at
}

fn compared(layout: &Path, at: &str) -> serde_json::Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live_image/compare.py");
    let output = Command::new("python3").arg(script).arg(layout).arg(at).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&told).unwrap()
}

/// Type, permissions, owner, time, size, target, device, attributes, contents and hard links of every entry.
#[test]
fn a_mounted_debian_image_is_what_tarfile_says() {
    support::need_root!();
    let Some(layout) = fixtures::debian_layout() else { return };
    let _watch = watchdog(300);
    let scratch = Scratch::new();
    let scope = Scope::Below(scratch.path().to_owned());
    let before = photograph(&scope);
    for words in [&["--read-only"][..], &[]] {
        let at = mounted(&scratch, &layout, words);
        let told = compared(&layout, &at);
        eprintln!("{words:?}: {told}");
        assert!(told["entries"].as_u64().unwrap() >= 5000, "{told}");
        for kind in ["file", "directory", "symlink", "char", "fifo"] {
            assert!(told["kinds"][kind].as_u64().unwrap_or(0) > 0, "no {kind} in {told}");
        }
        for class in
            ["set-uid", "capability", "acl", "sparse", "hard link", "name that is not UTF-8"]
        {
            assert!(told["classes"][class].as_u64().unwrap_or(0) > 0, "no {class} in {told}");
        }
        done(layerfs(&scratch, &["umount", &at]));
    }
    settled(&scratch);
    photograph(&scope).assert_same(&before);
}

#[test]
fn programs_of_the_image_run_in_its_mount() {
    support::need_root!();
    let Some(layout) = fixtures::debian_layout() else { return };
    let _watch = watchdog(300);
    let scratch = Scratch::new();
    let at = mounted(&scratch, &layout, &[]);
    let script = "set -e; python3 -m compileall -q /usr/lib/python3.11/encodings; \
                  dpkg --verify bash; mv /usr/share /usr/moved; ls /usr/moved | head -1; mv /usr/moved /usr/share; \
                  rm -rf /usr/lib/python3.11/encodings; echo new > /etc/new; cat /etc/new";
    let output = Command::new("chroot").args([&at, "/bin/sh", "-c", script]).output().unwrap();
    assert!(done(output).ends_with("new\n"));
    done(layerfs(&scratch, &["umount", &at]));
    // What the throwaway writable layer held is gone with the mount.
    settled(&scratch);
    let at = mounted(&scratch, &layout, &["--read-only"]);
    assert!(!Path::new(&at).join("etc/new").exists());
    assert!(Path::new(&at).join("usr/lib/python3.11/encodings").exists());
    done(layerfs(&scratch, &["umount", &at]));
}

/// An image that is mounted keeps its contents through `rmi` and `gc`; they go with the mount.
#[test]
fn an_image_in_use_is_not_collected() {
    support::need_root!();
    let Some(layout) = fixtures::small_layout() else { return };
    let _watch = watchdog(120);
    let scratch = Scratch::new();
    let at = mounted(&scratch, &layout, &[]);
    done(layerfs(&scratch, &["rmi", "--force", "image:1"]));
    done(layerfs(&scratch, &["gc"]));
    let big = std::fs::read(Path::new(&at).join("bin/tool")).unwrap();
    assert_eq!(big, b"#!/bin/tool\n".repeat(500));
    done(layerfs(&scratch, &["umount", &at]));
    settled(&scratch);
    done(layerfs(&scratch, &["gc"]));
    let objects = std::fs::read_dir(scratch.join("store/objects")).unwrap();
    let left: usize =
        objects.map(|room| std::fs::read_dir(room.unwrap().path()).unwrap().count()).sum();
    assert_eq!(left, 0);
}

#[test]
fn what_can_not_be_mounted_is_told_in_one_line_and_leaves_nothing() {
    support::need_root!();
    let Some(layout) = fixtures::small_layout() else { return };
    let _watch = watchdog(120);
    let scratch = Scratch::new();
    done(layerfs(
        &scratch,
        &["pull", "--quiet", "--name", "image:1", &format!("oci:{}", layout.display())],
    ));
    std::fs::write(scratch.join("file"), b"").unwrap();
    std::fs::create_dir(scratch.join("mnt")).unwrap();
    let scope = Scope::Below(scratch.path().to_owned());
    let before = photograph(&scope);
    let place = |name: &str| scratch.join(name).to_str().unwrap().to_owned();
    let rows: [(&[&str], &str); 5] = [
        (&["mount", "absent", &place("mnt")], "no image `absent`"),
        (&["mount", "image:1", &place("nowhere")], "it does not exist"),
        (&["mount", "image:1", &place("file")], "it is not a directory"),
        (&["mount", "--upper", &place("file"), "image:1", &place("mnt")], "file"),
        (&["umount", &place("mnt")], "is not a layerfs mount"),
    ];
    for (words, reason) in rows {
        let output = layerfs(&scratch, words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        assert!(said.contains(reason), "{words:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{words:?}: {said}");
    }
    settled(&scratch);
    photograph(&scope).assert_same(&before);
}

/// Waits until the processes of unmounted mounts have ended: their holds are then free.
fn settled(scratch: &Scratch) {
    let containers = scratch.join("store/containers");
    while std::fs::read_dir(&containers).unwrap().next().is_some() {
        std::thread::yield_now();
    }
}
