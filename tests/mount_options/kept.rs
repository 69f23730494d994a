//! An image and what a mount needs of it: the changes that are kept for it, and parts of it that are lost.

use std::process::Command;

use crate::layout::{Image, Layout, three_layers};
use crate::live::{Live, live};
use crate::support::rights;

#[test]
fn rmi_of_a_mounted_image_tells_where_it_is_mounted() {
    let Some(live) = live() else { return };
    let id = live.place.pull_small("small");
    live.place.said(&["mount", "--upper", "changes", "small:1", "mnt"]);
    let run = live.place.run(&["rmi", "small:1"]);
    assert_eq!(run.status, Some(0), "{run:?}");
    assert!(run.stdout.contains("Deleted: "), "{run:?}");
    let short = &id.strip_prefix("sha256:").unwrap()[..12];
    let expected = format!(
        "layerfs: image {short} is still mounted at `{}`, which works until it is unmounted; to mount its --upper \
         again, import the image again first\n",
        live.place.join("mnt").display()
    );
    assert_eq!(run.stderr, expected);
    live.umount();
    live.place.pull_small("small");
    let run = live.place.run(&["rmi", "small:1"]);
    assert_eq!((run.status, &*run.stderr), (Some(0), ""));
}

#[test]
fn an_upper_belongs_to_the_image_that_it_was_made_over() {
    let Some(live) = live() else { return };
    live.place.pull_small("small");
    live.place.said(&["import", "base", "other:1"]);
    live.place.said(&["mount", "--upper", "changes", "small:1", "mnt"]);
    live.shell("echo x > mnt/new; test -z \"$(getfattr -m - mnt 2>&1)\"");
    live.umount();
    let before = live.shell("ls -A changes changes.work");
    for words in [
        &["mount", "--upper", "changes", "other:1", "mnt"][..],
        &["mount", "-o", "upperdir=changes,workdir=changes.work", "other:1", "mnt"],
    ] {
        let line = live.place.refused(words);
        assert!(line.starts_with("upper directory `/"), "{line}");
        let told = "/changes`: it holds changes of image `small:1`: mount it over that, or take";
        assert!(line.contains(told), "{line}");
    }
    assert_eq!(live.shell("ls -A changes changes.work"), before);
    live.place.said(&["mount", "--upper", "changes", "small:1", "mnt"]);
    assert_eq!(live.read("mnt/new"), "x\n");
    live.umount();
    live.place.said(&["rmi", "small:1"]);
    let line = live.place.refused(&["mount", "--upper", "changes", "other:1", "mnt"]);
    assert!(line.contains("an image that this store does not have, whose layers have"), "{line}");
}

/// Made by hand, by the kernel's overlayfs, or before there was such a mark.
#[test]
fn an_upper_without_the_mark_is_taken_and_marked() {
    let Some(live) = live() else { return };
    live.place.pull_small("small");
    live.place.said(&["import", "base", "other:1"]);
    live.shell("echo x > up/new; chmod 751 up");
    live.place.said(&["mount", "--upper", "up", "small:1", "mnt"]);
    assert_eq!(live.shell("cat mnt/new; stat -c %a mnt"), "x\n751\n");
    live.umount();
    let line = live.place.refused(&["mount", "--upper", "up", "other:1", "mnt"]);
    assert!(line.contains("it holds changes of image `small:1`"), "{line}");
}

#[test]
fn an_upper_that_can_not_be_had_leaves_nothing() {
    let Some(live) = live() else { return };
    live.place.pull_small("small");
    live.place.said(&["mount", "--upper", "up", "small:1", "mnt"]);
    std::fs::create_dir(live.place.join("other")).unwrap();
    let before = live.shell("ls -A . store");
    let rows = [
        (
            "gone/up",
            "upper directory `gone/up`: the directory that it is to lie in does not exist; make that first",
        ),
        ("base/only/up", "upper directory `base/only/up`"),
        ("store/up", "/store/up` lies inside the store `"),
        ("up", "the upper directory is in use by another mount"),
    ];
    std::thread::scope(|scope| {
        for (upper, expected) in rows {
            let live = &live;
            scope.spawn(move || {
                let words = [
                    "mount",
                    "--upper",
                    upper,
                    "--work",
                    &format!("{upper}.w"),
                    "small:1",
                    "other",
                ];
                let line = match upper {
                    "up" => live.refused_after_a_wait(&words),
                    _ => live.place.refused(&words),
                };
                assert!(line.contains(expected), "{upper}: {line}");
            });
        }
    });
    assert_eq!(live.shell("ls -A . store"), before);
    live.umount();
}

