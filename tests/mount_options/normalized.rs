//! `layerfs upper normalize`: what it makes, what it refuses, and what a kill leaves.

use crate::live::{Live, live};
use crate::support::rights;

const UPPER: &str = "lowerdir=base,upperdir=up,workdir=work";
const NORMALIZE: [&str; 7] = ["upper", "normalize", "--work", "work", "-o", "lowerdir=base", "up"];

/// What a mount shows: names, types, modes, owners, times, contents and attributes.
const SHOWN: &str = "find . -printf '%P %y %m %U:%G %s %T@ %l\n' | sed 's/^\\(.* d [0-9]* [^ ]*\\) [0-9]*/\\1/' | sort
    find . -type f | sort | xargs sha256sum; getfattr -Rhd -m - . | grep -v '^$'";

/// An upper with every kind of change, of the form that is asked for. Answers what it shows.
fn changed(live: &Live, whiteout: &str) -> String {
    live.shell(
        "mkdir -p base/tree/{deep/er,other} base/gone; for f in tree/{a,deep/b,deep/er/c,other/d} gone/x; do
        echo $f > base/$f; done; ln base/tree/a base/linked; setfattr -n user.x -v y base/tree/deep/b",
    );
    live.place.said(&["mount", "-o", &format!("{UPPER},whiteout={whiteout}"), "mnt"]);
    live.shell(
        "cd mnt; mv tree moved; rm moved/deep/b; mv moved/deep/er er; echo more >> moved/a; rm only; chmod 600 both
        rm -r gone; mkdir gone; touch gone/new; mkdir tree; mv d tree/d; touch -d @1000 moved/other",
    );
    let shown = live.shell(&format!("cd mnt; {SHOWN}"));
    live.umount();
    shown
}

/// What the kernel shows of it where it follows nothing.
fn by_kernel(live: &Live) -> String {
    live.shell(&format!(
        "mkdir -p kernel; mount -t overlay overlay -o {UPPER},redirect_dir=nofollow,metacopy=off,index=off kernel
        cd kernel; {SHOWN}; cd ..; umount kernel; rmdir kernel"
    ))
}

fn marks(live: &Live) -> String {
    live.shell("getfattr -Rhd -m 'layerfs|redirect|metacopy|whiteout|fuseoverlayfs' up; ls -A work/work/incompat 2>/dev/null | cat")
}

#[test]
fn a_normalized_upper_is_shown_by_the_kernel_with_no_options() {
    rights::need!("setfattr");
    let Some(live) = live() else { return };
    for whiteout in ["device", "xattr", "wh"] {
        let shown = changed(&live, whiteout);
        live.place.said(&NORMALIZE);
        assert_eq!(by_kernel(&live), shown, "{whiteout}");
        assert_eq!(marks(&live), "", "{whiteout}");
        live.place.said(&NORMALIZE);
        live.place.said(&["mount", "-o", UPPER, "mnt"]);
        assert_eq!(live.shell(&format!("cd mnt; {SHOWN}")), shown);
        live.umount();
        live.shell("rm -r up work base/*; mkdir up work base/d; echo -n both > base/both; echo -n only > base/only");
    }
}

#[test]
fn an_upper_of_an_image_is_normalized_over_it() {
    rights::need!("setfattr");
    let Some(live) = live() else { return };
    live.shell("mkdir -p base/tree/deep; echo x > base/tree/deep/file; ln base/both base/linked");
    live.place.said(&["import", "base", "image:1"]);
    live.place.said(&["mount", "--upper", "changes", "image:1", "mnt"]);
    live.shell("mv mnt/tree mnt/moved; rm mnt/only; echo y >> mnt/linked; touch mnt/.wh.plain");
    let shown = live.shell(&format!("cd mnt; {SHOWN}"));
    live.umount();
    let line = live.place.refused(&["upper", "normalize", "changes"]);
    assert!(line.contains("--image IMAGE"), "{line}");
    let told = live.place.said(&["diff", "--image", "image:1", "changes"]);
    live.place.said(&["upper", "normalize", "--image", "image:1", "changes"]);
    // It does not say any more which image is its own.
    let line = live.place.refused(&["diff", "changes"]);
    assert!(line.contains("made plain does not say which image is its own: --image"), "{line}");
    assert_eq!(live.place.said(&["diff", "--image", "image:1", "changes"]), told);
    let kernel = live.shell(&format!(
        "mkdir w; rm -r changes.work; mount -t overlay overlay -o lowerdir=base,upperdir=changes,workdir=w mnt
        cd mnt; {SHOWN}; cd ..; umount mnt; rm -r w"
    ));
    assert_eq!(kernel, shown);
}

