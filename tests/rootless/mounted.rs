//! What a user mounts, and takes away.

use crate::layout::Layout;
use crate::support::user::{self, Who};
use crate::support::{Scratch, rights};
use crate::{Ground, ground};

/// A lower with a file and a directory, and an empty upper.
const LOWER: &str =
    "mkdir -p lower/sub upper work mnt; echo one >lower/one; echo two >lower/sub/two;";
const MOUNT: &str = "layerfs mount -o lowerdir=lower,upperdir=upper,workdir=work mnt;";

#[test]
fn directories_are_mounted_changed_and_unmounted_by_a_user_and_in_namespaces() {
    let Some(ground) = ground() else { return };
    everybody_changes(&ground);
}

/// Whiteouts, marks and redirects are what they are in memory on the disks that people have.
#[test]
fn directories_are_mounted_changed_and_unmounted_on_every_disk() {
    let disks = [Scratch::ext4 as fn(u32) -> Scratch, Scratch::xfs, Scratch::btrfs];
    let tools = ["mkfs.ext4", "mkfs.xfs", "mkfs.btrfs"];
    if !user::have_users() || !rights::have_loop_devices() || !rights::have(&tools) {
        return;
    }
    for disk in disks {
        everybody_changes(&Ground::new(disk(64)));
    }
}

fn everybody_changes(ground: &Ground) {
    for who in [Who::User, Who::One, Who::Many] {
        ground.shell(who, LOWER);
        let seen = ground.shell(
            who,
            &format!(
                "{MOUNT} rm mnt/one; mv mnt/sub mnt/moved; mkdir mnt/one; echo new >mnt/one/new; layerfs umount mnt; \
                 {MOUNT} cat mnt/moved/two; ls mnt mnt/one; layerfs umount mnt; ls mnt; stat -c '%F %t:%T' upper/sub; \
                 rm -rf upper work"
            ),
        );
        let expected = "two\nmnt:\nmoved\none\n\nmnt/one:\nnew\ncharacter special file 0:0\n";
        assert_eq!(seen, expected, "{who:?}");
        ground.assert_nothing_left();
    }
}

#[test]
fn an_image_is_pulled_mounted_listed_and_checked_by_a_user_in_the_users_own_store() {
    let Some(ground) = ground() else { return };
    let layout = ground.path().join("layout");
    Layout::small().write(&layout);
    for who in [Who::User, Who::One, Who::Many] {
        let seen = ground.shell(
            who,
            "layerfs pull -q oci:layout >id; mkdir mnt; layerfs images | tail -n +2 | wc -l; layerfs mount $(cat id) mnt; \
             layerfs mount --json | grep -c $PWD/mnt; stat -c '%u %g' mnt/*; touch mnt/new && ls mnt/new; \
             layerfs umount --all | sed s:$PWD::; layerfs mount --read-only $(cat id) mnt; touch mnt/new; \
             layerfs umount mnt; layerfs fsck >said && echo sound; layerfs rmi $(cat id) >said; layerfs gc >said && \
             ls share; stat -c %a share/layerfs; rm -rf share id mnt said",
        );
        // The image is root's: its user may change it as root of a namespace alone.
        let made = match who {
            Who::User => "touch: cannot touch 'mnt/new': Permission denied",
            _ => "mnt/new",
        };
        let read_only = "touch: cannot touch 'mnt/new': Read-only file system";
        let expected = ["1", "1", "0 0", "0 0", made, "/mnt", read_only, "sound", "layerfs", "700"];
        assert_eq!(seen.lines().collect::<Vec<_>>(), expected, "{who:?}");
        ground.assert_nothing_left();
    }
}

/// As mount(8) calls its helper: without HOME. The list of users knows the user's; root of a namespace has none.
#[test]
fn who_has_no_home_mounts_directories_and_finds_the_store_of_the_list_of_users() {
    let Some(ground) = ground() else { return };
    for who in [Who::User, Who::One] {
        ground.shell(who, LOWER);
        let seen = ground.shell(
            who,
            "unset HOME XDG_DATA_HOME; layerfs mount -o lowerdir=lower mnt; cat mnt/one; layerfs umount mnt; \
             layerfs images; rm -rf upper work",
        );
        let told = match who {
            Who::User => {
                format!("layerfs: no store at `{}/.local/share/layerfs`", ground.path().display())
            }
            _ => {
                "layerfs: no place for the store: neither XDG_DATA_HOME nor HOME is set".to_owned()
            }
        };
        let (one, rest) = seen.split_once('\n').unwrap();
        assert!(one == "one" && rest.starts_with(&told), "{who:?}: {seen}");
        ground.assert_nothing_left();
    }
}

