//! The forms of whiteouts: chosen by `whiteout=`, kept from who would misread them, read whatever is chosen.

use crate::live::{Live, live};
use crate::support::rights;
use crate::support::watchdog;

const UPPER: &str = "lowerdir=base,upperdir=up,workdir=work";

/// What stands in the upper for a file and a directory that were removed, and the marks of the work directory.
fn removed(live: &Live, whiteout: &str) -> String {
    live.place.said(&["mount", "-o", &format!("{UPPER},whiteout={whiteout}"), "mnt"]);
    live.shell("rm mnt/only; rmdir mnt/d; test \"$(ls -A mnt)\" = both");
    live.umount();
    live.shell(
        "cd up; find . -mindepth 1 -printf '%P %y %s\n' | sort; find ../work/work/incompat -mindepth 1 -printf '%P\n'
        getfattr -hd -m trusted.overlay.whiteout only d 2>&1 | grep -c whiteout=",
    )
}

/// A kernel mount, with its words where it is refused.
fn kernel(live: &Live) -> String {
    live.shell(&format!(
        "mkdir -p kernel; mount -t overlay overlay -o {UPPER} kernel 2>&1 && {{ ls -A kernel; umount kernel; }}; rmdir kernel"
    ))
}

#[test]
fn whiteouts_have_the_form_that_is_asked_for() {
    rights::need!("getfattr");
    let Some(live) = live() else { return };
    let rows = [
        ("device", "d c 0\nonly c 0\n0\n"),
        ("xattr", "d f 0\nonly f 0\nlayerfs-xattr-whiteouts\n2\n"),
        ("wh", ".wh.d f 0\n.wh.only f 0\nlayerfs-wh-whiteouts\n0\n"),
    ];
    for (whiteout, expected) in rows {
        let script = "find work -name incompat | grep -q . || mkdir -p work/work/incompat";
        live.shell(script);
        assert_eq!(removed(&live, whiteout), expected, "{whiteout}");
        let told = kernel(&live);
        match whiteout {
            "device" => assert_eq!(told, "both\n"),
            _ => assert!(told.contains("kernel") && !told.contains("both"), "{told}"),
        }
        // Read whatever is to be made, and where the work directory was lost.
        for other in ["auto", "device", "xattr", "wh"] {
            live.shell("rm -r work; mkdir work");
            live.place.said(&["mount", "-o", &format!("{UPPER},whiteout={other}"), "mnt"]);
            live.shell("test \"$(ls -A mnt)\" = both; ! test -e mnt/only; echo new > mnt/only; mkdir mnt/d mnt/d/x");
            assert_eq!(
                live.shell("cat mnt/only; ls mnt/d; rm mnt/only; rm -r mnt/d; ls mnt"),
                "new\nx\nboth\n"
            );
            live.umount();
        }
        live.shell("rm -r up work; mkdir up work");
    }
    live.assert_nothing_left();
}

#[test]
fn the_mark_that_keeps_others_away_is_made_anew_with_the_work_directory() {
    let Some(live) = live() else { return };
    for (whiteout, mark) in [("xattr", "layerfs-xattr-whiteouts"), ("wh", "layerfs-wh-whiteouts")] {
        removed(&live, whiteout);
        live.shell("rm -r work; mkdir work");
        live.place.said(&["mount", "-o", UPPER, "mnt"]);
        live.umount();
        assert_eq!(live.shell("ls work/work/incompat"), format!("{mark}\n"));
        live.shell("rm -r up work; mkdir up work");
    }
}

#[test]
fn forms_that_can_not_be_had_are_refused() {
    let Some(live) = live() else { return };
    live.place.pull_small("small");
    let before = live.names();
    let misspelled = live.place.run(&["mount", "-o", &format!("{UPPER},whiteout=foo"), "mnt"]);
    let line = misspelled.refusal(2);
    assert!(line.contains("`auto`, `device`, `xattr` or `wh`"), "{line}");
    assert_eq!(live.names(), before);
    let words = ["mount", "-o", "upperdir=up,workdir=work,whiteout=wh", "small:1", "mnt"];
    let line = live.place.refused(&words);
    assert!(line.contains("in an image those are names like others"), "{line}");
}

