//! `layerfs umount --all`. Apart from other tests: a mount namespace, while it is made, shares their mounts, and theirs
//! are busy for that moment.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that can't go on says so and stops")]

mod support;

#[allow(dead_code, reason = "the images of other tests")]
#[path = "cli/layout.rs"]
mod layout;
#[allow(dead_code, reason = "what other tests ask of a mount")]
#[path = "mount_options/live.rs"]
mod live;
#[allow(dead_code, reason = "what other tests ask of the command")]
#[path = "cli/place.rs"]
mod place;

use std::process::Command;

use live::live;
use place::finished;
use support::rights;

/// In a mount namespace of its own, since it speaks of all mounts that there are.
#[test]
fn umount_all_takes_every_mount_away_and_no_other() {
    let Some(live) = live() else { return };
    if !rights::have(&["unshare"]) {
        return;
    }
    let script = "umount -aqt fuse.layerfs; \"$0\" mount -o lowerdir=base mnt && \
                  \"$0\" mount -o lowerdir=top mnt/d && mount -t tmpfs none up && \
                  \"$0\" umount --all && ! grep -q fuse.layerfs /proc/self/mountinfo && \
                  grep -q \"$PWD/up\" /proc/self/mountinfo && \"$0\" mount --json";
    std::fs::create_dir_all(live.place.join("base/d")).unwrap();
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_layerfs")]);
    let at = live.place.join("mnt");
    let expected = format!("{0}/d\n{0}\n[]", at.display());
    let run = finished(command.current_dir(live.place.join("")));
    assert_eq!((run.status, run.stdout.trim(), &*run.stderr), (Some(0), &*expected, ""));
    live.assert_nothing_left();
}