#[test]
fn a_mount_of_an_image_whose_parts_were_set_aside_says_to_import_it_again() {
    let Some(live) = live() else { return };
    live.place.pull_small("small");
    live.shell("for part in store/trees/* store/layers/*; do echo x >> $part; done");
    let mut both = Command::new("sh");
    both.args(["-c", "exec \"$0\" fsck --repair 2>&1", env!("CARGO_BIN_EXE_layerfs")]);
    let said = crate::place::finished(both.env("LAYERFS_ROOT", live.place.join("store")));
    assert!(said.stdout.contains("\nset aside: merged tree "), "{said:?}");
    let last = said.stdout.lines().last().unwrap();
    assert!(last.starts_with("layerfs: damage left: "), "{said:?}");
    let line = live.place.refused(&["mount", "small:1", "mnt"]);
    assert!(line.ends_with("is missing: import the image again"), "{line}");
    live.place.said(&["pull", "-q", "oci:small"]);
    live.place.said(&["mount", "small:1", "mnt"]);
    live.umount();
}

#[test]
fn options_go_together_with_the_words_that_keep_changes() {
    let Some(live) = live() else { return };
    live.place.pull_small("small");
    live.place.said(&["mount", "-o", "dev,suid,io=cached", "--upper", "changes", "small:1", "mnt"]);
    assert!(!live.found()[2].contains("nodev"), "{:?}", live.found());
    live.shell("echo kept > mnt/kept");
    live.umount();
    assert_eq!(live.read("changes/kept"), "kept\n");
    live.place.said(&["mount", "-o", "noexec", "--read-only", "small:1", "mnt"]);
    assert!(live.found()[2].starts_with("ro,"), "{:?}", live.found());
    live.umount();
    let both = ["mount", "-o", "upperdir=up,workdir=work", "--upper", "changes", "small:1", "mnt"];
    let over = ["mount", "-o", "lowerdir=base", "--upper", "changes", "mnt"];
    for (words, told) in [(&both[..], "said twice"), (&over[..], "upperdir=U,workdir=W")] {
        let run = live.place.run(words);
        assert_eq!(run.status, Some(2), "{run:?}");
        assert!(run.stderr.contains(told), "{run:?}");
    }
}

/// A mount of the small image whose upper has a file without its data. Answers the file.
fn left_in_the_image(live: &Live, upper: &str) -> String {
    live.place.said(&["mount", "--upper", upper, "small:1", "mnt"]);
    let file =
        live.shell("cd mnt; find . -xdev -type f -size +0 -printf '%P\\n' | sort | head -n 1");
    live.shell(&format!("chown 7:7 mnt/{file}"));
    live.umount();
    file.trim().to_owned()
}

fn records(live: &Live) -> usize {
    std::fs::read_dir(live.place.join("store/uppers")).unwrap().count()
}

#[test]
fn an_image_that_an_upper_has_data_in_is_removed_by_force_alone() {
    let Some(live) = live() else { return };
    live.place.pull_small("small");
    let file = left_in_the_image(&live, "changes");
    let at = live.place.join("changes").display().to_string();
    let needed = |line: &str| {
        assert!(line.starts_with("image ") && line.contains(" is needed by the upper"), "{line}");
        assert!(line.contains(&format!("`{at}`: `{file}` has a part in it")), "{line}");
    };
    let line = live.place.refused(&["rmi", "small:1"]);
    needed(&line);
    let cure = format!("`layerfs upper normalize --image small:1 {at}`");
    assert!(line.contains(&cure) && line.ends_with("with --force"), "{line}");
    // One name of two takes nothing away.
    live.place.said(&["tag", "small:1", "again:1"]);
    live.place.said(&["rmi", "again:1"]);
    live.place.said(&["mount", "--upper", "changes", "small:1", "mnt"]);
    needed(&live.place.refused(&["rmi", "small:1"]));
    live.umount();
    let run = live.place.run(&["rmi", "-f", "small:1"]);
    assert_eq!(run.status, Some(0), "{run:?}");
    let farewell = format!(
        " was needed by the upper directory `{at}`: `{file}` has a part in it; the same image brought in again is as good\n"
    );
    assert!(run.stderr.ends_with(&farewell), "{run:?}");
    live.place.pull_small("small");
    needed(&live.place.refused(&["rmi", "small:1"]));
    // The cure, and what has data of its own, and renamed directories.
    live.place.said(&["upper", "normalize", "--image", "small:1", "changes"]);
    assert_eq!(live.place.run(&["rmi", "small:1"]).stderr, "");
    live.place.said(&["import", "base", "dirs:1"]);
    live.place.said(&["mount", "--upper", "moved", "--work", "aside", "dirs:1", "mnt"]);
    live.shell("echo more >> mnt/only");
    live.umount();
    live.place.said(&["mount", "-o", "upperdir=moved,workdir=aside", "dirs:1", "mnt"]);
    live.shell("mv mnt/d mnt/e");
    live.umount();
    let line = live.place.refused(&["rmi", "dirs:1"]);
    let aside = live.place.join("aside").display().to_string();
    assert!(line.contains("/moved`: `e` has a part in it"), "{line}");
    assert!(line.contains(&format!("--image dirs:1 --work {aside} ")), "{line}");
    live.assert_nothing_left();
}

