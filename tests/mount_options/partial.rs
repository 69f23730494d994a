//! Files of which only the attributes or the name were changed: their data stays in the lower, and nobody is shown its holes.

use crate::live::{Live, live, live_on_disk};
use crate::support::rights;

const DIRS: &str = "lowerdir=base,upperdir=up,workdir=work";

/// What a mount shows: names, types, modes, owners, times, contents and attributes.
const SHOWN: &str = "find . -printf '%P %y %m %U:%G %n %s %T@ %l\n' | sed 's/^\\(.* d [0-9]* [^ ]*\\) [0-9]* [0-9]*/\\1/' | sort
    find . -type f | sort | xargs sha256sum; getfattr -Rhd -m - . | grep -v '^$'";

/// Files to change. `$B` is where the lower is.
const FILES: &str = "cd base; yes 0123456789 | head -c 3000000 > large; ln large linked; cp large d/moved
    truncate -s 5M sparse; printf end >> sparse; : > empty; echo set > setid; chmod 4755 setid; echo cap > capable
    setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 capable; echo again > twice
    echo group > agroup; ln agroup zgroup";

/// Changes that touch no data.
const CHANGES: &str = "cd mnt; chown 7:8 large; chmod 640 sparse; touch -hd @1000000000 only; setfattr -n user.x -v y both
    mv d/moved moved; ln twice again; chmod 700 empty; chgrp 9 setid capable zgroup";

/// Of these the data stays below; the last two are too delicate, and one has none.
const LEFT: [&str; 8] = ["again", "both", "large", "moved", "only", "sparse", "twice", "zgroup"];

/// What `diff` tells of them.
const TOLD: &str = "A /again, C /agroup, C /both, C /capable, C /d, D /d/moved, C /empty, C /large, C /linked, A /moved, C /only, C /setid, \
    C /sparse, C /twice, C /zgroup";

fn marked(live: &Live, upper: &str) -> Vec<String> {
    let listed = live.shell(&format!(
        "cd {upper}; getfattr -Rhn trusted.overlay.metacopy -e hex . 2>/dev/null | sed -n 's/^# file: //p' | sort"
    ));
    listed.lines().map(String::from).collect()
}

/// The files of an upper that have any data.
fn with_data(live: &Live, upper: &str) -> String {
    live.shell(&format!("cd {upper}; find . -type f -size +0 -printf '%P %b\n' | sed -n 's/ [^0].*//p' | sort | xargs"))
}

fn shown(live: &Live) -> String {
    live.shell(&format!("cd mnt; {SHOWN}"))
}

fn mount_image(live: &Live) {
    live.place.said(&["mount", "-o", "partial=on", "--upper", "changes", "image:1", "mnt"]);
}

/// An upper of an image in which all of that was changed, mounted; answers what it shows.
fn changed(live: &Live) -> String {
    live.shell(FILES);
    live.place.said(&["import", "base", "image:1"]);
    mount_image(live);
    live.shell(CHANGES);
    shown(live)
}

#[test]
fn what_changes_but_its_data_leaves_that_in_the_image() {
    rights::need!("setfattr");
    let Some(live) = live() else { return };
    let expected = changed(&live);
    assert_eq!(marked(&live, "changes"), LEFT);
    assert_eq!(with_data(&live, "changes"), "capable setid\n");
    assert!(
        expected.contains("large f 644 7:8 2 3000000") && expected.contains("linked f 644 7:8")
    );
    live.umount();
    mount_image(&live);
    assert_eq!(shown(&live), expected, "a new mount");
    // The same files with the data of the lower, as the tree that was imported has it.
    let sums = "for f in large linked sparse only both twice; do cmp base/$f mnt/$f; done; cmp base/large mnt/moved";
    live.shell(sums);
    assert_eq!(live.shell("stat -c %b mnt/large"), live.shell("stat -c %b base/large"));
    // Who writes one gets its data first; the others stay as they are.
    live.shell("cd mnt; echo more >> linked; printf x | dd of=again conv=notrunc status=none; truncate -s 2M sparse");
    assert_eq!(
        marked(&live, "changes"),
        ["both", "moved", "only", "zgroup"].map(|name| name.to_owned())
    );
    live.shell(
        "{ cat base/large; echo more; } | cmp - mnt/large; cmp -n 2097152 base/sparse mnt/sparse",
    );
    assert_eq!(live.shell("cat mnt/twice; stat -c '%s %h %a' mnt/twice"), "xgain\n6 2 644\n");
    live.shell("cmp mnt/large mnt/linked; cmp changes/large mnt/large");
    let expected = shown(&live);
    live.umount();
    mount_image(&live);
    assert_eq!(shown(&live), expected, "a new mount after the writes");
    live.umount();
    live.place.said(&["fsck"]);
}

