//! `mount -o remount,…`, by mount(8) and its helper: what changes, what does not, and what is on disk then.

use crate::fstab::{BOTH, live_with, says};
use crate::live::live;

/// What a script says of a mount that it makes by `again`, and looks at by `show`.
const LOOK: &str = "show() { findmnt -rno VFS-OPTIONS mnt; }
    tried() { for deed in 'touch mnt/both' 'rm mnt/both' 'mkdir mnt/x' 'mv mnt/both mnt/z' 'chmod 700 mnt/both' 'chown 5 mnt/both' \\
        'ln mnt/both mnt/l' 'ln -s x mnt/l' 'mkfifo mnt/f' 'truncate -s 0 mnt/both' 'setfattr -n user.x -v y mnt/both' \\
        'rmdir mnt/d' 'dd if=/dev/null of=mnt/both status=none'; do
        $deed 2>&1 | grep -o 'Read-only file system' || echo done: $deed; done; }
    exec 3>>mnt/only; mount -o remount,ro mnt 2>/dev/null || echo busy; show; echo more >&3; exec 3>&-
    mount -o remount,ro mnt; show; tried | sort | uniq -c; cat mnt/only
    mount -o remount mnt; show
    mount -o remount,rw,nosuid,nodev,noexec,noatime mnt; show; echo x > mnt/new; cp $(type -P true) mnt/program
    mnt/program 2>&1 | grep -o 'Permission denied'
    mount -o remount,suid,dev,exec,nodiratime,strictatime mnt; show; mnt/program && echo ran
    mount -o remount,diratime,relatime,nosymfollow mnt; show; mount -o remount,symfollow mnt; show
    exec 3>>mnt/gone; rm mnt/gone; mount -o remount,ro mnt 2>/dev/null || echo busy; exec 3>&-
    mount -o remount,ro mnt; rm mnt/new 2>/dev/null || echo kept; mount -o remount,rw mnt; rm mnt/new mnt/program; umount mnt";

