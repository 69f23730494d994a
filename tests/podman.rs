//! podman and buildah with layerfs as their mount program, beside the kernel's overlayfs: the same answers, the same images.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail there")]

#[path = "podman/layout.rs"]
mod layout;
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use layout::tree;
use serde_json::{Map, Value};
use support::{Scope, Scratch, figure, need, need_root, photograph, watchdog};

/// One round takes half a minute on an idle machine, and with all of its steps a few; a hang is ended after these.
const LIMIT_S: u64 = 600;
const LIMIT_OF_ALL_S: u64 = 1800;
/// What podman says of a container that lives. For the kernel's driver it compares layers and not trees, and says more.
const DIFF: &str = "A /made A /usr/share/e18 A /usr/share/e18/f0 A /usr/share/e18/f1 A /usr/share/e18/f2 \
    A /usr/share/e18/f3 A /usr/share/e18/f4 A /usr/share/e18/file C /etc C /etc/passwd C /opt C /opt/dir C /opt/dir/inner \
    C /opt/dir/link C /opt/dir/second C /usr C /usr/share C /usr/share/d19 D /usr/share/d18 ";

/// How far a round goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Look,
    Back,
    Once,
    All,
}

impl Until {
    fn limit_s(self) -> u64 {
        if self == Until::All { LIMIT_OF_ALL_S } else { LIMIT_S }
    }

    fn word(self) -> &'static str {
        match self {
            Until::Look => "look",
            Until::Back => "back",
            Until::Once => "once",
            Until::All => "all",
        }
    }

    /// The images that are left as layouts.
    fn images(self) -> &'static [&'static str] {
        match self {
            Until::Look | Until::Back => &[],
            Until::Once => &["built", "worked", "committed"],
            Until::All => &["built", "worked", "committed", "again"],
        }
    }
}

/// What one round came to.
struct Round {
    place: PathBuf,
    facts: String,
    until: Until,
}

impl Round {
    /// Goes through the steps with a storage in `place`.
    fn run(driver: &str, place: PathBuf, until: Until) -> Round {
        std::fs::create_dir(&place).unwrap();
        let base = place.join("base");
        script("base.py", &[base.to_str().unwrap()]);
        let words = [driver, place.to_str().unwrap(), base.to_str().unwrap(), until.word()];
        Round { facts: script("steps", &words), place, until }
    }

    /// What depends on the driver.
    fn own(&self) -> String {
        std::fs::read_to_string(self.place.join("own")).unwrap()
    }

    /// The trees of all images, entry by entry.
    fn trees(&self) -> Map<String, Value> {
        let of = |image: &&str| ((*image).to_owned(), tree(&self.place.join(image)));
        self.until.images().iter().map(of).collect()
    }
}

fn script(name: &str, words: &[&str]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/podman").join(name);
    let mut command =
        if name.ends_with(".py") { Command::new("python3") } else { Command::new("bash") };
    let output = command.arg(path).args(words).stdin(Stdio::null()).output().unwrap();
    let (said, told) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} {words:?}: {told}\n{said}");
    said.into_owned()
}

/// The entries in which two trees differ, each in one line.
fn differences(image: &str, ours: &Value, other: &Value) -> Vec<String> {
    let (ours, other) = (ours.as_object().unwrap(), other.as_object().unwrap());
    let paths: std::collections::BTreeSet<&String> = ours.keys().chain(other.keys()).collect();
    let differ = paths.into_iter().filter(|path| ours.get(*path) != other.get(*path));
    differ
        .map(|path| {
            format!("{image} {}: {:?} and {:?}", shown(path), ours.get(path), other.get(path))
        })
        .collect()
}