fn mount_blocks(live: &Live) {
    live.place.said(&["mount", "--upper", "changes", "image:1", "mnt"]);
}

/// An image of these files on a disk, of which blocks are copied up, mounted.
fn blocks_of(files: &str) -> Option<Live> {
    let live = live_on_disk()?;
    live.shell(files);
    live.place.said(&["import", "base", "image:1"]);
    mount_blocks(&live);
    Some(live)
}

/// The blocks of 512 bytes that files of the upper have.
fn blocks(live: &Live, names: &str) -> String {
    live.shell(&format!("cd changes; stat -c %b {names} | xargs"))
}

#[test]
fn what_is_written_of_a_file_of_an_image_is_copied_up_block_by_block() {
    rights::need!("setfattr");
    let Some(live) = blocks_of(
        "cd base; seq 1000000 > large; cp large model; truncate -s 1G huge; printf end >> huge; seq 20000 > small",
    ) else {
        return;
    };
    // A byte, one across two blocks, a whole block, one behind the end; each in the file and in its model.
    let write = "for to in mnt/large base/model; do
        for at in 5 4095 12288 6888895 7000000; do
            head -c $((at % 7 + 4096)) /dev/zero | tr '\\0' $((at % 10)) | dd of=$to bs=1M oflag=seek_bytes seek=$at conv=notrunc status=none
        done; done; cmp mnt/large base/model";
    live.shell(write);
    live.shell("printf x | dd of=mnt/huge bs=1 seek=536870912 conv=notrunc status=none");
    // One of data, and one that the disk may take for the marks.
    assert!(["8\n", "16\n"].contains(&&*blocks(&live, "huge")));
    let few: u32 = blocks(&live, "large").trim().parse().unwrap();
    assert!((8..=8 * 12).contains(&few), "{few} blocks");
    live.shell("[ $(stat -c %b mnt/huge) -le 24 ]");
    let told = "head -c 536870913 mnt/huge | tail -c 2 | od -An -c; tail -c 3 mnt/huge";
    assert_eq!(live.shell(told), "  \\0   x\nend");
    // What is cut away does not come back.
    let cut = "for to in mnt/large base/model; do truncate -s 5000001 $to; truncate -s 6000000 $to; printf y >> $to; done; cmp mnt/large base/model";
    live.shell(cut);
    for _ in 0..2 {
        live.umount();
        mount_blocks(&live);
        live.shell("cmp mnt/large base/model; cmp mnt/small base/small");
    }
    // Another layer of it has all, and so has the upper that is made plain.
    live.place.said(&["commit", "changes", "image:2"]);
    live.umount();
    live.place.said(&["mount", "--read-only", "image:2", "mnt"]);
    live.shell("cmp mnt/large base/model");
    live.umount();
    live.place.said(&["upper", "normalize", "--image", "image:1", "changes"]);
    live.shell("cmp changes/large base/model");
    assert_eq!(marked(&live, "changes"), [""; 0]);
}

#[test]
fn a_small_file_that_is_written_has_all_data_and_is_marked_until_it_is_synced() {
    rights::need!("setfattr");
    let Some(live) =
        blocks_of("cd base; seq 20000 > small; seq 20000 > punched; seq 20000 > untouched")
    else {
        return;
    };
    live.shell("cd mnt; printf x >> small; : >> untouched; chmod 600 punched; printf y >> small");
    assert_eq!(marked(&live, "changes"), ["punched", "small", "untouched"]);
    live.shell("{ cat base/small; printf xy; } | cmp - changes/small; cmp base/untouched changes/untouched");
    live.shell("sync mnt/small; fallocate -p -o 4096 -l 8192 mnt/punched");
    assert_eq!(marked(&live, "changes"), ["untouched"]);
    // What is cut away does not come back, though its mark speaks of it.
    let cut = "for to in mnt/untouched base/untouched; do truncate -s 5001 $to; truncate -s 60000 $to; done; cmp mnt/untouched base/untouched";
    live.shell(cut);
    let punched = "{ seq 20000 | head -c 4096; head -c 8192 /dev/zero; seq 20000 | tail -c +12289; } | cmp - mnt/punched";
    for _ in 0..2 {
        live.shell(punched);
        live.umount();
        mount_blocks(&live);
        live.shell(
            "cmp mnt/untouched base/untouched; { cat base/small; printf xy; } | cmp - mnt/small",
        );
    }
    live.shell(": > mnt/untouched");
    assert_eq!(marked(&live, "changes"), [""; 0]);
    live.umount();
}

