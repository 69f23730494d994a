//! Uppers on a file system that keeps no attributes, and so no marks: ramfs.

use crate::live::{Live, live};
use crate::support::rights;

const UPPER: &str = "lowerdir=base,upperdir=ram/up,workdir=ram/work";

fn on_ramfs() -> Option<Live> {
    rights::have(&["setfattr", "setfacl"]).then_some(())?;
    let live = live()?;
    live.shell(
        "mkdir ram kernel; mount -t ramfs none ram; mkdir ram/{up,work,kup,kwork}
        mkdir base/e; for f in e/{1,2,3} one; do echo $f > base/$f; done; ln base/one base/two
        setfattr -n user.x -v y base/only",
    );
    Some(live)
}

#[test]
fn an_upper_without_attributes_takes_what_kernel_overlayfs_takes_there() {
    let Some(live) = on_ramfs() else { return };
    live.place.said(&["mount", "-o", UPPER, "mnt"]);
    live.shell(
        "mount -t overlay overlay -o lowerdir=base,upperdir=ram/kup,workdir=ram/kwork kernel",
    );
    let script = "export LC_ALL=C; { ino=$(stat -c %i only e/1)
        echo more >> only; cat only; chmod 600 both; chown 1:2 e/1; rm e/2; ls e
        touch new; mkdir made; mv made moved; mv new newer; ln -s x link; echo > e/3; rm e/3; ls . e
        setfacl -m u:1:r only; getfacl -cpE only; getfattr -n system.posix_acl_access only
        [ \"$(stat -c %i only e/1)\" = \"$ino\" ] && echo 'the numbers stay'
        python3 -c 'import os; os.rename(\"e\", \"f\")'
        ls; touch e; ls; } 2>&1 | grep -v '^  File\\|^Trace'";
    let [ours, theirs] = ["mnt", "kernel"].map(|at| live.shell(&format!("cd {at}; {script}")));
    assert!(ours.contains("the numbers stay"), "{ours}");
    assert_eq!(ours, theirs);
    // What hides a lower directory needs a mark; removing one does not.
    let again = "mkdir mnt/f; rmdir mnt/d; LC_ALL=C mkdir mnt/d 2>&1 | grep -c 'put/output error'; rmdir kernel/d";
    assert_eq!(live.shell(&format!("{again}; rmdir mnt/f; ls mnt | grep -cx d")), "1\n0\n");
    let both = "for m in mnt kernel; do (cd $m; ls -R; cat only; stat -c '%a %u:%g' both); done";
    let before = live.shell(both);
    live.shell("umount kernel");
    live.umount();
    live.place.said(&["mount", "-o", UPPER, "mnt"]);
    live.shell(
        "mount -t overlay overlay -o lowerdir=base,upperdir=ram/kup,workdir=ram/kwork kernel",
    );
    assert_eq!(live.shell(both), before, "what was done stays done");
    live.shell("umount kernel");
    live.umount();
    // The process that served the mount may still be ending.
    live.shell("umount -l ram");
}

#[test]
fn hard_links_hold_for_the_mount_where_no_attributes_are_kept() {
    let Some(live) = on_ramfs() else { return };
    live.place.said(&["mount", "-o", UPPER, "mnt"]);
    live.shell("echo more >> mnt/one; ln mnt/two mnt/three; rm mnt/one");
    let seen = "cat mnt/two; stat -c %h mnt/two mnt/three; [ mnt/two -ef mnt/three ] && echo one";
    assert_eq!(live.shell(seen), "one\nmore\n2\n2\none\n");
    // New objects may get numbers that objects had which are gone.
    live.shell("echo x >> mnt/only; rm mnt/only mnt/both; echo 1 > mnt/only; cat mnt/only");
    live.umount();
    // The kernel without an index has them broken at once.
    live.place.said(&["mount", "-o", UPPER, "mnt"]);
    assert_eq!(live.shell("ls mnt; cat mnt/three"), "d\ne\nonly\nthree\ntwo\none\nmore\n");
    assert_eq!(live.shell("ls ram/work/layerfs/index"), "", "what nothing leads to is not kept");
    live.umount();
    // The process that served the mount may still be ending.
    live.shell("umount -l ram");
}
