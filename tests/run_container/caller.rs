//! Who calls `layerfs run`, and what of the caller a container does not get: its rights, its keys, its open files.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::place::{Place, ran};
use crate::support::{Scratch, need_root};

/// A user of no name, and none of root's rights.
const STRANGER: u32 = 61_234;

#[test]
fn a_caller_who_is_not_root_is_told_so() {
    need_root!();
    let place = Place::new();
    let told = "layerfs: `layerfs run` needs root for now: user namespaces, which give other users containers, are not there yet; \
                start it as root, by sudo for example\n";
    // The tree of the sources may be closed to strangers.
    let open = Scratch::on_disk();
    let (program, none) = (open.join("layerfs"), open.join("none"));
    std::fs::copy(env!("CARGO_BIN_EXE_layerfs"), &program).unwrap();
    for words in [&["run", "--rm", "--rootfs", "/", "true"][..], &["run", "--rm", "absent"]] {
        for store in [&place.join("store"), &none] {
            let mut command = Command::new(&program);
            command.args(words).env("LAYERFS_ROOT", store).uid(STRANGER).gid(STRANGER);
            let ran = ran(command.output().unwrap());
            let said = (ran.status, ran.out.as_str(), ran.err.as_str());
            assert_eq!(said, (125, "", told), "{words:?} {store:?}");
        }
        assert!(!none.exists());
    }
    place.assert_nothing_left();
}