#[test]
fn what_was_being_cut_as_its_mount_died_is_that_short_and_grows_by_zeros() {
    rights::need!("setfattr");
    let Some(live) = blocks_of("cd base; seq 20000 > small; seq 1000000 > large") else { return };
    live.shell("cd mnt; printf x >> small; printf x >> large");
    live.umount();
    // Between the cut and the mark.
    live.shell("truncate -s 0 changes/small; truncate -s 5000 changes/large");
    mount_blocks(&live);
    live.shell("cmp mnt/small /dev/null; truncate -s 9000 mnt/large; printf y >> mnt/small");
    for _ in 0..2 {
        live.shell("{ head -c 5000 base/large; head -c 4000 /dev/zero; } | cmp - mnt/large");
        assert_eq!(live.shell("cat mnt/small"), "y");
        live.umount();
        mount_blocks(&live);
    }
    live.umount();
}

/// As a power cut in the midst of a sync leaves it.
#[test]
fn room_that_the_disk_set_aside_and_nobody_wrote_is_not_taken_for_data() {
    rights::need!("setfattr");
    let Some(live) = blocks_of("seq 1000000 > base/large; cp base/large model") else { return };
    live.shell("for to in mnt/large model; do printf x | dd of=$to bs=1 seek=3000000 conv=notrunc status=none; done");
    live.umount();
    // Who reads the upper itself has zeros of it in memory, which would be data.
    live.shell("fallocate -n -o 1M -l 1M changes/large; cat changes/large > /dev/null");
    live.place.said(&["commit", "changes", "image:2"]);
    live.place.said(&["mount", "--read-only", "image:2", "mnt"]);
    live.shell("cmp mnt/large model");
    live.umount();
    live.shell("cat changes/large > /dev/null");
    mount_blocks(&live);
    live.shell("cmp mnt/large model");
    live.shell("for to in mnt/large model; do printf y | dd of=$to bs=1 seek=1500000 conv=notrunc status=none; done; cmp mnt/large model");
    live.umount();
    live.place.said(&["upper", "normalize", "--image", "image:1", "changes"]);
    live.shell("cmp changes/large model");
}

#[test]
fn a_file_that_is_larger_than_the_disk_is_written_in_part_again_and_again() {
    rights::need!("setfattr");
    let Some(live) = live() else { return };
    live.shell("head -c 24M /dev/zero | tr '\\0' x > base/large; mkdir ram; mount -t tmpfs -o size=16m ram ram; mkdir ram/up ram/work");
    live.place.said(&["import", "base", "image:1"]);
    let options = "upperdir=ram/up,workdir=ram/work,partial=blocks";
    live.place.said(&["mount", "-o", options, "image:1", "mnt"]);
    // More than an eighth of its size, of one block.
    let write = "for n in 1 2 3; do for n in $(seq 200); do head -c 16384 /dev/zero; done | dd of=mnt/large bs=16K seek=$((n * 300)) conv=notrunc status=none; done";
    live.shell(write);
    live.shell("printf y | dd of=mnt/large bs=1 seek=100 conv=notrunc status=none; head -c 101 mnt/large | tail -c 1 | grep -q y");
    live.umount();
    live.shell("until umount ram; do :; done 2> umounting");
}

#[test]
fn a_copy_of_an_upper_with_files_that_were_written_in_part_is_not_taken_for_it() {
    rights::need!("setfattr");
    let Some(live) = blocks_of("cd base; seq 20000 > written; seq 20000 > owned") else { return };
    live.shell("cd mnt; printf x >> written; chmod 600 owned");
    live.umount();
    // Holes are zeros in the copy.
    live.shell("mv changes old; cp -a --sparse=never old changes; rm -r changes.work");
    mount_blocks(&live);
    let said =
        live.shell("LC_ALL=C cat mnt/written 2>&1 | sed 's/.*: //'; cmp mnt/owned base/owned");
    assert_eq!(said, "Input/output error\n");
    live.shell("printf x >> mnt/owned; { cat base/owned; printf x; } | cmp - mnt/owned");
    live.umount();
}

