//! Marks that belong to unions alone: whoever uses a mount, and whoever makes a layer, neither sees, sets nor forges them.

use crate::live::{Live, live};
use crate::support::rights;

/// Names that are marks, look like marks, or almost do.
const NAMES: &str = "trusted.overlay.opaque trusted.overlay.overlay.opaque trusted.overlay.redirect trusted.overlay.metacopy
    trusted.overlay.whiteout trusted.overlay.layerfs.origin trusted.overlay.layerfs.nlink trusted.overlay.layerfs.whiteouts
    trusted.overlay.origin trusted.overlay trusted.overlayx user.overlay.whiteout user.overlay.opaque
    user.overlay.redirect user.overlay.overlay.x user.overlay.layerfs.origin user.overlay user.x
    $(for s in trusted user; do printf \"$s.overlay.%0${long}d \" 0; done)";

/// Sets each name on a file and a directory, lists, reads and removes them; answers all that was told.
fn tried(live: &Live, mounted: &str) -> String {
    live.shell(&format!(
        "export LC_ALL=C; cd {mounted}; long=236; for n in {}; do for at in only d new dir; do
        setfattr -hn $n -v y $at 2>&1; getfattr --only-values -hn $n $at 2>&1; echo \" $n $at\"
        done; done; for at in only d new dir; do getfattr -hd -m - $at 2>&1; done
        for n in {}; do setfattr -hx $n only 2>&1; setfattr -hx $n dir 2>&1; done; getfattr -hd -m - only dir 2>&1",
        NAMES.replace('\n', " "),
        NAMES.replace('\n', " ")
    ))
}

/// What stands on the disk, without what each union keeps for itself.
fn stored(live: &Live, upper: &str) -> String {
    live.shell(&format!(
        "export LC_ALL=C; cd {upper}; getfattr -hd -m - d new | grep -v 'overlay\\.\\(layerfs\\.\\|origin=\\|impure=\\|uuid=\\)' | sort"
    ))
}

#[test]
fn marks_set_through_a_mount_are_stored_as_the_kernels_overlayfs_stores_them() {
    rights::need!("setfattr");
    let Some(live) = live() else { return };
    live.shell("mkdir kernel kup kwork; touch base/d/low");
    for (ours, kernel) in [("redirect_dir=on", "redirect_dir=on"), ("userxattr", "userxattr")] {
        let words = |up: &str, work: &str, more: &str| {
            format!("lowerdir=base,upperdir={up},workdir={work},{more}")
        };
        live.place.said(&["mount", "-o", &words("up", "work", ours), "mnt"]);
        live.shell(&format!(
            "mount -t overlay overlay -o {} kernel",
            words("kup", "kwork", kernel)
        ));
        live.shell("for m in mnt kernel; do touch $m/new; mkdir $m/dir; done");
        assert_eq!(tried(&live, "mnt"), tried(&live, "kernel"), "{ours}");
        live.shell("umount kernel");
        live.umount();
        assert_eq!(stored(&live, "up"), stored(&live, "kup"), "{ours}");
        // None of it is obeyed.
        live.place.said(&["mount", "-o", &words("up", "work", ours), "mnt"]);
        assert_eq!(
            live.shell("ls -A mnt mnt/d; cat mnt/only"),
            "mnt:\nboth\nd\ndir\nnew\nonly\n\nmnt/d:\nlow\nonly"
        );
        live.umount();
        live.shell("rm -r up work kup kwork; mkdir up work kup kwork");
    }
}

#[test]
fn who_is_not_root_forges_no_mark() {
    rights::need!("setfattr", "setpriv");
    let Some(live) = live() else { return };
    live.shell("chmod 755 . base; mkdir base/own; touch base/own/{low,empty}; chown -R 1000:1000 base/own; chmod 755 up");
    for options in ["redirect_dir=on", "userxattr"] {
        let mount = format!("lowerdir=base,upperdir=up,workdir=work,{options}");
        live.place.said(&["mount", "-o", &mount, "mnt"]);
        live.shell(
            "cd mnt/own; s='setpriv --reuid 1000 --regid 1000 --clear-groups setfattr'; for n in user.overlay.opaque \
             user.overlay.redirect user.overlay.layerfs.origin; do $s -n $n -v y .; done; $s -n user.overlay.whiteout empty
             $s -n user.overlay.metacopy empty; $s -n trusted.overlay.opaque -v y . 2>&1 | grep -q 'not permitted'
             $s -n user.fuseoverlayfs.opaque -v y . 2>&1 | grep -q 'not permitted'",
        );
        live.umount();
        live.place.said(&["mount", "-o", &mount, "mnt"]);
        assert_eq!(live.shell("ls mnt/own"), "empty\nlow\n", "{options}");
        assert_eq!(live.shell("getfattr -n user.overlay.opaque --only-values mnt/own"), "y");
        live.umount();
        live.shell("rm -r up work; mkdir up work; chmod 755 up");
    }
}

/// Marks that somebody put into a tree that becomes an image, or a lower directory.
const PLANTED: &str = "mkdir -p base/plain; touch base/{d,plain}/low base/empty; for s in trusted user; do
    setfattr -n $s.overlay.layerfs.origin -v nonsense base/d base/only; setfattr -n $s.overlay.layerfs.nlink -v U1 base/only
    setfattr -n $s.overlay.layerfs.groups -v y base; setfattr -n $s.overlay.layerfs.whiteouts -v layerfs-wh-whiteouts base
    setfattr -n $s.overlay.overlay.opaque -v deep base/d; done; setfattr -n user.fuseoverlayfs.x -v y base/d";

#[test]
fn marks_of_an_images_layers_are_neither_shown_nor_obeyed_nor_copied() {
    rights::need!("setfattr");
    let Some(live) = live() else { return };
    live.shell(PLANTED);
    live.shell(
        "for s in trusted user; do setfattr -n $s.overlay.opaque -v y base/d; setfattr -n $s.overlay.redirect -v /plain base/d
        setfattr -n $s.overlay.whiteout -v y base/empty; setfattr -n $s.overlay.metacopy base/only; done",
    );
    // A directory that is imported leaves them out: an archive keeps what it says.
    live.shell("tar --xattrs --xattrs-include='*' -C base -cf base.tar .");
    live.place.said(&["import", "base.tar", "image:1"]);
    live.place.said(&["mount", "--upper", "changes", "image:1", "mnt"]);
    assert_eq!(
        live.shell("getfattr -Rhd -m overlay mnt"),
        "# file: mnt/d\nuser.fuseoverlayfs.x=\"y\"\n\n"
    );
    assert_eq!(
        live.shell("ls mnt mnt/d; cat mnt/only"),
        "mnt:\nboth\nd\nempty\nonly\nplain\n\nmnt/d:\nlow\nonly"
    );
    live.shell("touch mnt/d/new mnt/only mnt/empty; chmod 700 mnt/plain");
    // Those of a file whose data stays in the image are our own.
    let copied = "getfattr -Rhd -m '^(trusted|user)\\.overlay\\.' changes | grep -v '^#\\|^$\\|^trusted.overlay.layerfs.origin=' |
        grep -v '^trusted.overlay.metacopy=0sA[Qw].*$\\|^trusted.overlay.layerfs.whiteouts=\"layerfs-partial\"$'";
    assert_eq!(live.shell(&format!("{copied}; true")), "");
    live.umount();
}

#[test]
fn private_marks_of_lower_directories_are_neither_shown_nor_copied() {
    rights::need!("setfattr");
    let Some(live) = live() else { return };
    live.shell(PLANTED);
    let seen = "getfattr -hd -m overlay mnt mnt/d mnt/only 2>/dev/null | grep -v '^#\\|^$'";
    for (options, expected) in [
        // Those of the other space are attributes like others, as in the kernel's.
        (
            "redirect_dir=on",
            "user.overlay.layerfs.groups=\"y\"
user.overlay.layerfs.whiteouts=\"layerfs-wh-whiteouts\"
trusted.overlay.opaque=\"deep\"
user.overlay.layerfs.origin=\"nonsense\"
user.overlay.overlay.opaque=\"deep\"
user.overlay.layerfs.nlink=\"U1\"
user.overlay.layerfs.origin=\"nonsense\"
",
        ),
        (
            "userxattr",
            "trusted.overlay.layerfs.groups=\"y\"
trusted.overlay.layerfs.whiteouts=\"layerfs-wh-whiteouts\"
trusted.overlay.layerfs.origin=\"nonsense\"
trusted.overlay.overlay.opaque=\"deep\"
user.overlay.opaque=\"deep\"
trusted.overlay.layerfs.nlink=\"U1\"
trusted.overlay.layerfs.origin=\"nonsense\"
",
        ),
    ] {
        live.place.said(&["mount", "-o", &format!("lowerdir=base,{options}"), "mnt"]);
        assert_eq!(live.shell(seen), expected, "{options}");
        live.umount();
        let upper = format!("lowerdir=base,upperdir=up,workdir=work,{options}");
        live.place.said(&["mount", "-o", &upper, "mnt"]);
        live.shell("touch mnt/d/new mnt/only");
        let seen = seen.replace("mnt mnt/d", "mnt/d");
        let expected: String = expected.lines().skip(2).map(|line| format!("{line}\n")).collect();
        assert_eq!(live.shell(&seen), expected, "{options}");
        live.umount();
        live.place.said(&["mount", "-o", &upper, "mnt"]);
        assert_eq!(live.shell("ls mnt/d; cat mnt/only"), "low\nnew\nonly");
        live.umount();
        live.shell("rm -r up work; mkdir up work");
    }
}

#[test]
fn a_damaged_opaque_mark_is_an_error_on_either_side() {
    rights::need!("setfattr");
    let Some(live) = live() else { return };
    live.shell("touch base/d/low; mkdir up/d; setfattr -n trusted.overlay.opaque -v yes up/d");
    let told = "LC_ALL=C ls mnt/d 2>&1; ls mnt";
    let expected = "ls: cannot access 'mnt/d': Input/output error\nboth\nd\nonly\n";
    live.place.said(&["mount", "-o", "lowerdir=base,upperdir=up,workdir=work", "mnt"]);
    assert_eq!(live.shell(told), expected);
    live.umount();
    live.place.said(&["mount", "-o", "lowerdir=up:base", "mnt"]);
    assert_eq!(live.shell(told), expected);
    live.umount();
}

#[test]
fn a_file_whose_data_lies_below_is_read_or_is_an_error() {
    rights::need!("setfattr");
    let Some(live) = live() else { return };
    live.shell(
        "for f in only lost moved dir; do truncate -s 4 up/$f; setfattr -n trusted.overlay.metacopy up/$f; done
        setfattr -n trusted.overlay.redirect -v /both up/moved; setfattr -n trusted.overlay.redirect -v /d up/dir
        for f in bad up1 partial; do echo x > up/$f; done; setfattr -n trusted.overlay.metacopy -v nonsense up/bad
        setfattr -n trusted.overlay.metacopy -v 0x01 up/partial
        setfattr -n trusted.overlay.metacopy up/up1; setfattr -n trusted.overlay.redirect -v /../both up/up1",
    );
    let upper = "lowerdir=base,upperdir=up,workdir=work";
    live.place.said(&["mount", "-o", upper, "mnt"]);
    assert_eq!(live.shell("cat mnt/only mnt/moved"), "onlybase");
    let errors = "for f in lost dir bad up1 partial; do LC_ALL=C cat mnt/$f 2>&1; done | grep -c 'Input/output error'";
    assert_eq!(live.shell(errors), "5\n");
    live.shell("test \"$(ls mnt | wc -l)\" = 9; chmod 600 mnt/moved; echo more >> mnt/only; setfattr -n user.x -v y mnt/moved");
    live.shell("mv mnt/moved mnt/again");
    assert_eq!(live.shell("cat mnt/again mnt/only; stat -c %a mnt/again"), "baseonlymore\n600\n");
    live.umount();
    assert_eq!(
        live.shell("cat up/again up/only; getfattr -hm metacopy up/again up/only"),
        "baseonlymore\n"
    );
    for options in ["redirect_dir=off", "userxattr"] {
        let space = if options == "userxattr" { "user" } else { "trusted" };
        live.shell(&format!("rm -rf up/w; truncate -s 4 up/w; setfattr -n {space}.overlay.metacopy up/w; setfattr -n {space}.overlay.redirect -v /both up/w"));
        live.place.said(&["mount", "-o", &format!("{upper},{options}"), "mnt"]);
        assert_eq!(
            live.shell("LC_ALL=C cat mnt/w 2>&1"),
            "cat: mnt/w: Operation not permitted\n",
            "{options}"
        );
        live.umount();
    }
}
