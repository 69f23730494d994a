//! Mounts that succeed: what is merged, where changes land, what the kernel says of the mount.

use std::os::unix::fs::symlink;

use crate::live::{Holder, live, step};
use crate::lived::{signal, wait_until_ended};

#[test]
fn directories_are_merged_and_changes_land_in_the_upper() {
    let Some(live) = live() else { return };
    symlink("up", live.place.join("link")).unwrap();
    live.place.said(&["mount", "-o", "lowerdir=top:./base,upperdir=link,workdir=work", "mnt"]);
    assert_eq!([live.read("mnt/both"), live.read("mnt/only")], ["top", "only"]);
    std::fs::write(live.place.join("mnt/only"), "changed").unwrap();
    std::fs::remove_file(live.place.join("mnt/both")).unwrap();
    assert_eq!([live.read("up/only"), live.read("base/only")], ["changed", "only"]);
    assert_eq!(live.read("top/both"), "top");
    assert!(!live.place.join("mnt/both").exists());
    // At once: the process that served the first mount may still be ending.
    for options in ["", ",ro", ",volatile,userxattr"] {
        live.umount();
        let options = format!("lowerdir=top:base,upperdir=up,workdir=work{options}");
        live.place.said(&["mount", "-o", &options, "mnt"]);
        assert_eq!(live.read("mnt/only"), "changed", "{options}");
    }
    live.umount();
    std::fs::remove_dir_all(live.place.join("work/work/incompat/volatile")).unwrap();
    live.place.said(&["mount", "-o", "lowerdir=top:base,upperdir=up,workdir=work,ro", "mnt"]);
    let refused = std::fs::write(live.place.join("mnt/new"), "").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    assert!(!live.place.join("mnt/both").exists(), "the upper is shown under `ro`");
    live.umount();
    live.assert_nothing_left();
}

#[test]
fn the_mount_is_what_its_options_say() {
    let Some(live) = live() else { return };
    let upper = "lowerdir=base,upperdir=up,workdir=work";
    let rows = [
        ("lowerdir=base", "layerfs", "ro,relatime"),
        (upper, "layerfs", "rw,relatime"),
        (
            &*format!("{upper},nosuid,nodev,noexec,noatime"),
            "layerfs",
            "rw,nosuid,nodev,noexec,noatime",
        ),
        (
            &*format!("defaults,nofail,{upper},X-mount.x=y,nosuid,suid,fsname=a\\,b"),
            "a,b",
            "rw,relatime",
        ),
        (&*format!("{upper},ro,redirect_dir=off"), "layerfs", "ro,relatime"),
    ];
    for (options, source, flags) in rows {
        live.place.said(&["mount", "-o", options, "mnt"]);
        let [shown, kind, all] = live.found();
        assert_eq!((shown.as_str(), kind.as_str()), (source, "fuse.layerfs"), "{options}");
        assert!(all.starts_with(&format!("{flags},user_id=0")), "{options}: {all}");
        assert!(all.contains("default_permissions") && all.contains("allow_other"), "{all}");
        live.umount();
    }
    live.assert_nothing_left();
}

#[test]
fn names_with_separators_are_lower_directories() {
    let Some(live) = live() else { return };
    for name in ["a:b", "a,b", r"a\"] {
        std::fs::create_dir(live.place.join(name)).unwrap();
        std::fs::write(live.place.join(name).join(name), name).unwrap();
    }
    live.place.said(&["mount", "-o", r"lowerdir=a\:b:a\,b:a\\,ro", "mnt"]);
    for name in ["a:b", "a,b", r"a\"] {
        assert_eq!(live.read(&format!("mnt/{name}")), name);
    }
    live.umount();
    live.assert_nothing_left();
}

#[test]
fn five_hundred_lower_directories_are_one_tree() {
    let Some(live) = live() else { return };
    let names: Vec<String> = (0..500).map(|number| format!("lower{number}")).collect();
    for name in &names {
        std::fs::create_dir(live.place.join(name)).unwrap();
        std::fs::write(live.place.join(name).join(name), name).unwrap();
        std::fs::write(live.place.join(name).join("all"), name).unwrap();
    }
    let added = names.iter().map(|name| format!("lowerdir+={name},ro"));
    for options in [format!("lowerdir={}", names.join(":")), added.collect::<Vec<_>>().join(",")] {
        live.place.said(&["mount", "-o", &options, "mnt"]);
        assert_eq!(std::fs::read_dir(live.place.join("mnt")).unwrap().count(), 501);
        assert_eq!([live.read("mnt/all"), live.read("mnt/lower499")], ["lower0", "lower499"]);
        live.umount();
    }
    live.assert_nothing_left();
}