#[test]
fn an_upper_whose_data_lies_in_an_image_is_told_committed_and_made_plain() {
    rights::need!("setfattr");
    let Some(live) = live() else { return };
    let expected = changed(&live);
    for mounted in [true, false] {
        let lines = live.place.said(&["diff", "changes"]);
        assert_eq!(lines.lines().collect::<Vec<_>>().join(", "), TOLD, "{mounted}");
        let name = if mounted { "image:2" } else { "image:3" };
        live.place.said(&["commit", "changes", name]);
        if mounted {
            live.umount();
        }
        live.place.said(&["mount", "--read-only", name, "mnt"]);
        assert_eq!(shown(&live), expected, "{name}");
        live.umount();
        if mounted {
            mount_image(&live);
            live.umount();
        }
    }
    let line = live.place.refused(&["upper", "normalize", "changes"]);
    assert!(line.contains("--image IMAGE"), "{line}");
    live.place.said(&["upper", "normalize", "--image", "image:1", "changes"]);
    assert_eq!(marked(&live, "changes"), [""; 0]);
    assert_eq!(live.shell("ls -A changes.work/work/incompat"), "");
    let kernel = live.shell(&format!(
        "mkdir w; mount -t overlay overlay -o lowerdir=base,upperdir=changes,workdir=w,redirect_dir=nofollow,metacopy=off,index=off mnt
        cd mnt; {SHOWN}; cd ..; umount mnt; rm -r w"
    ));
    assert_eq!(kernel, expected);
}

#[test]
fn the_kernel_refuses_an_upper_whose_data_lies_in_an_image_and_never_shows_its_holes() {
    rights::need!("setfattr");
    let Some(live) = live() else { return };
    changed(&live);
    live.umount();
    live.shell("mkdir kernel w");
    for options in ["", ",metacopy=on,redirect_dir=on,index=off"] {
        let refused = live.shell(&format!(
            "mount -t overlay overlay -o lowerdir=base,upperdir=changes,workdir=changes.work{options} kernel 2>/dev/null || echo no"
        ));
        assert_eq!(refused, "no\n", "{options}");
        // With a work directory of its own nothing tells it, but what a file has.
        let read = live.shell(&format!(
            "mount -t overlay overlay -o lowerdir=base,upperdir=changes,workdir=w{options} kernel
            for f in large moved only again sparse; do LC_ALL=C cat kernel/$f 2>&1; done | grep -c 'Input/output error'; umount kernel"
        ));
        assert_eq!(read, "5\n", "{options}");
    }
    // The same as a lower of ours.
    live.place.said(&["mount", "-o", "lowerdir=changes:base", "mnt"]);
    let read = "for f in large moved only again sparse; do LC_ALL=C cat mnt/$f 2>&1; done | grep -c 'Input/output error'";
    assert_eq!(live.shell(read), "5\n");
    live.umount();
    // The work directory that is lost says it again.
    live.shell("rm -rf changes.work w; mkdir changes.work");
    mount_image(&live);
    live.umount();
    assert_eq!(live.shell("ls changes.work/work/incompat"), "layerfs-partial\n");
}

#[test]
fn data_stays_below_in_images_and_where_it_is_asked_for() {
    rights::need!("setfattr");
    let Some(live) = live() else { return };
    live.shell(FILES);
    live.place.said(&["import", "base", "image:1"]);
    for (more, is_left) in [("", false), (",partial=off", false), (",partial=on", true)] {
        for (options, words) in [(DIRS, &[][..]), ("upperdir=up,workdir=work", &["image:1"][..])] {
            let options = format!("{options}{more}");
            let all = [&["mount", "-o", &options][..], words, &["mnt"]].concat();
            live.place.said(&all);
            live.shell("chmod 600 mnt/large");
            live.umount();
            let is_left = is_left || (!words.is_empty() && more.is_empty());
            assert_eq!(marked(&live, "up").len(), usize::from(is_left), "{all:?}");
            live.shell("rm -r up work; mkdir up work");
        }
    }
    // Without a container's command nobody knows, but its upper is an image's.
    live.place.said(&["mount", "-o", &format!("{DIRS},partial=on"), "mnt"]);
    let line = live.place.refused(&["mount", "-o", "remount,partial=off", "mnt"]);
    assert!(line.contains("partial="), "{line}");
    live.umount();
}

