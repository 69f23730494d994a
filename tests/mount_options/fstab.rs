//! mount(8), umount(8) and lines of fstab(5), in a mount namespace of their own where the helpers are installed.

use std::process::Command;

use crate::live::{Live, live};
use crate::place::{Run, finished};
use crate::support::{need, rights};

/// Installs the helpers over the directory in which mount(8) looks for them, as long as the script runs. Where process 1 may not
/// be looked at, the process that serves this mount would hold the namespace for good.
const INSTALL: &str = "set -eu
sbin=$(readlink -f /sbin)
mkdir helpers
for name in $HELPERS; do ln -s $LAYERFS helpers/$name; done
$LAYERFS mount -o lowerdir=helpers:$sbin,ro $sbin
trap \"$LAYERFS umount -l $sbin\" EXIT
";

/// What a script says in a mount namespace with these helpers.
pub fn says(live: &Live, helpers: &str, script: &str) -> Run {
    let mut shell = Command::new("unshare");
    shell.args(["--mount", "--propagation", "private", "bash", "-c"]);
    shell.arg(format!("{INSTALL}{script}")).current_dir(live.place.join(""));
    for (key, value) in live.place.command(&[]).get_envs() {
        if let Some(value) = value {
            shell.env(key, value);
        }
    }
    shell.env("LAYERFS", env!("CARGO_BIN_EXE_layerfs")).env("HELPERS", helpers);
    let run = finished(&mut shell);
    live.shell("rm -rf helpers");
    run
}

pub const BOTH: &str = "mount.layerfs mount.fuse.layerfs";

/// Has a script say all that is expected, complain of nothing and leave nothing. The image `small:1` is in the store.
fn assert_says((helpers, tools): (&str, &[&str]), script: &str, expected: &str) {
    let Some(live) = live_with(tools) else { return };
    let run = says(&live, helpers, script);
    assert_eq!((&*run.stdout, &*run.stderr), (expected, ""));
    live.assert_nothing_left();
}

/// `None` where one of the tools is not there, and the test has been told as skipped.
pub fn live_with(tools: &[&str]) -> Option<Live> {
    let live = live().filter(|_| rights::have(&["unshare"]) && rights::have(tools))?;
    live.place.pull_small("small");
    Some(live)
}

#[test]
fn mount_and_umount_work_by_type() {
    let script = "show() { findmnt -rno SOURCE,FSTYPE,VFS-OPTIONS mnt; }
        mount -t layerfs small:1 mnt; show; head -c 3 mnt/a; echo; umount mnt
        mount -t fuse.layerfs -o ro,noexec small:1 mnt; show; umount mnt
        mount -t layerfs -o lowerdir=top:base,upperdir=up,workdir=work,suid,dev any mnt; show; cat mnt/both; echo
        mount -i -o remount,ro mnt; show; ! echo x 2>/dev/null > mnt/x; umount mnt
        mount -t layerfs -o lowerdir+=top,lowerdir+=base,noatime any mnt; show; umount mnt
        ls -A mnt";
    let expected = "small:1 fuse.layerfs rw,nosuid,nodev,relatime\naaa\nsmall:1 fuse.layerfs ro,nosuid,nodev,noexec,relatime\n\
        any fuse.layerfs rw,relatime\ntop\nany fuse.layerfs ro,relatime\nany fuse.layerfs ro,noatime\nin\n";
    assert_says((BOTH, &["findmnt"]), script, expected);
}

