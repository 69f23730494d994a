//! Access control lists: kept, inherited and obeyed as by the kernel's overlayfs.

use crate::live::live;
use crate::support::rights;

const UPPER: &str = "lowerdir=base,upperdir=up,workdir=work";

#[test]
fn a_default_acl_of_the_work_directory_reaches_no_copy() {
    rights::need!("setfacl");
    let Some(live) = live() else { return };
    live.shell("chmod 660 base/only; setfacl -d -m u:1234:rwx work");
    // What a mount without this care left in the work directory must not last, either.
    live.shell("mkdir -p work/work work/layerfs/index work/layerfs/orphans");
    live.place.said(&["mount", "-o", UPPER, "mnt"]);
    live.shell("echo more >> mnt/only; touch mnt/d/new; chown 0:5 mnt/both");
    let acls = live.shell("getfacl -Rcs up; getfacl -Rcs work/work work/layerfs");
    assert_eq!(acls, "", "files with more than a mode");
    live.umount();
}
