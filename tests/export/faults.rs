//! A target that is full, and a `commit`, `save` or `push` that is killed or refused a call.

use std::process::Command;

use crate::ground::{Ground, refused, said};
use crate::support::{need, need_root};

#[test]
fn a_full_target_keeps_what_it_had() {
    need_root!();
    need!("mount");
    let Some(ground) = Ground::mounted() else { return };
    ground.shell("mnt", "head -c 3000000 /dev/urandom > big");
    let mnt = ground.at("mnt");
    ground.said(&["commit", "-q", &mnt, "big:1"]);
    let (tmpfs, again) = (["-t", "tmpfs", "-o", "size=2m", "none"], ground.at("again"));
    said(&tmpfs, Command::new("mount").args(tmpfs).arg(&again).output().unwrap());
    let (tar, layout) = (format!("{again}/out.tar"), format!("{again}/layout"));
    std::fs::write(&tar, "before").unwrap();
    let full = "No space left on device";
    for form in ["docker-archive", "oci-archive"] {
        refused(&ground.layerfs(&["save", "--format", form, "-o", &tar, "big:1"]), full);
    }
    refused(&ground.layerfs(&["diff", "--tar", "-o", &tar, &mnt]), full);
    refused(&ground.layerfs(&["push", "big:1", &format!("oci:{layout}:big")]), full);
    assert_eq!(std::fs::read(&tar).unwrap(), b"before");
    assert_eq!(std::fs::read_dir(&again).unwrap().count(), 1, "a layout that failed is not there");
    // One that was there has what it had.
    ground.said(&["push", "small:1", &format!("oci:{layout}:small")]);
    let listed = || -> Vec<_> {
        let mut found: Vec<_> = std::fs::read_dir(format!("{layout}/blobs/sha256"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        found.sort();
        found
    };
    let (index, blobs) = (std::fs::read(format!("{layout}/index.json")).unwrap(), listed());
    refused(&ground.layerfs(&["push", "big:1", &format!("oci:{layout}:big")]), full);
    assert_eq!((std::fs::read(format!("{layout}/index.json")).unwrap(), listed()), (index, blobs));
    said(&["umount"], Command::new("umount").arg(&again).output().unwrap());
    ground.said(&["umount", &mnt]);
    ground.ends();
}

/// How often a verb is disturbed: at points spread over all that it passes.
#[cfg(feature = "fault")]
const TIMES: u64 = 12;

/// Runs the words under a plan: whether the plan was carried out, and how many points there were.
#[cfg(feature = "fault")]
fn under(ground: &Ground, words: &[&str], plan: &str) -> (bool, u64, std::process::Output) {
    let report = ground.join("report");
    std::fs::write(&report, b"").unwrap();
    let mut command = ground.command_in("store", words);
    let output =
        command.env("LAYERFS_FAULT", plan).env("LAYERFS_FAULT_REPORT", &report).output().unwrap();
    let text = std::fs::read_to_string(&report).unwrap();
    std::fs::remove_file(&report).unwrap();
    let number = |key: &str| {
        let found = text.split_whitespace().find_map(|word| word.strip_prefix(key));
        found.map_or(0, |number| number.parse().unwrap())
    };
    (number("fired=") == 1, number("points="), output)
}

/// After each, the store is sound and the mount as it was; a target is whole or not there. So it goes on as if nothing had been.
#[cfg(feature = "fault")]
#[test]
fn a_verb_that_is_killed_or_refused_leaves_the_store_sound() {
    need_root!();
    need!("python3");
    let Some(ground) = Ground::mounted() else { return };
    ground.shell(
        "mnt",
        "mv usr/share usr/s; head -c 20000 /dev/urandom > big; echo >> opt/two; rm etc/gone",
    );
    let (mnt, tar) = (ground.at("mnt"), ground.at("out.tar"));
    let layout = format!("oci:{}:1", ground.at("layout"));
    let verbs: [&[&str]; 4] = [
        &["commit", "-q", &mnt, "new:1"],
        &["save", "-o", &tar, "small:1"],
        &["push", "small:1", &layout],
        &["diff", "--tar", "-o", &tar, &mnt],
    ];
    for words in verbs {
        let (_, points, output) = under(&ground, words, "count");
        assert!(output.status.success() && points > 50, "{words:?}: {points} points, {output:?}");
        clear(&ground);
        for number in 0..TIMES {
            let at = 1 + number * points / TIMES;
            let plan = match number % 3 {
                0 => format!("die:{at}"),
                1 => format!("fail:{at}:EIO"),
                _ => format!("fail:{at}:ENOSPC"),
            };
            let (fired, _, output) = under(&ground, words, &plan);
            // A call whose failure does not matter is told, or is nothing.
            assert!(!fired || !output.status.success() || ground.layerfs(words).status.success());
            ground.said(&["fsck"]);
            assert!(
                output.status.success() || !ground.join("out.tar").exists(),
                "{plan}: {words:?}"
            );
            ground.said(words);
            clear(&ground);
        }
    }
    ground.commits_whole("whole:1", "after all");
    ground.said(&["umount", &mnt]);
    ground.said(&["gc"]);
    ground.ends();
}

/// Removes what the verbs made, and what a killed one left.
#[cfg(feature = "fault")]
fn clear(ground: &Ground) {
    ground.shell(".", "rm -rf layout out.tar");
    if ground.layerfs(&["inspect", "new:1"]).status.success() {
        ground.said(&["rmi", "new:1"]);
    }
}