#[test]
fn a_mount_is_remounted_as_one_of_the_kernels_overlayfs() {
    let Some(live) = live_with(&["findmnt", "setfattr"]) else { return };
    let options = "lowerdir=$PWD/top:$PWD/base,upperdir=$PWD/up,workdir=$PWD/work";
    let mut told = Vec::new();
    for kind in ["layerfs", "overlay"] {
        live.shell("rm -rf up work; mkdir up work");
        let run = says(&live, BOTH, &format!("mount -t {kind} -o {options} any mnt\n{LOOK}"));
        assert_eq!(run.stderr, "", "{kind}: {}", run.stdout);
        told.push(run.stdout);
    }
    assert_eq!(told[0], told[1]);
    assert!(told[0].contains("     13 Read-only file system\n"), "{}", told[0]);
    assert!(told[0].starts_with("busy\nrw,relatime\nro,relatime\n"), "{}", told[0]);
    // A mapping holds its file, and what was written through one is in the upper then.
    live.shell("rm -rf up work; mkdir up work");
    let mapped = "mount -t layerfs -o lowerdir=base,upperdir=up,workdir=work any mnt
        python3 -c 'import mmap, subprocess, sys
remount = lambda: print(subprocess.call([\"mount\", \"-o\", \"remount,ro\", \"mnt\"], stderr=subprocess.DEVNULL))
with open(\"mnt/only\", \"r+b\") as f: mapping = mmap.mmap(f.fileno(), 0)
mapping[0:2] = b\"ma\"; remount(); mapping.close(); remount()'
        cat up/only; echo; umount mnt";
    let run = says(&live, BOTH, mapped);
    assert_eq!((&*run.stdout, &*run.stderr), ("1\n0\nmaly\n", ""));
}

#[test]
fn what_a_remount_can_not_change_is_told_by_name() {
    let Some(live) = live() else { return };
    live.place.pull_small("small");
    let mount = |words: &[&str]| live.place.said(&[&["mount"], words, &["mnt"]].concat());
    let refused = |options: &str| {
        let line = live.place.refused(&["mount", "-o", options, "mnt"]);
        assert_eq!(live.place.run(&["mount", "--fake", "-o", options, "mnt"]).status, Some(1));
        line
    };
    let dirs = "lowerdir=top:base,upperdir=up,workdir=work";
    mount(&["-o", &format!("{dirs},whiteout=xattr,timeout=1")]);
    let found = live.found();
    // What is as it was is none.
    mount(&[
        "-o",
        &format!(
            "remount,{dirs},whiteout=xattr,timeout=1,io=auto,cpu_latency=auto,allow_other,user_id=0,group_id=0,rw,async"
        ),
    ]);
    mount(&["--fake", "-o", "remount,ro"]);
    for (word, named) in [
        ("lowerdir=base", "lowerdir="),
        ("lowerdir=base:top", "lowerdir="),
        ("upperdir=base,workdir=work", "upperdir="),
        ("upperdir=up,workdir=base", "workdir="),
        ("uidmapping=0:5:1", "uidmapping="),
        ("gidmapping=0:5:1", "gidmapping="),
        ("squash_to_uid=1", "squash_to_uid="),
        ("volatile", "volatile"),
        ("sync", "sync"),
        ("dirsync", "dirsync"),
        ("userxattr", "userxattr"),
        ("redirect_dir=off", "redirect_dir="),
        ("whiteout=device", "whiteout="),
        ("timeout=2", "timeout="),
        ("noacl", "acl"),
        ("allow_root", "allow_root"),
        ("noxattrs", "noxattrs"),
        ("static_nlink", "static_nlink"),
        ("fsync=0", "fsync=0"),
        ("fsname=x", "fsname="),
        ("partial=on", "partial="),
        ("io=cached", "io="),
        ("cpu_latency=usual", "cpu_latency="),
    ] {
        let expected = format!(
            "option `{named}` can't be changed of a mount that is there: unmount `mnt`, and mount it anew"
        );
        assert_eq!(refused(&format!("remount,ro,{word}")), expected, "{word}");
    }
    assert_eq!(live.found(), found, "nothing was changed");
    live.umount();
    mount(&["-o", &format!("{dirs},io=cached,cpu_latency=usual")]);
    mount(&["-o", "remount,ro,io=cached,cpu_latency=usual"]);
    for (word, named) in [("io=auto", "`io=`"), ("cpu_latency=auto", "`cpu_latency=`")] {
        let line = refused(&format!("remount,rw,{word}"));
        assert!(line.contains(named), "{word}: {line}");
    }
    live.umount();
    let no_upper =
        "`mnt` has no upper that could take changes: unmount it, and mount it anew with one";
    for words in
        [&["-o", "lowerdir=base"][..], &["--read-only", "small:1"], &["-o", "ro", "small:1"]]
    {
        mount(words);
        assert_eq!(refused("remount,rw"), no_upper, "{words:?}");
        mount(&["-o", "remount,noexec"]);
        assert!(live.found()[2].contains("noexec"), "{:?}", live.found());
        live.umount();
    }
    mount(&["-o", &format!("{dirs},ro,volatile")]);
    assert!(refused("remount,rw").starts_with("`mnt` is volatile, and its upper is not marked so"));
    live.umount();
    // What is not said to layerfs itself stays.
    mount(&["-o", &format!("{dirs},nosuid,noexec,noatime")]);
    mount(&["-o", "remount,nodev,exec"]);
    assert!(live.found()[2].starts_with("rw,nosuid,nodev,noatime,user"), "{:?}", live.found());
    live.umount();
    // An upper that was only shown takes changes.
    mount(&["-o", &format!("{dirs},ro")]);
    mount(&["-o", "remount,rw"]);
    live.shell("echo new > mnt/new");
    live.umount();
    assert_eq!(live.read("up/new"), "new\n");
    assert!(refused("remount,ro").starts_with("`mnt` is not a layerfs mount"));
}

/// As the kernel's overlayfs does.
#[cfg(feature = "fault")]
#[test]
fn what_was_written_is_on_disk_when_a_mount_is_read_only() {
    let Some(live) = live() else { return };
    live.place.pull_small("small");
    let fails = |words: &[&str]| {
        let mut command = live.place.command(&["mount", "-o", "remount,ro", "mnt"]);
        live.place.said(&[&["mount"], words, &["mnt"]].concat());
        let run = crate::place::finished(command.env("LAYERFS_FAULT", "fail:1:EIO:syncfs"));
        live.umount();
        (run.status, run.stderr)
    };
    let told = "layerfs: `mnt` is read-only, and its upper may not be on disk: syncfs";
    let (status, line) = fails(&["-o", "lowerdir=base,upperdir=up,workdir=work"]);
    assert!(status == Some(1) && line.starts_with(told), "{line}");
    // Nothing is synced of what is volatile, or goes with its mount.
    assert_eq!(fails(&["small:1"]), (Some(0), String::new()));
    let volatile = "lowerdir=base,upperdir=up,workdir=work,volatile";
    assert_eq!(fails(&["-o", volatile]), (Some(0), String::new()));
}
