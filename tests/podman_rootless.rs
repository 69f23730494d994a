//! podman and buildah of a user who is not root, with layerfs as their mount program: what whole copies give.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail there")]

#[path = "podman/layout.rs"]
mod layout;
mod support;

use std::process::Command;

use layout::tree;
use serde_json::Value;
use support::user::{self, Who};
use support::{Scope, Scratch, need, photograph, watchdog};

const BASE: &str = "umask 022; mkdir -p tree/{bin,etc,tmp,proc,dev,sys,home} tree/d/sub/deep; cp $(command -v busybox) tree/bin/; \
    cd tree; for name in sh ls cat rm mv chown chmod id stat ln mkdir touch grep; do ln -s busybox bin/$name; done; \
    echo root:x:0:0::/:/bin/sh >etc/passwd; echo 1 >d/f; echo low >d/sub/low; echo deep >d/sub/deep/old; \
    chown 33:33 d/f home; chown 5:6 d/sub/low; find . -exec touch -h -d @1600000000 {} +; tar -cf ../base.tar .; cd ..; rm -rf tree";

/// What the steps say with a driver, and the trees of the images that they made.
fn round(driver: &str) -> (String, Vec<Value>) {
    let scratch = Scratch::on_disk();
    let scope = Scope::Below(scratch.path().to_owned());
    let before = photograph(&scope);
    let base = Command::new("bash").args(["-euc", BASE]).current_dir(scratch.path()).output();
    let base = base.unwrap();
    assert!(base.status.success(), "{}", String::from_utf8_lossy(&base.stderr));
    let steps = include_str!("podman_rootless/steps");
    let words = ["bash", "-c", steps, "steps", driver];
    let output = user::command(Who::User, scratch.path(), &words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{driver}: {told}\n{said}");
    photograph(&scope).assert_same(&before);
    (said, ["built", "committed"].map(|image| tree(&scratch.join(image))).into())
}

#[test]
fn podman_and_buildah_of_a_user_give_what_whole_copies_give() {
    need!("podman", "buildah", "busybox", "python3");
    if !user::have_users() {
        return;
    }
    let _watch = watchdog(600);
    let (ours, trees) = round("layerfs");
    assert!(
        ours.contains("\n33:33 755 /d/moved\n") && ours.contains("committed: made\nf"),
        "{ours}"
    );
    let (copies, of_copies) = round("vfs");
    assert_eq!(ours, copies);
    for (ours, copies) in trees.iter().zip(&of_copies) {
        assert!(ours.as_object().unwrap().len() > 25, "the image has its files: {ours}");
        assert_eq!(ours, copies);
    }
}
