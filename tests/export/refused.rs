//! What can't be done is told in one line, and leaves nothing.

use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::ground::{Ground, refused};
use crate::support::{Scope, need, need_root, photograph};

#[test]
fn what_can_not_be_told_committed_or_written_is_told_and_leaves_nothing() {
    need_root!();
    let Some(ground) = Ground::mounted() else { return };
    let (mnt, again) = (ground.at("mnt"), ground.at("again"));
    ground.shell("mnt", "echo > etc/.wh.x");
    ground.said(&["mount", "--read-only", "small:1", &again]);
    std::fs::write(ground.join("file"), "mine").unwrap();
    let (file, tar) = (ground.at("file"), ground.at("out.tar"));
    let below_file = format!("{file}/out.tar");
    let oci = |path: &str| format!("oci:{path}");
    let store = photograph(&Scope::Below(ground.join("store")));
    let around = std::fs::read_dir(ground.join(".")).unwrap().count();
    let rows: [(&[&str], &str); 23] = [
        (&["diff", "absent"], "no container `absent`"),
        (&["diff", "./absent"], "it does not exist"),
        (&["diff", "/"], "neither a container, nor the mountpoint"),
        (&["diff", &file], "it is not a directory"),
        (&["diff", &again], "is read-only"),
        (&["diff", "--json", "--tar", &mnt], "cannot be used with"),
        (&["diff", "-o", &tar, &mnt], "--tar"),
        (&["diff", "--tar", "-o", &tar, &mnt], "begins with `.wh.`"),
        (&["diff", "--tar", "-o", &below_file, &mnt], "Not a directory"),
        (&["commit", "-q", &mnt, "new:1"], "`/etc/.wh.x` begins with `.wh.`"),
        (&["commit", "-q", "absent", "new:1"], "no container `absent`"),
        (&["commit", "-q", &mnt, "New"], "write `new`"),
        (&["commit", "-q", &mnt, "new@sha256:x"], "malformed digest"),
        (&["commit", "-q", "-c", "RUN x", &mnt, "new:1"], "--change `RUN x`: write CMD"),
        (&["save", "-o", &tar, "absent"], "no image `absent`"),
        (&["save", "-o", &tar, "small:1", "absent"], "no image `absent`"),
        (&["save", "-o", &again, "small:1"], "Is a directory"),
        (&["save", "--compression", "zstd", "small:1"], "not packed"),
        (&["save", "--format", "oci-dir", "small:1"], "with -o"),
        (&["push", "small:1", "docker://x/y"], "registries are not spoken yet"),
        (&["push", "small:1", &tar], "no target"),
        (&["push", "small:1", &oci(&ground.at("store"))], "no OCI layout"),
        (&["push", "small:1", &oci(&file)], "Not a directory"),
    ];
    for (words, why) in rows {
        refused(&ground.layerfs(words), why);
    }
    photograph(&Scope::Below(ground.join("store"))).assert_same(&store);
    assert_eq!(std::fs::read_dir(ground.join(".")).unwrap().count(), around);
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    std::fs::remove_file(file).unwrap();
    ground.said(&["umount", &mnt, &again]);
    ground.ends();
}

/// Most often it was a mount, or a misspelled one.
#[test]
fn a_directory_where_nothing_is_mounted_is_told_in_one_sentence() {
    need_root!();
    let Some(ground) = Ground::mounted() else { return };
    let (mnt, again) = (ground.at("mnt"), ground.at("again"));
    ground.said(&["umount", &mnt]);
    for at in [&mnt, &again] {
        let expected = format!(
            "layerfs: `{at}` is neither a container, nor the mountpoint of an image of this store, nor the upper directory of \
             one: `layerfs mount` and `layerfs ps -a` list those; of one of plain directories `layerfs diff` tells what was \
             changed in it while it is mounted, or with --lowerdir; one that was made plain does not say which image is its \
             own: --image says it\n"
        );
        let run = ground.layerfs(&["diff", at]);
        assert_eq!(String::from_utf8_lossy(&run.stderr), expected);
        refused(&run, "`layerfs mount` and");
    }
    ground.ends();
}

