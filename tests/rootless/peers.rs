//! Uppers that fuse-overlayfs wrote in a user namespace, random changes each, shown by us as it shows them when it is mounted
//! anew. Of files of several names it shows what one of them was: there are none.

use std::path::Path;

use crate::ground;
use crate::support::user::Who;
use crate::support::{need, soak, suites};

const CHANGES: &str = include_str!("changes.py");

const LOWER: &str = "mkdir -p lower/{a,b,low}/{low,b}; ln -s x lower/b/a
    for f in lower/{a,b,low}/{c,low/c,b/low} lower/c; do echo $f >$f; done; chown -R 54321:54321 .";

/// For each seed what fuse-overlayfs shows, and what we do.
const TURNS: &str = "theirs() { ./fuse-overlayfs -f -o lowerdir=lower,upperdir=upper,workdir=work mnt >said 2>&1 &
        until mountpoint -q mnt; do kill -0 $! || { cat said; exit 1; }; done; python3 changes.py mnt $1; fusermount3 -u mnt; wait $!; }
    for seed in $(seq 1 $SEEDS); do mkdir upper work mnt; theirs $seed >/dev/null; theirs 0 >theirs
        layerfs mount -o lowerdir=lower,upperdir=upper,workdir=work mnt; python3 changes.py mnt 0 >ours; layerfs umount mnt
        test -s theirs && diff theirs ours && echo same; rm -rf upper work mnt; done";

fn are_read(program: &Path) {
    need!("python3", "mountpoint");
    let Some(ground) = ground() else { return };
    std::fs::copy(program, ground.path().join("fuse-overlayfs")).unwrap();
    std::fs::write(ground.path().join("changes.py"), CHANGES).unwrap();
    ground.prepare(LOWER);
    let seeds = if soak() { 8 } else { 2 };
    for who in [Who::One, Who::Many] {
        let seen = ground.shell(who, &TURNS.replace("$SEEDS", &seeds.to_string()));
        assert_eq!(seen, "same\n".repeat(seeds), "{who:?}");
        ground.assert_nothing_left();
    }
}

#[test]
fn what_fuse_overlayfs_wrote_in_a_namespace_is_read() {
    need!("fuse-overlayfs");
    are_read(Path::new("/usr/bin/fuse-overlayfs"));
}

#[test]
fn what_fuse_overlayfs_2_wrote_in_a_namespace_is_read() {
    let Some(program) = suites::fuse_overlayfs() else { return };
    are_read(&program);
}