#[test]
fn lines_of_fstab_are_mounted_with_all_their_words() {
    let script = "cat > fstab <<TAB
small:1 $PWD/mnt layerfs noauto,nofail,_netdev,x-systemd.automount,x-systemd.idle-timeout=5min,comment=an\\040image 0 0
any $PWD/dirs fuse.layerfs lowerdir=top:base,upperdir=up,workdir=work,defaults,nofail,X-mount.mkdir,x-systemd.requires=a.service 0 0
any $PWD/more layerfs lowerdir=base,user,X-mount.mkdir,nodiratime 0 0
TAB
        mount -T fstab -a
        for at in mnt dirs more; do findmnt -rno SOURCE,FSTYPE,VFS-OPTIONS $at || echo none; done
        mount -T fstab mnt; head -c 3 mnt/a; echo; cat dirs/both; echo; echo x > dirs/new; cat up/new
        mount -T fstab -o remount,ro dirs; findmnt -rno VFS-OPTIONS dirs
        umount mnt dirs more; ls -A dirs more; rmdir dirs more; rm fstab up/new";
    let expected = "none\nany fuse.layerfs rw,relatime\nany fuse.layerfs ro,nosuid,nodev,noexec,nodiratime,relatime\naaa\ntop\nx\n\
        ro,relatime\ndirs:\n\nmore:\n";
    assert_says((BOTH, &["findmnt"]), script, expected);
}

/// mount(8) gives a helper that it starts for a user neither HOME nor a store.
#[test]
fn a_line_for_users_is_mounted_by_one_without_a_word_on_the_store() {
    let Some(live) = live() else { return };
    need!("unshare", "setpriv", "fusermount3");
    let run = says(
        &live,
        BOTH,
        "mkdir mine; chown nobody mine; chmod 755 .; touch program; mount --bind $LAYERFS program
        ln -sfn $PWD/program helpers/mount.layerfs; mknod -m 666 fuse c 10 229; mount --bind fuse /dev/fuse
        echo any $PWD/mine layerfs lowerdir=$PWD/top:$PWD/base,user,noauto 0 0 > fstab; mount --bind fstab /etc/fstab
        as_user() { env -i PATH=$PATH setpriv --reuid nobody --regid nogroup --clear-groups \"$@\"; }
        as_user mount $PWD/mine; as_user cat mine/both; echo; $LAYERFS diff $PWD/mine 2>&1 | grep -o \"another user's, wants\"
        as_user ./program umount mine; ls -A mine; umount /etc/fstab /dev/fuse program; rm -r mine program fuse fstab",
    );
    assert_eq!((&*run.stdout, &*run.stderr), ("top\nanother user's, wants\n", ""));
    live.assert_nothing_left();
}

#[test]
fn a_line_says_which_store_its_image_is_in() {
    let script = "echo small:1 $PWD/mnt layerfs store=$LAYERFS_ROOT,ro,noauto 0 0 > fstab
        LAYERFS_ROOT=$PWD/none mount -T fstab mnt; head -c 3 mnt/a; umount mnt; rm fstab";
    let expected = "aaa";
    assert_says((BOTH, &[]), script, expected);
}

#[test]
fn what_mount_can_not_do_is_told_in_our_line() {
    let Some(live) = live_with(&[]) else { return };
    let run = says(
        &live,
        BOTH,
        "mount -t layerfs nope mnt || echo $?; mount -t layerfs -o verity=on small:1 mnt || echo $?
        mount -s -t layerfs -o frob small:1 mnt && mount -o remount,store=x,whiteout=wh mnt || echo $?; umount mnt; ls -A mnt",
    );
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{run:?}");
    assert!(lines[0].starts_with("layerfs: no image `nope` in the store"), "{run:?}");
    assert_eq!(
        lines[1],
        "layerfs: option `verity=on` is refused: digests of lower files are not compared"
    );
    assert!(lines[2].starts_with("layerfs: option `whiteout=` can't be changed"), "{run:?}");
    assert_eq!(run.stdout, "1\n1\n1\nin\n");
    live.assert_nothing_left();
}

/// Where our helper for the type is not installed, mount(8) asks that of libfuse, which calls the program by its name.
#[test]
fn the_helper_of_libfuse_mounts_an_image() {
    let script = "rm helpers/mount.fuse; ln -s mount.fuse3 helpers/mount.fuse
        mount -t fuse.layerfs -o ro small:1 mnt; findmnt -rno SOURCE,FSTYPE,VFS-OPTIONS mnt; head -c 3 mnt/a; umount mnt";
    let expected = "small:1 fuse.layerfs ro,relatime\naaa";
    assert_says(("mount.fuse layerfs", &["mount.fuse3", "findmnt"]), script, expected);
}