fn shown(hex: &str) -> String {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Two rounds beside each other must come to the same.
fn compare(scratch: &Scratch, until: Until) -> Round {
    let kernel = scratch.join("k");
    let kernel = std::thread::spawn(move || Round::run("kernel", kernel, until));
    let ours = Round::run(env!("CARGO_BIN_EXE_layerfs"), scratch.join("l"), until);
    let kernel = kernel.join().unwrap();
    assert_eq!(ours.facts, kernel.facts);
    let own = ours.own();
    let expected =
        format!("hard links: 2\ndiff: {DIFF}\ndiff of what stopped: {DIFF}\nlost: not connected\n");
    assert_eq!(own, expected);
    let (trees, theirs) = (ours.trees(), kernel.trees());
    for (image, tree) in &trees {
        assert!(tree.as_object().unwrap().len() > 350, "{image} has its files");
        let told = differences(image, tree, &theirs[image]);
        assert!(told.is_empty(), "ours and the kernel's:\n{}", told.join("\n"));
    }
    kernel
}

/// How many answers and entries fuse-overlayfs has otherwise than the kernel, where it is installed.
fn judge_the_peer(scratch: &Scratch, kernel: &Round) {
    need!("fuse-overlayfs");
    let _watch = watchdog(kernel.until.limit_s());
    let peer = Round::run("/usr/bin/fuse-overlayfs", scratch.join("f"), kernel.until);
    let (theirs, trees) = (peer.trees(), kernel.trees());
    let entries: usize =
        trees.iter().map(|(image, tree)| differences(image, &theirs[image], tree).len()).sum();
    let lines = kernel.facts.lines().filter(|line| !peer.facts.contains(line)).count();
    figure(format_args!(
        "fuse-overlayfs has {entries} entries and {lines} lines otherwise than the kernel, layerfs 0 and 0"
    ));
}

/// On one kind of disk, and nothing is left there.
fn round(scratch: &Scratch, until: Until) -> Round {
    let _watch = watchdog(until.limit_s());
    let before = photograph(&Scope::Below(scratch.path().to_path_buf()));
    let kernel = compare(scratch, until);
    photograph(&Scope::Below(scratch.path().to_path_buf())).assert_same(&before);
    kernel
}

#[test]
fn images_made_through_podman_are_those_of_the_kernels_driver() {
    need_root!();
    need!("podman", "buildah", "python3", "busybox");
    if std::env::var_os("LAYERFS_SOAK").is_none() {
        round(&Scratch::on_disk(), Until::Once);
        return;
    }
    for scratch in [Scratch::ext4(1024), Scratch::xfs(1024), Scratch::new()] {
        let kernel = round(&scratch, Until::All);
        judge_the_peer(&scratch, &kernel);
    }
}

#[test]
fn a_link_called_fuse_overlayfs_is_a_mount_program() {
    need_root!();
    need!("podman", "buildah", "python3", "busybox");
    let _watch = watchdog(LIMIT_S);
    let scratch = Scratch::on_disk();
    let before = photograph(&Scope::Below(scratch.path().to_path_buf()));
    let link = scratch.join("fuse-overlayfs");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_layerfs"), &link).unwrap();
    let round = Round::run(link.to_str().unwrap(), scratch.join("l"), Until::Look);
    assert!(round.facts.contains("\ndevice: written\n4755\n"), "{}", round.facts);
    assert_eq!(round.own(), "hard links: 2\n");
    photograph(&Scope::Below(scratch.path().to_path_buf())).assert_same(&before);
}

/// What README.md says of the way back, sentence by sentence.
#[test]
fn the_way_back_from_layerfs_is_what_the_readme_says() {
    need_root!();
    need!("podman", "buildah", "python3", "busybox", "fuse-overlayfs");
    let _watch = watchdog(LIMIT_S);
    let scratch = Scratch::on_disk();
    let before = photograph(&Scope::Below(scratch.path().to_path_buf()));
    let round = Round::run(env!("CARGO_BIN_EXE_layerfs"), scratch.join("l"), Until::Back);
    let own = round.own();
    let shows = |facts: [&str; 5]| {
        for fact in facts {
            assert!(own.lines().any(|line| line == fact), "{fact}: {own}");
        }
    };
    shows([
        // Images stay as they are,
        "back: fuse.fuse-overlayfs /opt: hard1 hard2 lib  /usr/share/d3: f0 f2 f3 f4  /usr/share/d4: only ",
        // a container loses what is in a directory that was renamed,
        "container: opt: hard2 moved  opt/moved: more  usr/share/d1: ",
        // unless its upper was made plain,
        "made plain: opt: hard2 moved  opt/moved: a b more sub  usr/share/d1: ",
        // and layers have whiteouts as plain files,
        "whiteouts in layers: usr/share/d3/.wh.f1 usr/share/d4/.wh..wh..opq ",
        // which the kernel shows, and what they delete.
        "kernel: kernel/usr/share/d3: .wh.f1 f0 f1 f2 f3 f4  kernel/usr/share/d4: .wh..wh..opq f0 f1 f2 f3 f4 only ",
    ]);
    photograph(&Scope::Below(scratch.path().to_path_buf())).assert_same(&before);
}
