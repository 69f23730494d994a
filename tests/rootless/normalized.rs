//! `layerfs upper normalize` for users who are not root, and for root with what they wrote.

use crate::support::need;
use crate::support::user::{FIRST_SUBORDINATE, Who};
use crate::{Ground, ground};

/// What a mount shows to anybody: names, types, modes, sizes, link targets and contents.
const SHOW: &str = "show() { (cd $1; find . -mindepth 1 ! -type d -printf '%P %y %m %s %n %l\\n' -o -type d -printf '%P d %m\\n' | sort; \
    find . -type f | sort | xargs sha256sum) }";

const CHANGE: &str = "mkdir -p lower/tree/deep upper work mnt kwork; for f in tree/a tree/deep/b only both; do echo $f >lower/$f; done; \
    ln lower/tree/a lower/linked; chmod 444 lower/both; \
    layerfs mount -o lowerdir=lower,upperdir=upper,workdir=work,whiteout=FORM mnt; cd mnt; mv tree moved; rm only moved/deep/b; \
    echo more >>moved/a; chmod 640 both; mkdir tree; ln -s x tree/link; cd ..; show mnt >before; layerfs umount mnt;";

const NORMALIZE: &str = "layerfs upper normalize --work work -o lowerdir=lower upper";

const MARKS: &str = "getfattr -Rhd -m 'layerfs|redirect|metacopy|whiteout' upper; ls -A work/work/incompat 2>/dev/null";

/// What the kernel shows of the upper with `userxattr`, which follows no redirects.
fn is_shown_by_the_kernel(ground: &Ground) {
    ground.prepare(&format!(
        "{SHOW}; unshare -m bash -euc '{}; mount -t overlay none -o userxattr,lowerdir=lower,upperdir=upper,workdir=kwork mnt; \
         show mnt >kernel'; diff before kernel >&2",
        SHOW.replace('\'', "'\\''")
    ));
}

#[test]
fn a_user_makes_plain_what_that_user_changed() {
    need!("getfattr", "setfattr");
    let Some(ground) = ground() else { return };
    for (who, form) in [(Who::User, "xattr"), (Who::One, "wh"), (Who::Many, "device")] {
        let change = CHANGE.replace("FORM", form);
        let again = "layerfs mount -o lowerdir=lower,upperdir=upper,workdir=work mnt; show mnt | diff before -; layerfs umount mnt;";
        let seen = ground.shell(
            who,
            &format!("{SHOW}; {change} {NORMALIZE}; echo $?; {MARKS}; {again} {NORMALIZE}; echo $?; {MARKS}"),
        );
        assert_eq!(seen, "0\n0\n", "{who:?}, {form}");
        is_shown_by_the_kernel(&ground);
        ground.prepare("chmod -R u+rwX .; rm -r lower upper work kwork mnt before kernel");
        ground.assert_nothing_left();
    }
}

/// A directory that was renamed is copied whole. What lies in it and belongs to somebody whom the namespace does not know looks
/// as if it were the namespace's 65534's, and its copy would be.
#[test]
fn what_a_namespace_does_not_know_is_not_copied_as_its_own_when_an_upper_is_made_plain() {
    let Some(ground) = ground() else { return };
    let nobody = FIRST_SUBORDINATE + 65_533;
    ground.prepare(&format!(
        "mkdir -p lower/tree upper work mnt; for f in own nobody unknown; do echo $f >lower/tree/$f; done; chown -R 54321:54321 .; \
         chown {nobody}:{nobody} lower/tree/nobody; chown 0:0 lower/tree/unknown"
    ));
    let mount = "layerfs mount -o lowerdir=lower,upperdir=upper,workdir=work mnt";
    let seen = ground.shell(
        Who::Many,
        &format!("{mount}; mv mnt/tree mnt/moved; layerfs umount mnt; {NORMALIZE}; echo $?; ls -A upper/moved"),
    );
    let told = "layerfs: upper directory `upper`: `moved/unknown`: give an object its owner: fchownat(its owner or group is \
                none that this user namespace knows): ";
    assert!(seen.starts_with(told) && seen.contains("\n1\n"), "{seen}");
    assert!(!seen.ends_with("unknown\n"), "no copy of it is made: {seen}");
    // What was begun is shown as it was, and ends where there is no such file any more.
    let seen =
        ground.shell(Who::Many, &format!("{mount}; cat mnt/moved/unknown; layerfs umount mnt"));
    assert_eq!(seen, "unknown\n");
    ground.prepare("rm lower/tree/unknown");
    let seen = ground.shell(
        Who::Many,
        &format!("{NORMALIZE}; echo $?; cd upper/moved; stat -c '%n %u:%g' *; cd ../..; rm -r upper work mnt"),
    );
    assert_eq!(seen, "0\nnobody 65534:65534\nown 0:0\n");
    ground.prepare("chown -R 54321:54321 lower; rm -r lower");
    ground.assert_nothing_left();
}

