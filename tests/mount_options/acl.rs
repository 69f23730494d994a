//! Access control lists: kept, inherited and obeyed as by the kernel's overlayfs.

use crate::live::{live, live_on_disk};
use crate::support::peer::{self, Peer};
use crate::support::rights;

const UPPER: &str = "lowerdir=base,upperdir=up,workdir=work";

#[test]
fn a_default_acl_of_the_work_directory_reaches_no_copy() {
    rights::need!("setfacl");
    let Some(live) = live() else { return };
    live.shell("chmod 660 base/only; setfacl -d -m u:1234:rwx work");
    // What a mount without this care left in the work directory must not last, either.
    live.shell("mkdir -p work/work work/layerfs/index work/layerfs/orphans");
    live.place.said(&["mount", "-o", UPPER, "mnt"]);
    live.shell("echo more >> mnt/only; touch mnt/d/new; chown 0:5 mnt/both");
    let acls = live.shell("getfacl -Rcs up; getfacl -Rcs work/work work/layerfs");
    assert_eq!(acls, "", "files with more than a mode");
    live.umount();
}

/// A directory in which something was made already is looked at again once it has a list, or has a list no more.
#[test]
fn a_default_acl_holds_for_what_is_made_after_it() {
    rights::need!("setfacl", "getfacl", "setpriv");
    let Some(live) = live() else { return };
    live.place.said(&["mount", "-o", UPPER, "mnt"]);
    // What another than the serving process's user makes does not get the list from the upper's file system.
    let touch = "setpriv --clear-groups --reuid 1234 --regid 1234 touch";
    live.shell("chmod 711 .");
    for dir in ["mnt/d", "mnt/new"] {
        live.shell(&format!("mkdir -p {dir}; chmod 777 {dir}; {touch} {dir}/before"));
        for round in ["1", "2"] {
            live.shell(&format!("setfacl -d -m u:4321:rwx {dir}; {touch} {dir}/with{round}"));
            live.shell(&format!(
                "mkdir {dir}/dir{round}; setfacl -k {dir}; {touch} {dir}/after{round}"
            ));
            let listed = |name: &str| live.shell(&format!("getfacl -cs {dir}/{name}{round}"));
            assert!(listed("with").contains("user:4321:rwx"), "{dir}, {round}: {}", listed("with"));
            assert!(listed("dir").contains("default:user:4321:rwx"), "{dir}, {round}");
            assert_eq!(listed("after"), "", "{dir}, {round}");
        }
    }
    live.umount();
}

/// The kernel asks before the first write of a file whether it has a capability; what was just made is known to have none.
#[test]
fn a_capability_of_a_new_file_is_seen_and_goes_with_the_next_write() {
    rights::need!("setcap", "getfattr");
    let Some(live) = live() else { return };
    live.place.said(&["mount", "-o", UPPER, "mnt"]);
    let has =
        |name: &str| live.shell(&format!("getfattr -h -n security.capability {name} 2>&1 || true"));
    live.shell("echo one > mnt/new; setcap cap_chown+ep mnt/new");
    assert!(has("mnt/new").contains("security.capability=0s"), "{}", has("mnt/new"));
    live.shell("echo two >> mnt/new");
    assert!(has("mnt/new").contains("No such attribute"), "{}", has("mnt/new"));
    live.umount();
}

#[test]
fn access_control_lists_are_obeyed() {
    rights::need!("setfacl", "setpriv");
    let Some(live) = live() else { return };
    // The first in the lower, the second in the upper.
    live.shell("echo lower > base/listed; chmod 600 base/listed; chown 0:1000 base/listed");
    live.shell("setfacl -m u:65534:r,g::- base/listed; chmod 711 .");
    for read_only in ["", ",ro"] {
        live.place.said(&["mount", "-o", &format!("{UPPER}{read_only}"), "mnt"]);
        if read_only.is_empty() {
            live.shell("echo upper > mnt/own; chmod 600 mnt/own; chown 0:1000 mnt/own");
            live.shell("stat mnt/own; setfacl -m u:65534:r,g::- mnt/own");
        }
        for name in ["listed", "own"] {
            let read = |user: &str| {
                let who = format!("setpriv --clear-groups {user}");
                live.shell(&format!("{who} cat mnt/{name} 2> /dev/null || echo refused"))
            };
            let told = ["lower\n", "upper\n"][usize::from(name == "own")];
            assert_eq!(read("--reuid 65534 --regid 65534"), told, "{name}: the list lets it in");
            assert_eq!(read("--reuid 1234 --regid 1000"), "refused\n", "{name}: g::---");
            assert_eq!(live.shell(&format!("stat -c %A mnt/{name}")), "-rw-r-----\n", "{name}");
        }
        live.umount();
    }
}

