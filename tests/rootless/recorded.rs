//! Owners, modes and devices that a user's files can't have, and that an upper has all the same.

use crate::support::user::{self, Who};
use crate::{Ground, ground};

/// An image of root's, of many owners, in the user's store; with a directory of the user's in it.
const IMAGE: &str = "umask 022; mkdir -p tree/{home/me/d,dev,var/local/sub,bin} mnt; cd tree; \
    echo file >home/me/file; echo root >home/me/roots; chmod 600 home/me/roots; ln -s /target home/me/link; \
    mknod -m 640 home/me/null c 1 3; mkfifo -m 600 home/me/fifo; mknod dev/null c 1 3; mknod -m 660 dev/disk b 259 70000; \
    echo tool >bin/tool; chmod 4755 bin/tool; echo www >www; chown 33:33 www; echo sub >var/local/sub/file; \
    chown :50 var/local; chmod 2775 var/local; chown -R 54321:54321 home/me; chown 0:42 home/me/roots; \
    chown -h 7:7 home/me/link; chown 0:6 home/me/null home/me/fifo; cd ..; \
    $0 --root share/layerfs import tree tree:1 >said; chown -R 54321:54321 share said mnt; rm -rf tree";

const MOUNT: &str = "layerfs mount --upper upper tree:1 mnt;";
const AGAIN: &str = "layerfs umount mnt; layerfs mount --upper upper tree:1 mnt;";

fn with_image() -> Option<Ground> {
    let ground = ground()?;
    ground.prepare(IMAGE);
    Some(ground)
}

fn assert_lines(seen: &str, expected: &[&str]) {
    assert_eq!(seen.lines().collect::<Vec<_>>(), expected, "{seen}");
}

#[test]
fn a_user_sees_the_owners_of_an_image_and_changes_what_is_the_users_own() {
    let Some(ground) = with_image() else { return };
    let seen = ground.shell(
        Who::User,
        &format!(
            "{MOUNT} cd mnt; stat -c '%n %u:%g %a' . www home/me bin/tool; cat www; echo x >www; echo more >>home/me/file; \
             mkdir home/me/new; chown 33 home/me/file; chgrp 42 home/me/file; touch bin/new; rm www; cd ..; {AGAIN} cd mnt; \
             stat -c '%n %u:%g %a' home home/me home/me/file home/me/new; cat home/me/file; cd ..; layerfs umount mnt; \
             getfattr --absolute-names --only-values -n user.containers.override_stat upper/home; echo; \
             getfattr -n user.containers.override_stat upper/home/me/new upper/home/me/file 2>&1 | grep -c 'No such'"
        ),
    );
    assert_lines(
        &seen,
        &[
            ". 0:0 755",
            "www 33:33 644",
            "home/me 54321:54321 755",
            "bin/tool 0:0 4755",
            "www",
            "bash: line 1: www: Permission denied",
            "chown: changing ownership of 'home/me/file': Operation not permitted",
            "chgrp: changing group of 'home/me/file': Operation not permitted",
            "touch: cannot touch 'bin/new': Permission denied",
            "rm: cannot remove 'www': Permission denied",
            "home 0:0 755",
            "home/me 54321:54321 755",
            "home/me/file 54321:54321 644",
            "home/me/new 54321:54321 755",
            "file",
            "more",
            "0:0:0755:dir",
            "2",
        ],
    );
    ground.assert_nothing_left();
}

#[test]
fn what_others_own_keeps_owner_type_and_target_when_a_user_moves_it() {
    let Some(ground) = with_image() else { return };
    let look = "stat -c '%n %F %t:%T %u:%g %a' *; readlink moved-link;";
    let seen = ground.shell(
        Who::User,
        &format!(
            "{MOUNT} cd mnt/home/me; for name in roots link null fifo; do mv $name moved-$name; done; {look} cat moved-roots; \
             cd ../../..; {AGAIN} cd mnt/home/me; {look} ls -i | sort >../../../numbers; cd ../../..; {AGAIN} cd mnt/home/me; \
             ls -i | sort | diff ../../../numbers - && rm moved-*; ls; cd ../../..; layerfs umount mnt; ls upper/home/me"
        ),
    );
    let moved = [
        "d directory 0:0 54321:54321 755",
        "file regular file 0:0 54321:54321 644",
        "moved-fifo fifo 0:0 0:6 600",
        "moved-link symbolic link 0:0 7:7 777",
        "moved-null character special file 1:3 0:6 640",
        "moved-roots regular file 0:0 0:42 600",
        "/target",
    ];
    let expected = [
        &moved[..],
        &["cat: moved-roots: Permission denied"],
        &moved[..],
        &["d", "file", "fifo", "link", "null", "roots"],
    ];
    assert_lines(&seen, &expected.concat());
    ground.assert_nothing_left();
}