/// aufs has such names, and so may whoever packs a layer by hand.
#[test]
fn what_hides_a_name_of_a_whiteout_hides_nothing_when_it_is_plain() {
    let Some(live) = live() else { return };
    live.shell("mkdir up/d; touch base/d/low up/.wh..wh.both up/d/.wh..wh..wh.low up/.wh..wh.plnk");
    let shown = || {
        live.place.said(&["mount", "-o", UPPER, "mnt"]);
        let shown = live.shell(&format!("cd mnt; {SHOWN}"));
        live.umount();
        shown
    };
    let before = shown();
    live.place.said(&NORMALIZE);
    assert_eq!(live.shell("find up -mindepth 1"), "up/d\n");
    assert_eq!(shown(), before);
    assert_eq!(by_kernel(&live), before);
}

#[test]
fn what_can_not_be_normalized_is_told_and_left_as_it_is() {
    rights::need!("setfattr");
    let Some(live) = live() else { return };
    changed(&live, "xattr");
    let before = live.shell("find up -printf '%P %y %T@\n' | sort");
    let line = live.place.refused(&["upper", "normalize", "up"]);
    let told = "work directory `up.work` (--work DIR names another): it does not exist; is its";
    assert!(line.contains(told), "{line}");
    let line = live.place.refused(&["upper", "normalize", "--work", "work", "up"]);
    assert!(line.contains("has a part in what the upper was made over"), "{line}");
    let line = live.place.refused(&["upper", "normalize", "--work", "work", "nope"]);
    assert!(line.contains("`nope`") && line.contains("does not exist"), "{line}");
    live.place.said(&["mount", "-o", UPPER, "mnt"]);
    let line = live.refused_after_a_wait(&NORMALIZE);
    assert!(line.contains("in use by another mount"), "{line}");
    live.umount();
    assert_eq!(live.shell("find up -printf '%P %y %T@\n' | sort"), before);
    // Marks of the other kind would be left. A copy, since others' namespaces may hold the mount a while longer.
    live.shell("cp -a up other; mkdir other.work");
    let normalize =
        |options: &str| live.place.refused(&["upper", "normalize", "-o", options, "other"]);
    let line = normalize("lowerdir=base,userxattr");
    assert!(line.contains("its marks are `trusted.overlay.*` attributes: call as root,"), "{line}");
    // Redirects that anybody may have written are not followed.
    live.shell(
        "rm -r other; mkdir -p other/bad; setfattr -n user.overlay.redirect -v /gone other/bad",
    );
    let line = normalize("lowerdir=base,userxattr");
    assert!(line.contains("`bad`") && line.contains("does not follow"), "{line}");
    assert!(line.contains("call as the user who mounted it"), "{line}");
    let line = normalize("lowerdir=base");
    assert!(line.contains("its marks are `user.overlay.*` attributes"), "{line}");
    let marks = live.shell("getfattr -hd -m overlay other/bad");
    assert!(marks.contains("user.overlay.redirect=\"/gone\""), "{marks}");
}

/// Many files of an upper have one name.
#[test]
fn what_stands_in_the_way_of_normalizing_is_named_by_its_path() {
    rights::need!("setfattr");
    let Some(live) = live() else { return };
    let refused = |options: &str| {
        let words = ["upper", "normalize", "--work", "work", "-o", options, "up"];
        live.place.refused(&words)
    };
    live.shell("mkdir -p up/a/b/c up/z; setfattr -n trusted.overlay.redirect -v /gone up/a/b/c");
    let line = refused("userxattr");
    assert!(line.contains("its marks are `trusted.overlay.*`"), "{line}");
    let line = refused("ro");
    let told = "upper directory `up`: `a/b/c` has a part in what the upper was made over: name";
    assert!(line.starts_with(told), "{line}");
    live.shell("setfattr -n trusted.overlay.opaque -v q up/a/b/c");
    let line = refused("lowerdir=base");
    assert!(line.starts_with("upper directory `up`: `a/b/c`: opaque mark"), "{line}");
    live.shell("rmdir up/a/b/c; mkdir up/a/b/c; setfattr -n user.overlay.redirect -v /x up/a/b/c");
    let line = refused("lowerdir=base,userxattr");
    assert!(line.contains("`up`: `a/b/c` has a redirect, or its data in a lower"), "{line}");
}