#[test]
fn root_follows_no_redirect_of_a_users_and_tells_who_can() {
    need!("getfattr", "setfattr");
    let Some(ground) = ground() else { return };
    ground.shell(Who::User, &format!("{SHOW}; {}", CHANGE.replace("FORM", "device")));
    // As the test's own root, with no marks but those that are there.
    let refused = |options: &str, why: &str| {
        ground.prepare(&format!(
            "find upper -printf '%P %y %T@\\n' | sort >was; getfattr -Rhd -m - upper >>was; \
             ! $0 upper normalize --work work -o {options} upper 2>told; grep -qF -e '{why}' told || {{ cat told >&2; false; }}; \
             (find upper -printf '%P %y %T@\\n' | sort; getfattr -Rhd -m - upper) | diff was - >&2; rm told was"
        ));
    };
    refused("lowerdir=lower", "its marks are `user.overlay.*` attributes: call as the user");
    refused("lowerdir=lower,userxattr", "which root does not follow");
    refused("lowerdir=lower,userxattr", "call as the user who mounted it");
    let seen = ground.shell(Who::User, &format!("{NORMALIZE}; echo $?; {MARKS}"));
    assert_eq!(seen, "0\n");
    // One that is plain, and says no more than that in this namespace of marks.
    refused("lowerdir=lower", "its marks are `user.overlay.*` attributes");
    ground.prepare("$0 upper normalize --work work -o lowerdir=lower,userxattr upper");
    is_shown_by_the_kernel(&ground);
    ground.assert_nothing_left();
}

#[test]
fn an_image_that_a_user_changed_and_made_plain_is_told_and_committed_by_its_name() {
    need!("getfattr");
    let Some(ground) = ground() else { return };
    ground.prepare(
        "mkdir -p tree/bin mnt again; echo tool >tree/bin/tool; chmod 4755 tree/bin/tool; echo low >tree/low; chown 0:42 tree/low; \
         $0 --root share/layerfs import tree tree:1 >said; chown -R 54321:54321 share said mnt again; rm -rf tree said",
    );
    for who in [Who::One, Who::Many] {
        let seen = ground.shell(
            who,
            "look() { (cd $1; find . -mindepth 1 -printf '%P %y %m %U:%G\\n' | sort; cat tools/tool) }
             layerfs mount --upper upper tree:1 mnt; mv mnt/bin mnt/tools; mkdir mnt/bin; echo new >mnt/new
             look mnt >before; layerfs umount mnt
             layerfs diff upper >told; layerfs upper normalize --image tree:1 upper; echo $?
             layerfs diff upper 2>&1 | grep -c -e '--image says it'; layerfs diff --image tree:1 upper | diff told -
             cp -a upper plain; layerfs commit -q --image tree:1 upper new:1 >id
             layerfs mount --read-only new:1 again; look again | diff before -
             layerfs mount --upper upper tree:1 mnt; look mnt | diff before -; layerfs diff upper | diff told -
             layerfs umount mnt again; cat told",
        );
        // Root finds whose marks they are, though the upper's root does not say it any more.
        ground.prepare(
            "chown -R 0:0 share; $0 --root share/layerfs diff --image tree:1 plain | diff told - >&2; \
             chown -R 54321:54321 share; rm -rf upper upper.work plain before told id",
        );
        assert_eq!(seen, "0\n1\nC /bin\nD /bin/tool\nA /new\nA /tools\nA /tools/tool\n", "{who:?}");
        ground.assert_nothing_left();
    }
}