/// Mounts of directories, their upper directories, and containers on a root file system have no image below them: what was
/// changed in the first two is told, and no image is made of it.
#[test]
fn what_has_no_image_below_it_is_told_with_what_can_be_done() {
    need_root!();
    need!("busybox", "setfattr");
    let Some(ground) = Ground::mounted() else { return };
    let (mnt, again) = (ground.at("mnt"), ground.at("again"));
    ground.shell(".", "mkdir -p lower dirs/upper dirs/work rootfs/bin; echo > lower/a; cp $(command -v busybox) rootfs/bin/sh");
    let layers = format!(
        "lowerdir={},upperdir={},workdir={}",
        ground.at("lower"),
        ground.at("dirs/upper"),
        ground.at("dirs/work")
    );
    ground.said(&["mount", "-o", &layers, &again]);
    ground.shell("again", "echo > b");
    ground.said(&[
        "run",
        "--name",
        "box",
        "--rootfs",
        &ground.at("rootfs"),
        "/bin/sh",
        "-c",
        "echo > /c",
    ]);
    let (upper, tar) = (ground.at("dirs/upper"), ground.at("out.tar"));
    let box_words: [&[&str]; 3] =
        [&["diff", "box"], &["diff", "--json", "box"], &["diff", "--tar", "-o", &tar, "box"]];
    for words in box_words.into_iter().chain([&["commit", "-q", "box", "new:1"][..]]) {
        refused(&ground.layerfs(words), "has no image below it but a directory (--rootfs)");
    }
    assert!(!ground.join("out.tar").exists());
    for what in [&again, &upper] {
        // Without a store, too.
        assert_eq!(ground.said_in("absent", &["diff", what]), "A /b\n");
    }
    let no_image =
        "so no image of this one is below it: `layerfs import` makes an image of all that it shows";
    refused(&ground.layerfs(&["commit", "-q", &again, "new:1"]), no_image);
    let upper_alone =
        "`layerfs diff` tells what was changed in it while it is mounted, or with --lowerdir";
    refused(&ground.layerfs(&["commit", "-q", &upper, "new:1"]), upper_alone);
    // The cures that are told.
    ground.said(&["import", "-q", &again, "dirs:1"]);
    ground.said(&["umount", &again]);
    refused(&ground.layerfs(&["diff", &upper]), upper_alone);
    let (lower, work) = (ground.at("lower"), ground.at("dirs/work"));
    let with_lowers = ["diff", "--lowerdir", &lower, "--work", &work, &upper];
    assert_eq!(ground.said_in("absent", &with_lowers), "A /b\n");
    ground.said(&["mount", "-o", &format!("lowerdir={lower}"), &again]);
    refused(&ground.layerfs(&["diff", &again]), "is read-only: nothing is changed in it");
    ground.said(&["umount", &again]);
    // What stands below the mount itself is not asked: it would answer with what the mount shows.
    let over = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    ground.said(&["mount", "-o", &over, &lower]);
    refused(
        &ground.layerfs(&["diff", &lower]),
        "lies below the mount itself: unmount it, and say `--lowerdir`",
    );
    ground.said(&["umount", &lower]);
    refused(&ground.layerfs(&["diff", &lower]), "neither a container, nor the mountpoint");
    // A file of which the kernel's overlayfs copied the metadata up: its contents are not there to be written.
    ground.said(&["umount", &mnt]);
    let own = ground.at("own");
    ground.said(&["mount", "--upper", &own, "small:1", &mnt]);
    ground.shell("mnt", "chmod 600 etc/gone");
    ground.said(&["umount", &mnt]);
    ground.said_in("store2", &["import", "-q", &ground.at("lower"), "other:1"]);
    let elsewhere = ground.command_in("store2", &["diff", &own]).output().unwrap();
    refused(
        &elsewhere,
        "an image that this store does not have: name the image's store with --root",
    );
    ground.shell("own", "setfattr -n trusted.overlay.metacopy etc/gone");
    refused(
        &ground.layerfs(&["diff", "--tar", "-o", &ground.at("out.tar"), &own]),
        "`/etc/gone` has its contents in the layers below: run `layerfs upper normalize`",
    );
    ground.said(&["rm", "box"]);
    ground.shell(".", "rm -r lower dirs rootfs own own.work store2");
    ground.ends();
}

/// Each file is as it was at some moment, or nothing is made of it.
#[test]
fn a_file_that_is_written_while_it_is_read_is_told() {
    need_root!();
    let Some(ground) = Ground::mounted() else { return };
    let path = ground.join("mnt/big");
    let writer = std::fs::File::create(&path).unwrap();
    writer.write_all_at(&vec![b'x'; 64 << 20], 0).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0_u64.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                writer.write_all_at(b"y", round % (64 << 20)).unwrap();
            }
        });
        let (tar, mnt) = (ground.at("out.tar"), ground.at("mnt"));
        let written = ground.layerfs(&["diff", "--tar", "-o", &tar, &mnt]);
        let committed = ground.layerfs(&["commit", "-q", &mnt, "new:1"]);
        is_over.store(true, Ordering::Relaxed);
        for output in [written, committed] {
            refused(&output, "`/big` changed while it was read: stop what writes to it");
        }
    });
    drop(writer);
    assert!(!ground.join("out.tar").exists());
    ground.commits_whole("rest:1", "at rest");
    ground.said(&["umount", &ground.at("mnt")]);
    ground.ends();
}
