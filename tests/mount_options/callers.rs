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
    live.umount();
}