#[test]
fn an_upper_that_root_changed_with_marks_of_users_is_made_plain() {
    rights::need!("setfattr");
    let Some(live) = live() else { return };
    for whiteout in ["device", "xattr", "wh"] {
        let options = format!("{UPPER},userxattr");
        live.place.said(&["mount", "-o", &format!("{options},whiteout={whiteout}"), "mnt"]);
        live.shell("cd mnt; rm only; chmod 600 both; rm -r d; mkdir d; echo new > d/new");
        let shown = live.shell(&format!("cd mnt; {SHOWN}"));
        live.umount();
        let line = live.place.refused(&NORMALIZE);
        assert!(line.contains("say `-o userxattr` if root did"), "{line}");
        let words = ["upper", "normalize", "--work", "work", "-o", "userxattr,lowerdir=base", "up"];
        live.place.said(&words);
        assert_eq!(marks(&live), "", "{whiteout}");
        let kernel = live.shell(&format!(
            "mkdir -p kernel; mount -t overlay overlay -o {options} kernel; cd kernel; {SHOWN}; cd ..; umount kernel; rmdir kernel"
        ));
        assert_eq!(kernel, shown, "{whiteout}");
        live.shell("rm -r up work; mkdir up work");
    }
}

#[cfg(feature = "fault")]
#[test]
fn a_death_while_an_upper_is_normalized_leaves_what_it_showed() {
    stopped("wh", |n| format!("die:{n}"));
}

#[cfg(feature = "fault")]
#[test]
fn a_death_while_an_upper_of_marked_files_is_normalized_leaves_what_it_showed() {
    stopped("xattr", |n| format!("die:{n}"));
}

#[cfg(feature = "fault")]
#[test]
fn a_full_disk_while_an_upper_is_normalized_leaves_what_it_showed() {
    stopped("wh", |n| format!("fail:{n}:ENOSPC"));
}

/// Normalizes an upper with that form of whiteouts under faults all over the deed.
#[cfg(feature = "fault")]
fn stopped(whiteout: &str, fault: impl Fn(usize) -> String) {
    rights::need!("setfattr");
    let Some(live) = live() else { return };
    let shown = timeless(&changed(&live, whiteout));
    live.shell("mkdir kept; cp -a up work kept");
    let mut tried = 0;
    for n in (1..).step_by(if crate::support::soak() { 23 } else { 61 }) {
        let mut command = live.place.command(&NORMALIZE);
        let run = crate::place::finished(command.env("LAYERFS_FAULT", fault(n)));
        if run.status == Some(0) {
            break;
        }
        tried += 1;
        assert_left(&live, (&shown, whiteout), &format!("{whiteout}, {}", fault(n)));
        live.shell("rm -r up work; cp -a kept/up kept/work .");
    }
    crate::support::figure(format_args!("{tried} of the calls that make an upper plain"));
    assert!(tried > 5, "{tried} calls");
}

/// A directory that was being changed may have the time of that.
#[cfg(feature = "fault")]
fn timeless(shown: &str) -> String {
    let lines = shown.lines().map(|line| match line.split_once(" d ") {
        Some((name, rest)) => format!("{name} d {}\n", rest.rsplitn(3, ' ').last().unwrap()),
        None => format!("{line}\n"),
    });
    lines.collect()
}

/// What a normalizing that did not come to its end left: the tree, for us and for the kernel unless it is kept away, and
/// an upper that the next one makes plain.
#[cfg(feature = "fault")]
fn assert_left(live: &Live, (shown, whiteout): (&str, &str), case: &str) {
    let mark = live.shell("ls work/work/incompat 2>/dev/null; true");
    let is_plain = live.shell("find up -name '.wh.*' -o -type f -size 0 | xargs -r getfattr -hm overlay.whiteout; find up -name '.wh.*'").is_empty();
    assert!(
        is_plain || !mark.is_empty(),
        "{case}: nothing keeps the kernel from an upper of {whiteout}"
    );
    live.place.said(&["mount", "-o", UPPER, "mnt"]);
    let between = live.shell(&format!("cd mnt; {SHOWN}"));
    live.umount();
    assert_eq!(timeless(&between), shown, "{case}");
    live.place.said(&NORMALIZE);
    assert_eq!(timeless(&by_kernel(live)), shown, "{case}");
    assert_eq!(marks(live), "", "{case}");
}

/// Other unions write files of such names alone; to the mount the name is all that counts, in a renamed directory, too.
#[test]
fn a_whiteout_by_name_that_is_a_directory_is_normalized() {
    let Some(live) = live() else { return };
    live.shell("mkdir -p base/e base/f; touch base/e/low base/f/low; mkdir -p up/.wh.only/in/it up/e/.wh..wh..opq up/d; touch up/.wh.only/in/file up/e/new
        mkdir -p base/r up/moved/.wh.gone/in; touch base/r/gone base/r/kept up/.wh.r; setfattr -n trusted.overlay.redirect -v r up/moved");
    live.place.said(&["mount", "-o", UPPER, "mnt"]);
    let shown = live.shell(&format!("cd mnt; {SHOWN}"));
    live.umount();
    live.place.said(&NORMALIZE);
    assert_eq!(by_kernel(&live), shown);
    assert_eq!(live.shell("find up -name '.wh.*'"), "");
}