#[test]
fn a_namespace_with_one_id_changes_what_lies_below_owners_that_it_does_not_know() {
    let Some(ground) = with_image() else { return };
    let seen = ground.shell(
        Who::One,
        &format!(
            "{MOUNT} cd mnt; echo more >>var/local/sub/file; chmod 4711 bin/tool; mv dev/null dev/zero; mv dev/disk bin/disk; \
             chmod 600 bin/disk; stat -c '%n %u:%g %a' www bin/tool; stat -c '%n %F %t:%T %a' dev/zero bin/disk; \
             chown 0:0 bin/tool; chown 5 bin/tool; echo x >www; rm www; mknod node c 1 3; mv bin tools; cd ..; {AGAIN} \
             stat -c '%u:%g %a' mnt/var/local mnt/tools/tool; stat -c '%F %t:%T %a' mnt/dev/zero mnt/tools/disk; \
             layerfs umount mnt"
        ),
    );
    let expected = [
        "www 65534:65534 644",
        "bin/tool 0:0 4711",
        "dev/zero character special file 1:3 644",
        "bin/disk block special file 103:11170 600",
        "chown: changing ownership of 'bin/tool': Invalid argument",
        "bash: line 1: www: Permission denied",
        "rm: cannot remove 'www': Value too large for defined data type",
        "mknod: node: Operation not permitted",
        "0:65534 2775",
        // A change of owner takes the bit.
        "0:0 711",
        "character special file 1:3 644",
        "block special file 103:11170 600",
    ];
    assert_lines(&seen, &expected);
    // Seen from outside of the namespace the group is the image's.
    let seen = ground.shell(
        Who::User,
        &format!("{MOUNT} stat -c '%u:%g %a' mnt/var/local mnt/www; cat mnt/var/local/sub/file; layerfs umount mnt"),
    );
    assert_lines(&seen, &["0:50 2775", "33:33 644", "sub", "more"]);
    ground.assert_nothing_left();
}

#[test]
fn subordinate_ids_own_files_and_others_are_refused_with_the_kernels_errno() {
    let Some(ground) = with_image() else { return };
    let seen = ground.shell(
        Who::Many,
        &format!(
            "{MOUNT} cd mnt; chown 5:6 www; stat -c '%u:%g' www; chown 70000 www; mkdir -p a/b; chown 33:33 a/b; \
             setpriv --reuid 33 --regid 33 --clear-groups touch a/b/of33; stat -c '%u:%g' a/b/of33; mv dev/null dev/zero; \
             cd ..; layerfs umount mnt; getfattr -R -n user.containers.override_stat upper 2>&1 | grep -vc 'No such'"
        ),
    );
    let first = user::FIRST_SUBORDINATE;
    assert_lines(
        &seen,
        &[
            "5:6",
            "chown: changing ownership of 'www': Invalid argument",
            "33:33",
            "mv: cannot move 'dev/null' to 'dev/zero': Operation not permitted",
            "0",
        ],
    );
    let stat = std::fs::metadata(ground.path().join("upper/a/b/of33")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&stat), first + 32);
    ground.assert_nothing_left();
}

#[test]
fn modes_and_lists_that_shut_their_owner_out_are_kept_and_obeyed() {
    let Some(ground) = with_image() else { return };
    let seen = ground.shell(
        Who::User,
        &format!(
            "{MOUNT} cd mnt/home/me; chmod 0 file; stat -c %a file; cat file; rm file && mkdir -m 0 shut && rmdir shut; \
             echo set >set; chmod 6755 set; stat -c %a set; echo more >>set; stat -c %a set; \
             echo list >list; setfacl -m u::-,u:33:r list; getfacl -cn list; cat list; chmod 604 list; getfacl -cn list; \
             cat list; cd ../../..; {AGAIN} getfacl -cnp mnt/home/me/list; layerfs umount mnt"
        ),
    );
    let list = |owner, mask, effective, other: &str| {
        format!(
            "user::{owner}\nuser:33:r--{effective}\ngroup::r--{effective}\nmask::{mask}\nother::{other}\n"
        )
    };
    let after = list("rw-", "---", "\t\t\t#effective:---", "r--");
    let told = seen.replace("\n\n", "\n").replace("\t", "");
    let expected = format!(
        "0\ncat: file: Permission denied\n6755\n755\n{}cat: list: Permission denied\n{after}list\n{after}",
        list("---", "r--", "", "r--"),
    );
    assert_eq!(told, expected.replace("\t", ""));
    ground.assert_nothing_left();
}