#[test]
fn access_control_lists_of_an_image_are_obeyed() {
    rights::need!("setpriv", "python3", "getfacl");
    let Some(live) = live() else { return };
    // Who made the image is one thing, who may read what in it another.
    let support = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support");
    live.shell(&format!(
        "chmod 711 .; PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={support} python3 -c '
from small import NOBODY, acl
from tarball import regular, tarball
more = acl((1, 6, NOBODY), (2, 4, 65534), (4, 0, NOBODY), (16, 4, NOBODY), (32, 0, NOBODY))
guarded = regular(b\"guarded\", b\"text\", mode=0o640, gid=1000, xattrs={{b\"system.posix_acl_access\": more}})
open(\"root.tar\", \"wb\").write(tarball([guarded]))'"
    ));
    live.place.said(&["import", "root.tar", "guarded:1"]);
    live.place.said(&["mount", "guarded:1", "mnt"]);
    let read = |user: &str| {
        let who = format!("setpriv --clear-groups {user}");
        live.shell(&format!("{who} cat mnt/guarded 2> /dev/null || echo refused"))
    };
    for text in ["text", "textmore"] {
        assert_eq!(read("--reuid 65534 --regid 65534"), text);
        assert_eq!(read("--reuid 1234 --regid 1000"), "refused\n");
        live.shell("printf more >> mnt/guarded");
    }
    live.umount();
}

#[test]
fn mode_and_list_follow_each_other() {
    rights::need!("setfacl");
    let Some(live) = live() else { return };
    live.place.said(&["mount", "-o", UPPER, "mnt"]);
    let modes = || live.shell("stat -c %a mnt/only up/only; getfacl -cpE mnt/only");
    assert_eq!(live.shell("chmod 600 mnt/only; stat -c %a mnt/only"), "600\n");
    live.shell("setfacl -m u:65534:rw mnt/only");
    let list = |mode: &str, mask: &str| {
        format!(
            "{mode}\n{mode}\nuser::rw-\nuser:nobody:rw-\ngroup::---\nmask::{mask}\nother::---\n\n"
        )
    };
    assert_eq!(modes(), list("660", "rw-"), "a list changes the mode that is shown");
    live.shell("chmod g=r mnt/only");
    assert_eq!(modes(), list("640", "r--"), "the mode of a group is the list's mask");
    live.shell("setfacl -b mnt/only");
    assert_eq!(modes(), "600\n600\nuser::rw-\ngroup::---\nother::---\n\n");
    let absent = "getfattr -n system.posix_acl_access mnt/only 2>&1 | grep -c 'No such attribute'";
    assert_eq!(live.shell(absent), "1\n");
    // Who is not of the file's group can't keep its set-group-id bit and give its rights away.
    let set_group = "chown 1000:5 mnt/only; chmod 2770 mnt/only; stat mnt/only > /dev/null; \
        setpriv --reuid 1000 --regid 1000 --clear-groups setfacl -m u:65534:rwx mnt/only; \
        stat -c %a mnt/only";
    assert_eq!(live.shell(set_group), "770\n");
    live.umount();
}

#[test]
fn noacl_turns_lists_off() {
    rights::need!("setfacl", "setpriv");
    let Some(live) = live() else { return };
    live.shell("setfacl -m u:65534:rw base/only; setfacl -d -m u:65534:rwx base/d; chmod 711 .");
    live.place.said(&["mount", "-o", &format!("{UPPER},noacl"), "mnt"]);
    let made = "umask 027; touch mnt/d/file; mkdir mnt/d/dir; stat -c %a mnt/d/file mnt/d/dir; \
        getfacl -Rcs up/d/file up/d/dir";
    assert_eq!(live.shell(made), "640\n750\n", "the umask counts");
    let refused = "setfacl -m u:1:r mnt/only 2>&1 | grep -c 'Operation not supported'; \
        getfattr -d -m - mnt/only; getfacl -cs mnt/only; \
        setpriv --reuid 65534 --regid 65534 --clear-groups tee -a mnt/only < /dev/null 2>&1 \
        | grep -c 'Permission denied'";
    assert_eq!(live.shell(refused), "1\n1\n");
    live.umount();
    // What was made knows no list; what was copied kept its own.
    live.place.said(&["mount", "-o", &format!("{UPPER},noacl,acl"), "mnt"]);
    assert_eq!(
        live.shell("getfacl -cp mnt/d | grep default:user:"),
        "default:user::rwx\ndefault:user:nobody:rwx\n"
    );
    live.umount();
}

#[test]
fn what_is_made_has_the_rights_that_kernel_overlayfs_gives() {
    rights::need!("setfacl", "python3");
    let Some(live) = live_on_disk() else { return };
    live.shell("chmod 711 .; mkdir kernel kup kwork");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mount_options/made.py");
    live.shell(&format!("python3 {script} prepare base"));
    live.shell(
        "mount -t overlay overlay -o lowerdir=base,upperdir=kup,workdir=kwork,userxattr kernel",
    );
    live.place.said(&["mount", "-o", UPPER, "mnt"]);
    let [ours, theirs] =
        ["mnt", "kernel"].map(|at| live.shell(&format!("python3 {script} make {at}")));
    let rows = theirs.lines().count();
    assert!(rows > 1000, "{rows} rows of a table");
    for (ours, theirs) in ours.lines().zip(theirs.lines()) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.lines().count(), rows);
    let mut counts = vec![("kernel overlayfs", rows), ("layerfs directories", rows)];
    if let Some(beside) = Peer::mounted(&live.place.join(""), "base", 60) {
        let made =
            format!("timeout 60 python3 {script} make {} 2>/dev/null || true", beside.at.display());
        let made = live.shell(&made);
        let alike = made.lines().zip(theirs.lines()).filter(|(made, theirs)| made == theirs);
        counts.push((peer::NAME, alike.count()));
    }
    peer::beside("rights of what is made", rows, &counts);
    live.shell("umount kernel");
    live.umount();
}
