//! What a user can't have: one line that names it and the cure, and nothing left.

use crate::ground;
use crate::support::need;
use crate::support::user::Who;

const LOWER: &str = "mkdir -p lower mnt; echo one >lower/one;";

/// Who calls, what is done before, how it is called, and what the one line ends or goes on with.
const ROWS: [(Who, &str, &str, &str); 10] = [
    (
        Who::User,
        ":",
        "layerfs mount -o lowerdir=lower,dev mnt",
        "option `dev`: mounts of users who are not root are",
    ),
    (
        Who::User,
        ":",
        "layerfs mount -o lowerdir=lower,suid mnt",
        "option `suid`: mounts of users who are not root are",
    ),
    (
        Who::User,
        ":",
        "layerfs mount -o lowerdir=lower,allow_other mnt",
        "option `allow_other`: /etc/fuse.conf has no line `user_allow_other`; leave the option out",
    ),
    (
        Who::User,
        ":",
        "layerfs mount -o lowerdir=lower /etc",
        "user has no write access to mountpoint /etc",
    ),
    (
        Who::User,
        "layerfs=$(command -v layerfs)",
        "PATH=/none $layerfs mount -o lowerdir=lower mnt",
        "fusermount3, which mounts for users who are not root, is not in PATH; install it (`apt-get install fuse3`",
    ),
    (
        Who::User,
        "cp $(command -v fusermount3) fusermount3",
        "PATH=$PWD:$PATH layerfs mount -o lowerdir=lower mnt",
        "fusermount3: it has no set-uid bit of root's, and mounts for nobody",
    ),
    (
        Who::User,
        ":",
        "setpriv --no-new-privs layerfs mount -o lowerdir=lower mnt",
        "this process was started with no_new_privs, under which no set-uid program works",
    ),
    (
        Who::Mountless,
        ":",
        "layerfs mount -o lowerdir=lower mnt",
        "the mounts here belong to another user namespace: have mounts of your own, with `unshare -Urm`",
    ),
    (Who::One, ":", "layerfs run --rm x true", "root of a user namespace runs no containers; run"),
    (Who::Many, ":", "layerfs run --rm x true", "root of a user namespace runs no containers; run"),
];

#[test]
fn what_users_can_not_mount_is_one_line_with_its_cure_and_leaves_nothing() {
    let Some(ground) = ground() else { return };
    for (who, before, call, expected) in ROWS {
        let seen = ground
            .shell(who, &format!("{LOWER} {before}; {call}; echo $?; ls mnt; rm -f fusermount3"));
        let [line, status] = seen.lines().collect::<Vec<_>>()[..] else { panic!("{call}: {seen}") };
        assert!(line.starts_with("layerfs: ") && line.contains(expected), "{call}: {line}");
        assert!(["1", "125"].contains(&status), "{call}: {status}");
        ground.assert_nothing_left();
    }
}

#[test]
fn a_device_that_can_not_be_opened_is_told_with_the_cure() {
    let Some(ground) = ground() else { return };
    // Of root's namespace's own device, in a namespace of one id.
    let seen = ground.shell(
        Who::One,
        &format!(
            "{LOWER} mount --bind /dev/null /dev/fuse; layerfs mount -o lowerdir=lower mnt; echo $?"
        ),
    );
    assert!(seen.contains("layerfs: ") && seen.ends_with("\n1\n"), "{seen}");
    let seen = ground.shell(
        Who::User,
        &format!(
            "{LOWER} layerfs check | grep -E '^(ok|limited) +(rights|/dev/fuse|trusted)' | wc -l"
        ),
    );
    assert_eq!(seen, "3\n");
}

/// Devices are there and can't be opened; attributes of the trusted are neither set nor seen; capabilities are root's to
/// give, of a namespace too.
#[test]
fn devices_trusted_attributes_and_capabilities_are_refused_with_the_kernels_errno() {
    need!("setfattr", "setcap");
    let Some(ground) = ground() else { return };
    ground.prepare(
        "mkdir lower; mknod -m 666 lower/null c 1 3; cp /bin/true lower/own; cp /bin/true lower/capped
        chown -R 54321:54321 .; chown 0:0 lower/null; setcap cap_net_raw+ep lower/capped
        setfattr -n trusted.low -v y lower/own",
    );
    let none = "Operation not permitted";
    for who in [Who::User, Who::One, Who::Many] {
        let seen = ground.shell(
            who,
            "export LC_ALL=C; mkdir upper work mnt; layerfs mount -o lowerdir=lower,upperdir=upper,workdir=work mnt
             : <mnt/null; : >mnt/null; mknod mnt/x c 1 3; mknod mnt/x b 7 0; mknod mnt/x c 0 0
             setfattr -n trusted.x -v y mnt/own; setfattr -x trusted.low mnt/own; getfattr -n trusted.low mnt/own
             getfattr -d -m trusted mnt/own; setfattr -n security.x -v y mnt/own
             setcap cap_net_raw+ep mnt/own 2>said; getcap mnt/own; getcap mnt/capped; chmod 711 mnt/capped; mv mnt/capped mnt/moved
             getcap mnt/moved; ls mnt; layerfs umount mnt; rm -rf upper work mnt said",
        );
        let seen: Vec<&str> =
            seen.lines().map(|line| line.rsplit(": ").next().unwrap_or_default()).collect();
        let refused = ["Permission denied", "Permission denied", none, none, none, none, none];
        let absent = ["No such attribute", none];
        let capped = match who {
            // A copy without them would be another program.
            Who::User => &[
                "mnt/capped cap_net_raw=ep",
                none,
                none,
                "mnt/moved (No such file or directory)",
                "capped",
            ][..],
            _ => &[
                "mnt/own cap_net_raw=ep",
                "mnt/capped cap_net_raw=ep",
                "mnt/moved cap_net_raw=ep",
                "moved",
            ],
        };
        let expected = [&refused[..], &absent, capped, &["null", "own"]].concat();
        assert_eq!(seen, expected, "{who:?}");
        ground.assert_nothing_left();
    }
}
