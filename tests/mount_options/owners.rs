//! Mounts that show other owners than their layers hold.

use std::process::Command;

use crate::live::{Live, live, live_on_disk};
use crate::place::finished;
use crate::support::need;

const MAPPED: &str = "uidmapping=:0:100000:1001,gidmapping=0:200000:1001";

/// What a script says and complains of, in a mount with these options.
fn says(live: &Live, options: &str, script: &str) -> String {
    live.place.said(&["mount", "-o", &format!("upperdir=up,workdir=work,{options}"), "mnt"]);
    let said = live.shell(&format!("exec 2>&1; {script}"));
    live.umount();
    said
}

/// Runs the rest as another user, with its own group only.
fn by(uid: u32, gid: u32) -> String {
    format!("setpriv --reuid {uid} --regid {gid} --clear-groups")
}

#[test]
fn who_makes_and_owns_is_stored_as_the_layers_have_it() {
    let Some(live) = live() else { return };
    live.shell("chmod 755 .; chown 1000:1000 base/d base/only; chmod 2775 base/d");
    let user = by(101_000, 201_000);
    let script = format!(
        "{user} touch mnt/d/new; {user} mkdir mnt/d/dir; {user} ln -s x mnt/d/link; {user} mkfifo mnt/d/fifo
        {user} chmod 600 mnt/only; chown 100003:200004 mnt/d/new; chown -h 0:0 mnt/d/link
        for side in mnt up; do stat -c '%n %u:%g' $side/d $side/only $side/d/*; done"
    );
    let said = says(&live, &format!("lowerdir=base,{MAPPED}"), &script);
    let expected = "mnt/d 101000:201000\nmnt/only 101000:201000\nmnt/d/dir 101000:201000\nmnt/d/fifo 101000:201000\n\
        mnt/d/link 100000:200000\nmnt/d/new 100003:200004\nup/d 1000:1000\nup/only 1000:1000\nup/d/dir 1000:1000\n\
        up/d/fifo 1000:1000\nup/d/link 0:0\nup/d/new 3:4\n";
    assert_eq!(said, expected);
    live.assert_nothing_left();
}

#[test]
fn who_has_no_id_on_the_other_side_makes_and_gets_nothing() {
    let Some(live) = live() else { return };
    live.shell(
        "chmod 755 .; chmod 777 up; echo x > base/far; chown 2000:0 base/far; chmod 666 base/far",
    );
    let (stranger, nobody) = (by(5, 5), by(65_534, 65_534));
    let script = format!(
        "{stranger} touch mnt/new; chown 7 mnt/only; chgrp 200000 mnt/only && echo group; chown 0:0 mnt/only && echo root
        stat -c %u:%g mnt/far; {nobody} chmod 600 mnt/far; chmod 600 mnt/far; cat mnt/far
        ls up; stat -c %u:%g up/only"
    );
    let said = says(&live, &format!("lowerdir=base,{MAPPED}"), &script);
    let expected = "touch: cannot touch 'mnt/new': Value too large for defined data type\n\
        chown: changing ownership of 'mnt/only': Value too large for defined data type\ngroup\nroot\n65534:200000\n\
        chmod: changing permissions of 'mnt/far': Value too large for defined data type\n\
        chmod: changing permissions of 'mnt/far': Value too large for defined data type\nx\nonly\n0:0\n";
    assert_eq!(said, expected);
    live.assert_nothing_left();
}

#[test]
fn lists_and_capabilities_name_who_is_meant() {
    let Some(live) = live_on_disk() else { return };
    need!("setfacl", "setcap", "getcap");
    live.shell(
        "setfacl -m u:7:r,g:8:w base/only; cp /bin/true base/able; setcap cap_net_raw+ep base/able",
    );
    let script = "getfacl -cnE mnt/only | grep :.; getcap -n mnt/able
        setfacl -m u:100009:rw mnt/only; getfacl -cnE up/only | grep user:.; setfacl -m u:9:rw mnt/only
        touch mnt/able; getcap -n up/able; setcap cap_net_raw+i mnt/able; getcap -n mnt/able up/able";
    let said = says(&live, &format!("lowerdir=base,{MAPPED}"), script);
    let expected = "user::rw-\nuser:100007:r--\ngroup::r--\ngroup:200008:-w-\nmask::rw-\nother::r--\n\
        mnt/able cap_net_raw=ep [rootid=100000]\nuser::rw-\nuser:7:r--\nuser:9:rw-\nsetfacl: mnt/only: Value too large for defined data type\nup/able cap_net_raw=ep\n\
        mnt/able cap_net_raw=i [rootid=100000]\nup/able cap_net_raw=i\n";
    assert_eq!(said, expected);
    live.assert_nothing_left();
}

#[test]
fn a_list_that_names_someone_from_elsewhere_holds_for_all_others() {
    let Some(live) = live_on_disk() else { return };
    need!("setfacl");
    live.shell("chmod 755 .; setfacl -m u:7:r,u:2000:rw base/only; chmod o= base/only");
    let read = |uid| format!("{} cat mnt/only; ", by(uid, 65_000));
    let script = format!(
        "{}{}{}getfacl -cnE mnt/only | grep user:; echo x >> mnt/only; getfacl -cnE up/only | grep user:",
        read(100_007),
        read(2000),
        read(65_534)
    );
    let said = says(&live, &format!("lowerdir=base,{MAPPED}"), &script);
    let denied = "cat: mnt/only: Permission denied\n";
    let expected = "onlyDENIEDDENIEDuser::rw-\nuser:100007:r--\n\
        user::rw-\nuser:7:r--\nuser:2000:rw-\n"
        .replace("DENIED", denied);
    assert_eq!(said, expected);
    live.assert_nothing_left();
}

/// As podman gives its mount program layers that are mapped, and the mapping too.
#[test]
fn a_lower_directory_on_an_id_mapped_mount_is_not_mapped_twice() {
    let Some(live) = live_on_disk() else { return };
    need!("python3", "setfacl", "setcap");
    live.shell(
        "mkdir bind; chown 1000:1000 base/only; setfacl -m u:7:r base/only; cp /bin/true base/able
        setcap cap_net_raw+ep base/able; echo top > top/top; chown 5:6 top/top",
    );
    let mut map = Command::new("python3");
    map.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mount_options/idmapped.py"));
    map.args(["base", "bind", "0 100000 1001", "0 200000 1001"]).current_dir(live.place.join(""));
    let mapped = finished(&mut map);
    assert_eq!((mapped.status, &*mapped.stderr), (Some(0), ""));
    assert_eq!(live.shell("stat -c %u:%g bind/only"), "101000:201000\n");
    let script = "stat -c %u:%g mnt mnt/only mnt/top mnt/d; getfacl -cnE mnt/only | grep user:.; getcap -n mnt/able
        echo x >> mnt/only; touch mnt/able mnt/d/new
        stat -c %u:%g up/only up/d/new; getfacl -cnE up/only | grep user:.; getcap -n up/able; stat -c %u:%g mnt/only";
    // The mount of the layer goes when the union is mounted, as podman does it.
    let options = format!("lowerdir=top:bind,upperdir=up,workdir=work,{MAPPED}");
    live.place.said(&["mount", "-o", &options, "mnt"]);
    live.shell("umount bind");
    let said = live.shell(&format!("exec 2>&1; {script}"));
    live.umount();
    let expected = "100000:200000\n101000:201000\n100005:200006\n100000:200000\nuser::rw-\nuser:100007:r--\n\
        mnt/able cap_net_raw=ep [rootid=100000]\n1000:1000\n0:0\nuser::rw-\nuser:7:r--\nup/able cap_net_raw=ep\n101000:201000\n";
    assert_eq!(said, expected);
    live.assert_nothing_left();
}
