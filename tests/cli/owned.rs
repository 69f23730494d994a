//! Whose a store and a run directory are: by those of another user's nothing is done, and root's are read by whoever may.
#![allow(clippy::unwrap_used, reason = "a test that can't go on stops there")]

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use layerfs_driver::store::container::{Base, Keep};

use crate::containers::{make, start};
use crate::place::{Place, finished};
use crate::support::need_root;

/// A user of no name.
const STRANGER: u32 = 61_234;

/// Gives a directory away, with all that is in it.
fn give(path: &Path, to: u32) {
    let chown = Command::new("chown").args(["-hR", &format!("{to}:{to}")]).arg(path).status();
    assert!(chown.unwrap().success());
}

fn told(what: &str, path: &Path) -> String {
    format!(
        "the {what} `{}` belongs to user {STRANGER}, whose records would say what this command ends and removes: run it as that \
         user, with `sudo -u '#{STRANGER}' layerfs …`, or give it to this one with chown -R where all in it is trusted",
        path.display()
    )
}

#[test]
fn root_ends_and_removes_nothing_by_the_records_of_a_user() {
    need_root!();
    let place = Place::new();
    let web = make(&place, "web", Base::rootfs(Path::new("/some/where")), Keep::Kept);
    let mut named = start(&web);
    // Whoever sweeps ends what a dead command left.
    drop(web);
    let store = place.join("store");
    give(&store, STRANGER);
    for words in [
        &["rm", "-f", "web"][..],
        &["kill", "web"],
        &["stop", "web"],
        &["start", "web"],
        &["ps", "-a"],
        &["images"],
        &["gc"],
        &["volume", "prune", "-af"],
        &["volume", "create", "data"],
        &["system", "prune", "-f"],
        &["system", "reset", "-f"],
    ] {
        assert_eq!(place.refused(words), told("store", &store), "{words:?}");
    }
    // Given back but for the records.
    chown(&store, Some(0), Some(0)).unwrap();
    assert_eq!(place.refused(&["rm", "-f", "web"]), told("store", &store.join("containers")));
    assert!(named.try_wait().unwrap().is_none(), "a process was ended by a user's word");
    assert!(!store.join("volumes/data").exists());
    // Where none is yet none is made.
    let theirs = place.join("theirs");
    std::fs::create_dir(&theirs).unwrap();
    chown(&theirs, Some(STRANGER), Some(STRANGER)).unwrap();
    let mut create = place.command(&["volume", "create", "data"]);
    let line = finished(create.env("LAYERFS_ROOT", &theirs)).refusal(1);
    assert_eq!(line, told("store", &theirs));
    assert_eq!(std::fs::read_dir(&theirs).unwrap().count(), 0);
    // By its own root does what they say.
    give(&store, 0);
    place.said(&["gc"]);
    assert!(!named.wait().unwrap().success());
}

#[test]
fn root_goes_by_no_run_directory_of_a_user() {
    need_root!();
    let place = Place::new();
    place.pull_small("small");
    let run = place.join("run");
    std::fs::create_dir_all(run.join("network")).unwrap();
    give(&run, STRANGER);
    assert_eq!(place.refused(&["gc"]), told("run directory", &run));
    chown(&run, Some(0), Some(0)).unwrap();
    assert_eq!(place.refused(&["gc"]), told("run directory", &run.join("network")));
    give(&run, 0);
    place.said(&["gc"]);
}

#[test]
fn a_store_of_roots_that_is_open_to_others_is_read_by_them() {
    need_root!();
    let place = Place::on_disk();
    let id = place.pull_small("small");
    // The tree of the sources may be closed to strangers.
    let program = place.join("layerfs");
    std::fs::copy(env!("CARGO_BIN_EXE_layerfs"), &program).unwrap();
    let opened = Command::new("chmod").args(["-R", "a+rX"]).arg(place.join("store")).status();
    assert!(opened.unwrap().success());
    for (words, expected) in [
        (&["images", "-q", "--no-trunc"][..], format!("{id}\n")),
        (&["inspect", "--format", "{{.Id}}", "small:1"], format!("{id}\n")),
        (&["ps", "-aq"], String::new()),
    ] {
        let mut command = Command::new(&program);
        command.args(words).env("LAYERFS_ROOT", place.join("store"));
        command.env("LAYERFS_RUNROOT", place.join("run")).current_dir("/");
        let run = finished(command.uid(STRANGER).gid(STRANGER));
        assert_eq!((run.status, &run.stdout), (Some(0), &expected), "{words:?}: {run:?}");
    }
}
