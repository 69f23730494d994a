//! Lower file systems whose inode numbers are not as most have them.

use std::os::unix::fs::MetadataExt;
use std::process::Command;

use crate::live::{Live, live};
use crate::support::{Scratch, rights};

/// What `stat` and listings say of the numbers of all names below `mnt`.
fn assert_told_apart(live: &Live, names: &[&str]) {
    let mnt = |name: &str| live.place.join("mnt").join(name);
    let numbers: Vec<u64> = names.iter().map(|name| mnt(name).metadata().unwrap().ino()).collect();
    let mut apart = numbers.clone();
    apart.sort_unstable();
    apart.dedup();
    assert_eq!(apart.len(), names.len(), "each has one of its own: {numbers:?}");
    assert!(!apart.contains(&0) && !apart.contains(&1), "1 is the root: {numbers:?}");
    assert_eq!(mnt("").metadata().unwrap().ino(), 1);
    for (name, number) in names.iter().zip(numbers) {
        let dir = mnt(name).parent().unwrap().to_owned();
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
        let listed = entries.filter(|entry| entry.path() == mnt(name));
        use std::os::unix::fs::DirEntryExt;
        let listed: Vec<u64> = listed.map(|entry| entry.ino()).collect();
        assert_eq!(listed, [number], "{name}: as `stat` says");
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// mksquashfs numbers files from 1, which is the number of a FUSE mount's root.
#[test]
fn a_lower_file_of_number_one_is_a_file() {
    let Some(live) = live() else { return };
    if !rights::have(&["mksquashfs"]) || !rights::have_loop_devices() {
        return;
    }
    std::fs::write(live.place.join("base/d/deep"), "deep").unwrap();
    let (image, at) = (live.place.join("image"), live.place.join("bind"));
    std::fs::create_dir(&at).unwrap();
    run(Command::new("mksquashfs").arg(live.place.join("base")).arg(&image).arg("-quiet"));
    run(Command::new("mount").args(["-t", "squashfs", "-o", "loop"]).arg(&image).arg(&at));
    assert!(["both", "only"].iter().any(|name| at.join(name).metadata().unwrap().ino() == 1));
    for options in ["lowerdir=bind", "lowerdir=bind,upperdir=up,workdir=work"] {
        live.place.said(&["mount", "-o", options, "mnt"]);
        for _ in 0..2 {
            assert_told_apart(&live, &["both", "only", "d", "d/deep"]);
        }
        assert_eq!([live.read("mnt/both"), live.read("mnt/d/deep")], ["base", "deep"]);
        if options.contains("upper") {
            std::fs::write(live.place.join("mnt/both"), "changed").unwrap();
            std::fs::write(live.place.join("mnt/new"), "new").unwrap();
            assert_told_apart(&live, &["both", "only", "new", "d", "d/deep"]);
            assert_eq!(live.read("mnt/both"), "changed");
        }
        live.umount();
    }
    run(Command::new("umount").arg(&at));
    live.assert_nothing_left();
}

/// The kernel's overlayfs tells its file systems apart by the highest bits of its numbers (`xino=on`).
#[test]
fn numbers_of_all_64_bits_are_told_apart_from_the_uppers() {
    let Some(live) = live() else { return };
    let (disk, at) = (Scratch::on_disk(), live.place.join("bind"));
    std::fs::create_dir(&at).unwrap();
    for name in ["onlow", "d2"] {
        std::fs::write(disk.join(name), name).unwrap();
    }
    let lowers =
        format!("lowerdir={}:{},xino=on", live.place.join("base").display(), disk.path().display());
    run(Command::new("mount").args(["-t", "overlay", "overlay", "-o", &lowers]).arg(&at));
    let number = |name: &str| at.join(name).metadata().unwrap().ino();
    assert_ne!(
        (number("only") | number("onlow")) >> 56,
        0,
        "the machine's kernel uses the high bits"
    );
    let names = ["both", "only", "onlow", "d2"];
    for options in [
        "lowerdir=bind",
        "lowerdir=bind,upperdir=up,workdir=work",
        "lowerdir=bind:top,upperdir=up,workdir=work",
    ] {
        live.place.said(&["mount", "-o", options, "mnt"]);
        assert_told_apart(&live, &names);
        if options.contains("upper") {
            let before = live.place.join("mnt/onlow").metadata().unwrap().ino();
            std::fs::write(live.place.join("mnt/new"), "new").unwrap();
            std::fs::write(live.place.join("mnt/onlow"), "changed").unwrap();
            assert_eq!(live.place.join("mnt/onlow").metadata().unwrap().ino(), before);
            assert_told_apart(&live, &["both", "only", "onlow", "d2", "new"]);
            assert_eq!([live.read("mnt/new"), live.read("mnt/only")], ["new", "only"]);
        }
        live.umount();
    }
    run(Command::new("umount").arg(&at));
    live.assert_nothing_left();
}

/// Its mark says that it is a copy of what the first is a copy of.
#[test]
fn a_file_that_was_copied_by_hand_in_an_upper_is_another_file() {
    let Some(live) = live() else { return };
    let upper = "lowerdir=base,upperdir=up,workdir=work";
    live.shell("touch base/d/low");
    live.place.said(&["mount", "-o", upper, "mnt"]);
    live.shell("echo -n 1 >> mnt/only; touch mnt/d/new");
    live.umount();
    live.shell("cd up; cp -a only twin; echo -n 2 >> twin; cp -a d e");
    for names in ["only twin", "twin only"] {
        live.place.said(&["mount", "-o", upper, "mnt"]);
        live.shell(&format!("cd mnt; for f in {names}; do cat $f; done"));
        let read = "cd mnt; for f in only twin; do cat $f; echo; done; ls d e";
        let expected = "only1\nonly12\nd:\nlow\nnew\n\ne:\nnew\n";
        assert_eq!(live.shell(read), expected, "{names}");
        live.umount();
    }
}

/// The index leads all names of the lower file to one copy; what was copied from that by hand is none of them.
#[test]
fn the_copy_by_hand_of_a_file_of_several_names_is_another_file() {
    let Some(live) = live() else { return };
    let upper = "lowerdir=base,upperdir=up,workdir=work";
    live.shell("ln base/only base/other");
    live.place.said(&["mount", "-o", upper, "mnt"]);
    live.shell("echo -n 1 >> mnt/only");
    live.umount();
    live.shell("cd up; cp -a only twin; echo -n 2 >> twin");
    for names in ["only other twin", "twin only other", "other twin only"] {
        live.place.said(&["mount", "-o", upper, "mnt"]);
        let read = |names: &str| {
            live.shell(&format!("cd mnt; for f in {names}; do echo $f $(cat $f); done | sort"))
        };
        assert_eq!(read(names), "only only1\nother only1\ntwin only12\n", "{names}");
        live.umount();
    }
    live.place.said(&["mount", "-o", upper, "mnt"]);
    live.shell("cd mnt; cat twin; echo -n 3 >> twin; mv twin moved; echo -n 4 >> other; stat -c %h moved only > ../links");
    let read =
        live.shell("cd mnt; for f in moved only other; do echo $f $(cat $f); done; cat ../links");
    assert_eq!(read, "moved only123\nonly only14\nother only14\n1\n2\n");
    live.shell("cd mnt; rm moved; cat only other");
    live.umount();
}
