//! What union file systems take for marks, and what is recorded of owners: neither is in a layer that is made here.

use std::process::Command;

use crate::ground::{Ground, said, same_trees};
use crate::support::user::{self, Who};
use crate::support::{Scope, Scratch, fixtures, need, need_root, photograph};

/// A user forges marks of each union by the names that the mount shows, on what has something below it.
const FORGED: &str = "\
setfattr -n trusted.overlay.opaque -v y etc usr; setfattr -n trusted.overlay.redirect -v /etc usr/share
setfattr -n user.overlay.opaque -v y var; setfattr -n user.fuseoverlayfs.opaque -v y opt
setfattr -n user.containers.override_stat -v 0:0:4755 etc/passwd; setfattr -n user.kept -v yes etc usr";

#[test]
fn what_unions_take_for_marks_is_in_no_layer_that_is_made() {
    need_root!();
    need!("python3", "setfattr", "umoci", "podman");
    let Some(ground) = Ground::mounted() else { return };
    let mnt = ground.at("mnt");
    ground.shell("mnt", FORGED);
    let written = ground.layerfs(&["diff", "--tar", &mnt]);
    assert!(written.status.success(), "{written:?}");
    let told = String::from_utf8_lossy(&written.stderr).into_owned();
    let first = "layerfs: left out: `/etc` has the attribute `trusted.overlay.opaque`, a mark to whoever unpacks layers onto a \
                 union file system; 5 more like it\n";
    assert_eq!(told, first);
    for mark in [&b"overlay.opaque"[..], b"redirect", b"fuseoverlayfs", b"override_stat"] {
        let has = written.stdout.windows(mark.len()).any(|window| window == mark);
        assert!(!has, "{}", mark.escape_ascii());
    }
    let committed = ground.layerfs(&["commit", "--quiet", &mnt, "forged:1"]);
    assert_eq!(String::from_utf8_lossy(&committed.stderr), first);
    // What podman unpacks onto the kernel's overlayfs hides nothing, nor does what umoci unpacks; ours is the same tree.
    let layout = ground.at("layout");
    ground.said(&["push", "forged:1", &format!("oci:{layout}:1")]);
    ground.mount_anew("small:1");
    ground.shell("mnt", "setfattr -n user.kept -v yes etc usr");
    let bundle = ground.at("bundle");
    let unpacked = ["unpack", "--image", &format!("{layout}:1"), &bundle];
    said(&unpacked, Command::new("umoci").args(unpacked).output().unwrap());
    same_trees(&mnt, &format!("{bundle}/rootfs"), &[".:mtime"], "umoci");
    let place = |name: &str| ground.at(name);
    let podman = |words: &[&str]| {
        let mut command = Command::new("podman");
        command.args(["--root", &place("podman"), "--runroot", &place("podman-run")]);
        said(words, command.args(["--storage-driver", "overlay"]).args(words).output().unwrap())
    };
    let id = podman(&["pull", "--quiet", &format!("oci:{layout}:1")]);
    let at = podman(&["image", "mount", id.trim()]);
    // The kernel's overlayfs counts names that are hidden.
    let of_podman = [".:mtime", ".:mode", "bin/tool:links"];
    same_trees(&mnt, at.trim(), &of_podman, "podman");
    podman(&["image", "umount", "--all"]);
    podman(&["rmi", "--all", "--force"]);
    ground.shell(".", "umount podman/overlay 2>/dev/null || true");
    ground.said(&["mount", "--read-only", "forged:1", &ground.at("again")]);
    same_trees(&mnt, &ground.at("again"), &[], "layerfs");
    ground.said(&["umount", &mnt, &ground.at("again")]);
    for name in ["bundle", "layout", "podman", "podman-run"] {
        std::fs::remove_dir_all(ground.join(name)).unwrap();
    }
    ground.ends();
}

#[test]
fn a_directory_with_marks_is_imported_without_them() {
    need_root!();
    need!("setfattr", "python3");
    let ground = Ground::new();
    ground.shell(".", "mkdir -p tree/a; echo x > tree/a/x; setfattr -n trusted.overlay.opaque -v y tree/a; \
                       setfattr -n user.overlay.redirect -v b tree/a; setfattr -n user.kept -v yes tree/a");
    let imported = ground.layerfs(&["import", "--quiet", &ground.at("tree"), "tree:1"]);
    let told = String::from_utf8_lossy(&imported.stderr).into_owned();
    assert!(imported.status.success(), "{told}");
    assert!(told.contains("2 attributes are left out") && told.contains("`/a`"), "{told}");
    let saved = ground.layerfs(&["save", "tree:1"]).stdout;
    assert!(!saved.windows(8).any(|window| window == b"overlay."), "a mark is in the layer");
    assert!(saved.windows(9).any(|window| window == b"user.kept"));
    std::fs::remove_dir_all(ground.join("tree")).unwrap();
    ground.ends();
}

/// As a user mounts an image and changes what is root's in it; what is committed must show the same owners, modes and types.
const AS_A_USER: &str = r#"
set -eu
mkdir mnt again upper
layerfs pull --quiet --name small:1 oci:layout:small
layerfs mount --upper upper small:1 mnt
show() {
    (cd "$1"; find . -mindepth 1 -printf '%p %y %U:%G %m %l\n' -type f -printf '%p has %s bytes\n' 2>/dev/null | sort
     find . -mindepth 1 -print0 | sort -z | xargs -0 getfattr -h -m - -d -e hex) 2>/dev/null || true
}
CHANGES
show mnt >before
layerfs commit --quiet mnt new:1 >/dev/null
layerfs diff mnt | grep -c .
layerfs diff --tar mnt | tar -t | grep -c .
layerfs diff upper | grep -c .
layerfs mount --read-only new:1 again
show again >after
diff before after && echo same
layerfs umount mnt again
"#;

#[test]
fn what_a_user_changed_is_committed_with_the_owners_that_the_mount_shows() {
    need_root!();
    need!("setfattr", "getfattr", "fusermount3");
    if !user::have_users() {
        return;
    }
    let Some(layout) = fixtures::small_layout() else { return };
    for (who, changes) in [
        (Who::User, "echo x >> mnt/opt/two || true; echo new > mnt/tmp/mine; ln -s x mnt/tmp/link"),
        (
            Who::One,
            "echo x >> mnt/opt/two; chmod 4711 mnt/bin/tool; mv mnt/dev/null mnt/dev/nul; mkdir mnt/d; setfattr -n user.k -v v mnt/d; \
             chmod 0 mnt/etc/passwd; ln -s x mnt/link; mv mnt/usr/share mnt/usr/s; touch mnt/*/* || true",
        ),
        // Others own what the namespace knows, and a renamed directory is one all the same.
        (Who::Many, "mv mnt/usr/share mnt/usr/s; chown 5:6 mnt/etc/passwd; echo x >> mnt/opt/two"),
    ] {
        let scratch = Scratch::new();
        let before = photograph(&Scope::Below(scratch.path().to_path_buf()));
        let place = scratch.join("place");
        user::make_dir(&place);
        let copied = ["cp", "-r", layout.to_str().unwrap(), place.join("layout").to_str().unwrap()]
            .map(str::to_owned);
        said(&["cp"], Command::new(&copied[0]).args(&copied[1..]).output().unwrap());
        let told = user::shell(who, &place, &AS_A_USER.replace("CHANGES", changes));
        assert!(told.ends_with("\nsame\n"), "{who:?}: {told}");
        std::fs::remove_dir_all(&place).unwrap();
        photograph(&Scope::Below(scratch.path().to_path_buf())).assert_same(&before);
    }
}