#[test]
fn set_id_bits_go_with_what_is_written_and_are_not_shown_any_more() {
    let Some(ground) = ground() else { return };
    for who in [Who::User, Who::One, Who::Many] {
        let seen = ground.shell(
            who,
            "mkdir lower mnt upper work; echo x >lower/low; chmod 6775 lower/low; \
             layerfs mount -o lowerdir=lower,upperdir=upper,workdir=work mnt; cd mnt; : >low; stat -c %a low; echo x >new; \
             for deed in ': >new' 'echo x >>new' 'truncate -s 9 new' 'chgrp $(id -g) new'; do \
             chmod 6775 new; eval $deed; stat -c %a new; done; cd ..; layerfs umount mnt; rm -r lower mnt upper work",
        );
        assert_lines(&seen, &["775"; 5]);
        ground.assert_nothing_left();
    }
}

#[test]
fn the_record_can_be_neither_seen_nor_forged() {
    let Some(ground) = with_image() else { return };
    let name = "user.containers.override_stat";
    let seen = ground.shell(
        Who::User,
        &format!(
            "{MOUNT} cd mnt/home/me; chmod 0 file; getfattr -d -m - file; chmod 644 file; setfattr -n {name} -v 0:0:4755 file; \
             getfattr -d -m - file; stat -c '%u %a' file; setfattr -x {name} file; getfattr -n {name} file; cd ../../..; \
             layerfs umount mnt"
        ),
    );
    let expected = [
        "# file: file",
        "user.containers.override_stat=\"0:0:4755\"",
        "",
        "54321 644",
        "file: user.containers.override_stat: No such attribute",
    ];
    assert_lines(&seen, &expected);
    ground.assert_nothing_left();
}

#[test]
fn root_takes_no_owner_from_a_record() {
    let Some(ground) = ground() else { return };
    ground
        .prepare("mkdir -p lower upper work mnt; echo x >upper/file; chown 54321 upper upper/file");
    ground.prepare("setfattr -n user.containers.override_stat -v 0:0:0755:dir upper");
    ground.prepare("setfattr -n user.containers.override_stat -v 0:0:4755:file upper/file");
    for words in ["", ",userxattr"] {
        ground.prepare(&format!(
            "$0 mount -o lowerdir=lower,upperdir=upper,workdir=work{words} mnt; stat -c '%u %a' mnt/file >seen; $0 umount mnt"
        ));
        assert_eq!(std::fs::read_to_string(ground.path().join("seen")).unwrap(), "54321 644\n");
    }
}

#[test]
fn a_layer_with_records_is_a_lower_that_shows_what_they_say() {
    let Some(ground) = with_image() else { return };
    let look = "stat -c '%n %F %t:%T %u:%g %a' home home/me/*; readlink home/me/l*; ls -l home/me | cut -c1 | sort -u | tr -d '\\n'; echo;";
    let seen = ground.shell(
        Who::User,
        &format!(
            "layerfs mount -o partial=off --upper upper tree:1 mnt; cd mnt/home/me; for name in roots link null fifo; do mv $name l-$name; done; chmod 0 file; cd ../../..; \
             layerfs umount mnt; mkdir upper2 work2; layerfs mount -o lowerdir=upper,upperdir=upper2,workdir=work2 mnt; \
             cd mnt; {look} getfattr -d -m - home/me/file; mv home/me/l-null home/me/m-null; mv home/me/l-link home/me/ll; \
             rm home/me/l-*; {look} cd ..; layerfs umount mnt; rm -rf upper2 work2"
        ),
    );
    let expected = [
        "home directory 0:0 0:0 755",
        "home/me/file regular file 0:0 54321:54321 0",
        "home/me/l-fifo fifo 0:0 0:6 600",
        "home/me/l-link symbolic link 0:0 7:7 777",
        "home/me/l-null character special file 1:3 0:6 640",
        "home/me/l-roots regular file 0:0 0:42 600",
        "/target",
        "-clpt",
        "home directory 0:0 0:0 755",
        "home/me/file regular file 0:0 54321:54321 0",
        "home/me/ll symbolic link 0:0 7:7 777",
        "home/me/m-null character special file 1:3 0:6 640",
        "/target",
        "-clt",
    ];
    assert_lines(&seen, &expected);
    ground.assert_nothing_left();
}

#[test]
fn a_damaged_record_is_told_and_its_neighbours_are_usable() {
    let Some(ground) = with_image() else { return };
    let seen = ground.shell(
        Who::User,
        &format!(
            "{MOUNT} touch mnt/home/me/bad mnt/home/me/good; layerfs umount mnt; \
             setfattr -n user.containers.override_stat -v 0:0:x upper/home/me/bad; {MOUNT} cat mnt/home/me/bad; \
             stat -c %a mnt/home/me/good; layerfs umount mnt"
        ),
    );
    assert_lines(&seen, &["cat: mnt/home/me/bad: Input/output error", "644"]);
    ground.assert_nothing_left();
}