#[test]
fn an_upper_lets_an_image_go_where_another_has_the_same_layers() {
    let Some(live) = live() else { return };
    live.place.pull_small("small");
    let created = "2021-01-01T00:00:00Z";
    let step = serde_json::json!({ "created": created, "created_by": "ADD" });
    let history = serde_json::json!([step, step, step]);
    let same = Image { tag: Some("2"), layers: three_layers(), history, created };
    Layout::new().with(&same).write(&live.place.join("same"));
    live.place.said(&["pull", "-q", "oci:same"]);
    left_in_the_image(&live, "changes");
    needed_no_more(&live, &["rmi", "small:1"]);
    assert!(live.place.refused(&["rmi", "same:2"]).contains("/changes`: `a` has a part in it"));
    live.assert_nothing_left();
}

fn needed_no_more(live: &Live, words: &[&str]) {
    let run = live.place.run(words);
    assert_eq!((run.status, &*run.stderr), (Some(0), ""), "{words:?}: {run:?}");
}

#[test]
fn an_upper_that_is_not_there_or_is_another_images_keeps_no_image() {
    let Some(live) = live() else { return };
    live.place.pull_small("small");
    left_in_the_image(&live, "gone");
    left_in_the_image(&live, "reused");
    assert_eq!(records(&live), 2);
    live.shell("rm -r gone gone.work reused reused.work");
    live.place.said(&["import", "base", "dirs:1"]);
    live.place.said(&["mount", "--upper", "reused", "dirs:1", "mnt"]);
    live.shell("mv mnt/d mnt/e");
    live.umount();
    assert_eq!(records(&live), 3);
    needed_no_more(&live, &["rmi", "small:1"]);
    // What is gone is forgotten by a collection that is asked for, and what is there is not. A killed mount left the third.
    live.shell("echo > store/uppers/0123456789abcdef.new");
    live.place.said(&["gc"]);
    assert_eq!(records(&live), 2);
    assert!(live.place.refused(&["rmi", "dirs:1"]).contains("/reused`: `e` has a part in it"));
    live.shell("rm -r reused reused.work");
    needed_no_more(&live, &["rmi", "dirs:1"]);
    live.place.said(&["gc"]);
    assert_eq!(records(&live), 0);
    // A second mount of one makes no second record.
    live.place.pull_small("small");
    left_in_the_image(&live, "twice");
    left_in_the_image(&live, "twice");
    assert_eq!(records(&live), 1);
    live.assert_nothing_left();
}

#[test]
fn what_can_not_be_known_of_an_upper_keeps_its_image() {
    rights::need!("setfattr");
    let Some(live) = live() else { return };
    live.place.pull_small("small");
    left_in_the_image(&live, "changes");
    live.shell(
        "mv changes.work elsewhere; setfattr -n trusted.overlay.layerfs.origin -v x changes",
    );
    let line = live.place.refused(&["rmi", "small:1"]);
    let told = "/changes` needs image ";
    assert!(line.contains(told) && line.contains("is not known: "), "{line}");
    assert!(line.ends_with("; --force removes it all the same"), "{line}");
    live.shell("rm -r changes elsewhere");
    live.shell("echo x >> store/uppers/*");
    let line = live.place.refused(&["rmi", "small:1"]);
    assert!(line.starts_with("which upper directories need image "), "{line}");
    assert!(line.contains("its digest is another; `layerfs fsck` tells more; --force"), "{line}");
    let run = live.place.run(&["fsck"]);
    assert!(run.status == Some(1) && run.stdout.starts_with("damaged: uppers/"), "{run:?}");
    assert_eq!(live.place.run(&["fsck", "--repair"]).status, Some(0));
    needed_no_more(&live, &["rmi", "small:1"]);
    live.assert_nothing_left();
}

/// What README says of a kept upper: its image may go and come back.
#[test]
fn a_file_whose_data_was_left_in_the_image_has_it_again_with_the_image() {
    let Some(live) = live() else { return };
    live.place.pull_small("small");
    live.place.said(&["mount", "--upper", "changes", "small:1", "mnt"]);
    let file = live.shell("find mnt -xdev -type f -size +0 | head -n 1");
    let before = live.read(file.trim());
    live.shell(&format!("chown 7:7 {file}"));
    live.umount();
    live.place.said(&["rmi", "-f", "small:1"]);
    live.place.said(&["gc"]);
    let refused = live.place.run(&["mount", "--upper", "changes", "small:1", "mnt"]);
    assert_eq!(refused.status, Some(1), "{refused:?}");
    live.place.pull_small("small");
    live.place.said(&["mount", "--upper", "changes", "small:1", "mnt"]);
    assert_eq!(live.read(file.trim()), before);
    assert_eq!(live.shell(&format!("stat -c %u {file}")), "7\n");
    live.umount();
}
