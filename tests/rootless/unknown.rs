//! Lower objects of owners that the namespace does not know, beside those of the namespace's own user of the number by which
//! the others are seen; and beside the kernel's overlayfs.

use crate::ground;
use crate::support::user::{FIRST_SUBORDINATE, Who};

/// Of root of the machine; of a group that the namespace does not know; its own in a directory of root's.
const UNKNOWN: &str = "file wide shut group open theirs/link theirs/own bin conf";
/// Of the namespace's own 65534; below, of the namespace's others.
const KNOWN: &str = "nobody nowide nolink nopipe nogroup nodir/deep nodir own";

const LOWERS: &str = "mkdir -p low/{theirs,open,nodir} host; ln -s x low/theirs/link; ln -s x low/nolink; ln -s x host/bin
    for file in low/{file,wide,shut,group,nobody,nowide,nogroup,nodir/deep,own} host/conf; do echo old >$file; done; echo own >low/theirs/own
    mkfifo low/nopipe; chown -R 54321:54321 .; chown -hR 0:0 low/{file,wide,shut,open,theirs} host
    chown 54321:54321 low/theirs/own; chown -hR NOBODY:NOBODY low/{nobody,nowide,nolink,nopipe,nodir}; chown 300000:0 low/group; chown 54321:NOBODY low/nogroup
    chmod 666 low/{wide,nowide,nopipe} host/conf; chmod 600 low/shut; chmod 777 low/open";

/// Makes each change of each object: a line of what was done of it.
const CHANGES: &str = r#"cd mnt; deed() { "$@" >/dev/null 2>&1 && echo -n " $1"; }
    for name in $NAMES; do echo -n "$name $(stat -c %u:%g $name):"
    [ -h $name ] || deed chmod u+x $name; [ ! -f $name -o -h $name ] || deed truncate -s 1 $name; deed chown -h 0:0 $name
    [ -d $name ] || deed ln $name linked; deed mv -T $name moved; [ -h $name ] || deed chmod u-x moved; echo; rm -rf moved linked; done; cd .."#;

fn changed(ground: &crate::Ground, mount: &str, names: &str) -> String {
    ground.shell(
        Who::Many,
        &format!(
            "mkdir upper work mnt; {mount} || exit; NAMES='{names}'; {CHANGES}; umount mnt
             find upper -mindepth 1 ! -type c ! -type d; rm -rf upper work; rmdir mnt"
        ),
    )
}

#[test]
fn what_a_namespace_with_subordinate_ids_does_not_know_is_not_changed_and_its_own_65534_is() {
    let Some(ground) = ground() else { return };
    let nobody = FIRST_SUBORDINATE + 65_533;
    ground.prepare(&LOWERS.replace("NOBODY", &nobody.to_string()));
    let ours = "layerfs mount -o lowerdir=low:host,upperdir=upper,workdir=work mnt";
    let seen = changed(&ground, ours, UNKNOWN);
    let none = UNKNOWN.split(' ').map(|name| match name {
        "group" => "group 1:65534:\n".to_owned(),
        "theirs/own" => "theirs/own 0:0:\n".to_owned(),
        name => format!("{name} 65534:65534:\n"),
    });
    let none: String = none.collect();
    assert_eq!(seen, none, "and nothing is left in the upper");
    let seen = changed(&ground, ours, KNOWN);
    let all = "\
        nobody 65534:65534: chmod truncate chown ln mv chmod\n\
        nowide 65534:65534: chmod truncate chown ln mv chmod\n\
        nolink 65534:65534: chown ln mv\n\
        nopipe 65534:65534: chmod chown ln mv chmod\n\
        nogroup 0:65534: chmod truncate chown ln mv chmod\n\
        nodir/deep 65534:65534: chmod truncate chown ln mv chmod\n\
        nodir 65534:65534: chmod chown mv chmod\n\
        own 0:0: chmod truncate chown ln mv chmod\n";
    assert_eq!(seen, all);
    // The kernel renames no directory of the lower without redirects, and mv(1) makes one of its own.
    let theirs =
        "mount -t overlay -o userxattr,lowerdir=low:host,upperdir=upper,workdir=work none mnt";
    let moved = none.replace("open 65534:65534:\n", "open 65534:65534: mv chmod\n");
    assert_eq!(changed(&ground, theirs, UNKNOWN), moved);
    assert_eq!(changed(&ground, theirs, KNOWN), all);
    ground.assert_nothing_left();
}