/// Where a device is refused, or is something else when it is read back.
#[cfg(feature = "fault")]
#[test]
fn the_first_form_that_can_be_had_is_found() {
    let Some(live) = live() else { return };
    for fault in ["fail:1:EPERM:mknodat", "fail:1:ENOSYS:mknodat"] {
        let mut command = live.place.command(&["mount", "-o", UPPER, "mnt"]);
        let run = crate::place::finished(command.env("LAYERFS_FAULT", fault));
        assert_eq!((run.status, &*run.stderr), (Some(0), ""));
        live.shell("rm mnt/only; test \"$(ls mnt)\" = \"$(printf 'both\\nd')\"");
        live.umount();
        assert_eq!(live.shell("ls work/work/incompat"), "layerfs-xattr-whiteouts\n", "{fault}");
        live.shell("rm -r up work; mkdir up work");
    }
    let mut command =
        live.place.command(&["mount", "-o", &format!("{UPPER},whiteout=device"), "mnt"]);
    let run = crate::place::finished(command.env("LAYERFS_FAULT", "fail:1:EPERM:mknodat"));
    let line = run.refusal(1);
    assert!(line.contains("whiteouts can't be devices here"), "{line}");
    // No space is no reason to take another form.
    let mut command = live.place.command(&["mount", "-o", UPPER, "mnt"]);
    crate::place::finished(command.env("LAYERFS_FAULT", "fail:1:ENOSPC:mknodat"));
    live.shell("rm mnt/only 2>&1 | grep -q 'No space'; rm mnt/only");
    live.umount();
    assert_eq!(live.shell("stat -c %F up/only"), "character special file\n");
}

/// Some file systems make something else of a device. What stands in its place is not linked to.
#[test]
fn a_device_that_is_read_back_as_something_else_is_not_taken() {
    let Some(live) = live() else { return };
    live.place.said(&["mount", "-o", UPPER, "mnt"]);
    live.shell("touch 'work/work/#whiteout'; rm mnt/only; rmdir mnt/d; test \"$(ls mnt)\" = both");
    live.umount();
    assert_eq!(live.shell("ls work/work/incompat"), "layerfs-xattr-whiteouts\n");
    live.place.said(&["mount", "-o", UPPER, "mnt"]);
    assert_eq!(live.shell("ls mnt"), "both\n");
    live.umount();
}

/// A mount of ours is such a file system: it makes no device 0:0, and with `noxattrs` keeps no attributes.
#[test]
fn names_are_made_where_neither_devices_nor_attributes_can_be() {
    let Some(live) = live() else { return };
    let _watch = watchdog(120);
    live.place.pull_small("small");
    live.shell("mkdir ram; touch base/d/low");
    live.place.said(&["mount", "-o", "noxattrs", "small:1", "ram"]);
    live.shell("mkdir ram/{up,work,iup,iwork}");
    let upper = "lowerdir=base,upperdir=ram/up,workdir=ram/work";
    live.place.said(&["mount", "-o", upper, "mnt"]);
    live.shell("rm mnt/only; rm -r mnt/d; mkdir mnt/d; test \"$(ls mnt mnt/d)\" = \"$(printf 'mnt:\\nboth\\nd\\n\\nmnt/d:')\"");
    live.umount();
    assert_eq!(
        live.shell("ls -A ram/up; ls ram/work/work/incompat"),
        ".wh.d\n.wh.only\nd\nlayerfs-wh-whiteouts\n"
    );
    live.place.said(&["mount", "-o", upper, "mnt"]);
    assert_eq!(live.shell("ls mnt mnt/d"), "mnt:\nboth\nd\n\nmnt/d:\n");
    live.umount();
    // An image has no such names, and nothing of it can be removed.
    live.place.said(&["mount", "-o", "upperdir=ram/iup,workdir=ram/iwork", "small:1", "mnt"]);
    assert_eq!(
        live.shell("LC_ALL=C rm mnt/a 2>&1 | grep -o ': Op.*'; cat mnt/a | head -c 3"),
        ": Operation not permitted\naaa"
    );
    live.umount();
    // The server of the upper closes what it has there after its mount has gone.
    live.shell("until umount ram 2>/dev/null; do :; done");
}

#[test]
fn names_hide_lower_directories_where_no_attributes_are_kept() {
    let Some(live) = live() else { return };
    live.shell("mkdir ram; mount -t ramfs none ram; mkdir ram/{up,work}; touch base/d/low");
    let upper = "lowerdir=base,upperdir=ram/up,workdir=ram/work,whiteout=wh";
    live.place.said(&["mount", "-o", upper, "mnt"]);
    live.shell("rm -r mnt/d; mkdir mnt/d; touch mnt/d/new");
    assert_eq!(live.shell("ls mnt/d"), "new\n");
    live.umount();
    live.place.said(&["mount", "-o", upper, "mnt"]);
    assert_eq!(live.shell("ls mnt/d; ls -A ram/up"), "new\n.wh.d\nd\n");
    live.umount();
    live.shell("umount -l ram");
}