#[test]
fn data_of_directories_is_that_of_the_file_that_was_there_or_an_error() {
    rights::need!("setfattr");
    let Some(live) = live() else { return };
    live.shell(FILES);
    let options = format!("{DIRS},partial=on");
    let mount = || live.place.said(&["mount", "-o", &options, "mnt"]);
    let sums = live.shell("cd base; find . -type f | sort | xargs sha256sum");
    mount();
    live.shell(CHANGES);
    let expected = shown(&live);
    live.umount();
    assert_eq!(marked(&live, "up"), LEFT);
    mount();
    assert_eq!(shown(&live), expected, "a new mount");
    live.shell("mkdir mnt/new; mv mnt/moved mnt/new/deep; mv mnt/large mnt/moved; mv mnt/d mnt/e");
    live.shell(
        "cmp base/large mnt/moved; cmp base/large mnt/linked; cmp base/d/moved mnt/new/deep",
    );
    live.umount();
    mount();
    live.shell("cmp base/large mnt/moved; cmp base/d/moved mnt/new/deep; echo x >> mnt/new/deep");
    live.shell("{ cat base/large; echo x; } | cmp - mnt/new/deep");
    live.umount();
    assert_eq!(live.shell("cd base; find . -type f | sort | xargs sha256sum"), sums, "the lower");
    // Another file of the same name and size, one that is shorter now, and none.
    live.shell("cd base; cp -a both new; mv new both; truncate -s 100 sparse; rm twice");
    mount();
    for name in ["both", "sparse", "twice"] {
        let said = live.shell(&format!("LC_ALL=C cat mnt/{name} 2>&1 >/dev/null | sed 's/.*: //'"));
        let expected =
            if name == "sparse" { "Stale file handle\n" } else { "Input/output error\n" };
        assert_eq!(said, expected, "{name}");
    }
    live.shell("cmp base/only mnt/only");
    live.umount();
    let line =
        live.place.refused(&["upper", "normalize", "--work", "work", "-o", "lowerdir=base", "up"]);
    assert!(line.contains("its data lies in a lower layer"), "{line}");
}

#[test]
fn a_file_of_several_names_of_which_the_kernel_copied_metadata_alone_has_its_data_by_each() {
    let Some(live) = live() else { return };
    live.shell(
        "ln base/both base/linked; ln base/both base/d/third; mkdir kernel
        mount -t overlay overlay -o lowerdir=base,upperdir=up,workdir=work,index=on,metacopy=on,redirect_dir=on kernel
        chmod 600 kernel/both; umount kernel",
    );
    assert_eq!(marked(&live, "up"), ["both"]);
    live.place.said(&["mount", "-o", DIRS, "mnt"]);
    // By a name that the lower alone has first.
    assert_eq!(
        live.shell("cat mnt/d/third mnt/linked mnt/both; stat -c '%a %h' mnt/linked"),
        "basebasebase600 3\n"
    );
    live.shell("echo more >> mnt/linked");
    assert_eq!(live.shell("cat mnt/d/third; cat base/both"), "basemore\nbase");
    live.umount();
}

#[test]
fn a_mark_for_which_an_object_has_no_room_is_done_without() {
    rights::need!("setfattr");
    let Some(live) = live_on_disk() else { return };
    live.shell(
        "n=3800; while echo $n > base/f$n && setfattr -n user.x -v $(printf \"%0${n}d\" 0) base/f$n 2>/dev/null; do n=$((n + 4)); done; rm base/f$n",
    );
    live.place.said(&["import", "base", "image:1"]);
    mount_image(&live);
    live.shell("cd mnt; for f in f*; do chmod 600 $f; cmp ../base/$f $f; done; cp -a --attributes-only ../base/only small");
    let all: usize = live.shell("ls mnt | grep -c ^f").trim().parse().unwrap();
    let left = marked(&live, "changes").len();
    assert!(0 < left && left < all, "{left} of {all}: the sizes meet no end");
    // One that has its mark and gets an attribute as large as the disk takes it.
    live.shell("for n in $(seq 3800 4 5000); do setfattr -n user.x -v $(printf \"%0${n}d\" 0) mnt/small 2>/dev/null || break; echo $n > room; done");
    live.shell("chmod 640 mnt/only; setfattr -n user.x -v $(printf \"%0$(cat room)d\" 0) mnt/only; cmp base/only mnt/only");
    live.umount();
}
