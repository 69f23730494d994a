//! The process that serves a mount: how it begins, what it keeps of its caller, how it ends.

use crate::live::live;
use crate::place::finished;

const CHANGED: [&str; 4] = ["mount", "-o", "lowerdir=base,upperdir=up,workdir=work", "mnt"];

#[test]
fn what_is_logged_before_the_mount_is_usable_does_not_stop_it() {
    let Some(live) = live() else { return };
    live.place.pull_small("small");
    for words in [&CHANGED[..], &["mount", "small:1", "mnt"]] {
        let mut by_option = live.place.command(&["--log-level=debug"]);
        let mut by_variable = live.place.command(words);
        for command in [by_variable.env("LAYERFS_LOG", "trace"), by_option.args(words)] {
            let run = finished(command);
            assert_eq!((run.status, &*run.stdout), (Some(0), ""), "{run:?}");
            assert!(run.stderr.contains("layerfs: debug: mounted at "), "the server's: {run:?}");
            assert!(!live.place.join("mnt/in").exists());
            live.umount();
        }
    }
    let mut refused = live.place.command(&["mount", "-o", "lowerdir=base,upperdir=up", "mnt"]);
    assert_eq!(finished(refused.env("LAYERFS_LOG", "trace")).status, Some(1));
    live.assert_nothing_left();
}
