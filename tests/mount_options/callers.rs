//! Requests whose answer depends on who asks.

use crate::live::live;
use crate::support::rights;

const NOBODY: &str = "setpriv --reuid 65534 --regid 65534 --clear-groups";

#[test]
fn attributes_of_the_trusted_are_listed_for_root_alone() {
    rights::need!("setpriv", "setfattr");
    let Some(live) = live() else { return };
    live.shell("chmod 711 .; setfattr -n trusted.lower -v 1 base/only");
    live.place.said(&["mount", "-o", "lowerdir=base,upperdir=up,workdir=work", "mnt"]);
    live.shell("setfattr -n trusted.upper -v 1 mnt/both; setfattr -n user.mine -v 1 mnt/both");
    let listed = |who: &str| live.shell(&format!("cd mnt; {who} getfattr -m - only both"));
    let of = |file: &str, names: &str| format!("# file: {file}\n{names}\n");
    assert_eq!(listed(NOBODY), of("both", "user.mine\n"));
    let all = of("only", "trusted.lower\n") + &of("both", "trusted.upper\nuser.mine\n");
    assert_eq!(listed(""), all);
    // Who may administrate the machine is told by no user's number.
    let capable = format!("{NOBODY} --inh-caps +sys_admin --ambient-caps +sys_admin");
    assert_eq!(listed(&capable), all);
    assert_eq!(listed("setpriv --bounding-set -sys_admin"), of("both", "user.mine\n"));
    live.umount();
}

/// Root of a user namespace has no `trusted.*` attributes. It has the mounts of the other tests: a namespace of its own would
/// make them busy.
#[test]
fn check_says_what_a_user_namespace_can_not() {
    rights::need!("unshare");
    let Some(live) = live() else { return };
    let told = live.shell(&format!(
        "export LAYERFS_ROOT=$PWD/store; unshare -Ur {} check | grep trusted",
        env!("CARGO_BIN_EXE_layerfs")
    ));
    assert!(told.starts_with("ok ") && told.contains("not needed: marks are user.*"), "{told}");
}

#[test]
fn set_id_bits_that_emptying_a_file_takes_are_not_shown_any_more() {
    rights::need!("setpriv");
    let Some(live) = live() else { return };
    live.shell("chmod 711 .; cp base/only base/copied; cp base/only up/own");
    live.shell("chown 65534:65534 base/copied up/own; chmod 6755 base/copied up/own");
    live.place.said(&["mount", "-o", "lowerdir=base,upperdir=up,workdir=work", "mnt"]);
    for name in ["copied", "own"] {
        // Only the mode is asked for: for anything else the kernel would ask again by itself.
        let mode = || live.shell(&format!("stat -c %A mnt/{name}"));
        assert_eq!(mode(), "-rwsr-sr-x\n");
        live.shell(&format!("{NOBODY} sh -c ': > mnt/{name}'"));
        assert_eq!(mode(), "-rwxr-xr-x\n", "{name}");
        live.shell(&format!("chmod 6755 mnt/{name}; : > mnt/{name}"));
        assert_eq!(mode(), "-rwsr-sr-x\n", "root keeps them: {name}");
    }
    live.umount();
}