#[test]
fn a_lower_directory_may_be_the_mountpoint() {
    let Some(live) = live() else { return };
    live.place.said(&["mount", "-o", "lowerdir=top:base,upperdir=up,workdir=work", "top"]);
    assert_eq!([live.read("top/both"), live.read("top/only")], ["top", "only"]);
    std::fs::write(live.place.join("top/new"), "new").unwrap();
    live.place.said(&["umount", "top"]);
    assert!(!live.place.join("top/new").exists() && live.read("up/new") == "new");
    live.assert_nothing_left();
}

#[test]
fn the_store_below_a_lower_directory_is_hidden_and_changes_may_lie_there() {
    let Some(live) = live() else { return };
    for dir in ["holder/store/u", "holder/store/w", "holder/store/m", "holder/other"] {
        std::fs::create_dir_all(live.place.join(dir)).unwrap();
    }
    let store = live.place.join("holder/store");
    let upper = "lowerdir=holder,upperdir=holder/store/u,workdir=holder/store/w";
    for (options, at) in [("lowerdir=holder", "mnt"), (upper, "holder/store/m")] {
        let mut mount = live.place.command(&["mount", "-o", options, at]);
        let run = crate::place::finished(mount.env("LAYERFS_ROOT", &store));
        assert_eq!((run.status, &*run.stderr), (Some(0), ""), "{options}");
        let mnt = live.place.join(at);
        assert!(!mnt.join("store").exists() && mnt.join("other").is_dir(), "{options}");
        let names: Vec<_> =
            std::fs::read_dir(&mnt).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["other"], "{options}");
        if at != "mnt" {
            std::fs::create_dir(mnt.join("store")).unwrap();
            std::fs::write(mnt.join("store/new"), "new").unwrap();
            assert_eq!(live.read("holder/store/u/store/new"), "new");
        }
        live.place.said(&["umount", at]);
    }
    assert!(!store.join("new").exists(), "the store is as it was");
    live.assert_nothing_left();
}

#[test]
fn an_upper_that_is_let_go_is_waited_for() {
    let Some(live) = live() else { return };
    let Some(holder) = Holder::of(&live.place.join("up")) else { return };
    let words = ["mount", "-o", "lowerdir=base,upperdir=up,workdir=work", "mnt"];
    let mut mount = live.place.command(&words).spawn().unwrap();
    while live.servers().is_empty() {
        assert_eq!(mount.try_wait().unwrap(), None, "it waits");
        step();
    }
    (0..20).for_each(|_| step());
    holder.let_go();
    assert!(mount.wait().unwrap().success());
    assert_eq!(live.read("mnt/only"), "only");
    live.umount();
    live.assert_nothing_left();
}

#[test]
fn a_file_without_a_name_leaves_nothing() {
    let Some(live) = live() else { return };
    live.place.said(&["mount", "-o", "lowerdir=base,upperdir=up,workdir=work", "mnt"]);
    let write = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::WRONLY;
    let opened = rustix::fs::open(live.place.join("mnt"), write, rustix::fs::Mode::RUSR).unwrap();
    rustix::io::write(&opened, b"gone").unwrap();
    drop(opened);
    live.umount();
    assert_eq!(live.shell("find up work -type f"), "");
    live.place.said(&["mount", "-o", "lowerdir=base,upperdir=up,workdir=work", "mnt"]);
    let opened = rustix::fs::open(live.place.join("mnt"), write, rustix::fs::Mode::RUSR).unwrap();
    let [pid] = live.servers()[..] else { panic!("one process serves") };
    signal(pid, rustix::process::Signal::KILL);
    drop(opened);
    wait_until_ended(pid);
    live.shell("umount mnt 2>/dev/null || umount -l mnt");
    live.place.said(&["mount", "-o", "lowerdir=base,upperdir=up,workdir=work", "mnt"]);
    live.umount();
    assert_eq!(live.shell("find up work -type f"), "", "the next mount sweeps it away");
    live.assert_nothing_left();
}

/// The kernel counts a file system whose files it reads and writes itself as one that stands on another.
#[test]
fn two_of_overlayfs_on_each_other_stand_on_a_mount_with_cached_io_alone() {
    let Some(live) = live() else { return };
    live.shell("mkdir none first second");
    let (one, both) = ("first\n", "first\nsecond\n");
    let writable = "lowerdir=base,upperdir=up,workdir=work";
    let tries =
        [("auto", writable, one), ("auto", "lowerdir=base", one), ("cached", writable, both)];
    for (io, dirs, expected) in tries {
        let options = format!("{dirs},io={io}");
        live.place.said(&["mount", "-o", &options, "mnt"]);
        let script = "exec 2>/dev/null
            mount -t overlay none -o lowerdir=mnt:none first && echo first
            mount -t overlay none -o lowerdir=first:none second && echo second
            umount second; umount first; true";
        assert_eq!(live.shell(script), expected, "{options}");
        live.umount();
    }
    live.assert_nothing_left();
}