#[test]
fn a_users_mounts_are_nosuid_nodev_of_that_user_and_show_their_source() {
    let Some(ground) = ground() else { return };
    ground.shell(Who::User, LOWER);
    let seen = ground.shell(
        Who::User,
        r"layerfs mount -o 'lowerdir=lower,ro,noatime,noexec,fsname=a\,b c' mnt; findmnt -rno SOURCE,FSTYPE,OPTIONS mnt; \
          layerfs umount mnt",
    );
    let id = user::ID;
    let options =
        format!("ro,nosuid,nodev,noexec,noatime,user_id={id},group_id={id},default_permissions");
    assert_eq!(seen, format!("a,b\\x20c fuse.layerfs {options}\n"));
    ground.assert_nothing_left();
}

#[test]
fn a_mount_in_use_is_told_and_detached_when_asked() {
    let Some(ground) = ground() else { return };
    ground.shell(Who::User, LOWER);
    let seen = ground.shell(
        Who::User,
        "layerfs mount -o lowerdir=lower mnt; exec 7<mnt/one; layerfs umount mnt; echo $?; layerfs umount -l mnt; \
         ls mnt; cat <&7",
    );
    let (told, rest) = seen.split_once('\n').unwrap();
    assert!(told.starts_with("layerfs: `mnt` is in use by process "), "{told}");
    assert_eq!(rest, "1\none\n");
    // Called in it, it is in use by who called, or by nobody else; it does not name itself.
    let seen = ground.shell(
        Who::User,
        "layerfs mount -o lowerdir=lower mnt; cd mnt; layerfs umount ../mnt | cat; cd ..; env -C mnt layerfs umount ../mnt; \
         layerfs umount mnt",
    );
    let [by_shell, by_none] = seen.lines().collect::<Vec<_>>()[..] else { panic!("{seen}") };
    assert!(
        by_shell.contains(" is in use by process ") && by_shell.contains(" (bash): end"),
        "{seen}"
    );
    assert!(
        by_none.contains("`../mnt` is in use by this command alone: call it elsewhere"),
        "{seen}"
    );
    ground.assert_nothing_left();
}

#[test]
fn a_signal_to_end_takes_a_users_mount_away() {
    let Some(ground) = ground() else { return };
    ground.shell(Who::User, LOWER);
    let seen = ground.shell(
        Who::User,
        "layerfs mount --foreground -o lowerdir=lower mnt & until findmnt mnt >found; do :; done; cat mnt/one; kill $!; \
         wait $!; echo $?; findmnt mnt; rm found",
    );
    assert_eq!(seen, "one\n0\n");
    ground.assert_nothing_left();
}

#[test]
fn nothing_of_its_caller_is_kept_by_a_process_that_serves_a_user() {
    let Some(ground) = ground() else { return };
    ground.shell(Who::User, LOWER);
    let seen = ground.shell(
        Who::User,
        "exec 7<>lock 8<lock; layerfs mount -o lowerdir=lower mnt; for own in /proc/[0-9]*; do \
         if tr '\\0' ' ' <$own/cmdline | grep -q '^layerfs .* serve --source='; then readlink $own/fd/*; fi; done | \
         grep -oE '/dev/fuse|/dev/null|lock|socket|pipe' | sort | uniq -c | tr -s ' '; layerfs umount mnt",
    );
    // The connection is held twice: by the crate, and to ask how it ended.
    assert_eq!(seen, " 2 /dev/fuse\n 3 /dev/null\n");
    ground.assert_nothing_left();
}

#[test]
fn others_enter_where_the_administrator_allows_it() {
    let Some(ground) = ground() else { return };
    ground.shell(Who::User, LOWER);
    let script = "exec 2>&1; layerfs mount -o lowerdir=lower,allow_other mnt; findmnt -rno OPTIONS mnt; layerfs umount mnt";
    let mut command = user::command(Who::User, ground.path(), &["bash", "-c", script]);
    let output = command.env("USER_ALLOW_OTHER", "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.trim_end().ends_with(",default_permissions,allow_other"), "{said}");
    ground.assert_nothing_left();
}

#[test]
fn umount_all_leaves_the_mounts_of_others() {
    let Some(ground) = ground() else { return };
    ground.shell(Who::User, LOWER);
    // Root's mount is made first, and seen by the user in its namespace of mounts.
    let mut root = std::process::Command::new(env!("CARGO_BIN_EXE_layerfs"));
    std::fs::create_dir(ground.path().join("roots")).unwrap();
    let made = root.args(["mount", "-o", "lowerdir=lower", "roots"]).current_dir(ground.path());
    assert!(made.status().unwrap().success());
    let seen = ground.shell(
        Who::User,
        "layerfs mount -o lowerdir=lower mnt; layerfs umount roots; layerfs umount --all | sed s:$PWD::; ls roots mnt",
    );
    let mut root = std::process::Command::new(env!("CARGO_BIN_EXE_layerfs"));
    let taken = root.args(["umount", "roots"]).current_dir(ground.path());
    assert!(taken.status().unwrap().success());
    let told = "layerfs: `roots` is the mount of another user: call as that user, or as root\n";
    assert_eq!(seen, format!("{told}/mnt\nmnt:\n\nroots:\none\nsub\n"));
    ground.assert_nothing_left();
}
