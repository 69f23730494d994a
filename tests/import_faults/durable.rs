//! What an import has on disk before anything of it is visible: by refused syncs, and by the order of its calls.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use super::support::watchdog;
use super::{Lab, files_below, told, words_of};
use crate::support::need;

/// What stands there by digest and is taken for whole, and what makes an image visible.
const CONTENTS: [&str; 5] = ["objects/", "layers/", "frames/", "trees/", "blobs/"];
const RECORDS: [&str; 2] = ["images/ids", "images/names"];

impl Lab {
    /// Makes the store, with nothing in it: what syncs when a store is made is none of an import's.
    fn make_store(&self) {
        for words in [&["rmi", "-f", "small:1"][..], &["gc"]] {
            if !self.root().exists() {
                assert!(self.pull(None).output().unwrap().status.success());
            }
            let output = self.command(words, None).output().unwrap();
            assert!(output.status.success(), "{words:?}: {}", told(&output));
        }
        assert!(self.visible(&CONTENTS).is_empty() && self.visible(&RECORDS).is_empty());
    }

    /// The files in these rooms of the store.
    fn visible(&self, rooms: &[&str]) -> BTreeSet<PathBuf> {
        let files = rooms.iter().flat_map(|room| files_below(&self.root().join(room)));
        files.filter(|path| path.is_file()).collect()
    }
}

/// An object, a layer or a tree stands under its name only after its bytes are on disk, and a record only after what it
/// names: after a power cut nothing would know that they are not whole.
#[test]
fn a_tree_is_durable_before_it_is_visible() {
    let _watch = watchdog(120);
    let Some(lab) = Lab::new() else { return };
    lab.make_store();
    let (output, _, fired) = lab.pull_under("fail:1:EIO:syncfs");
    assert!(fired && !output.status.success(), "{}", told(&output));
    let visible = lab.visible(&CONTENTS);
    assert!(visible.is_empty(), "before the first sync: {visible:?}");
    let (output, _, fired) = lab.pull_under("fail:2:EIO:syncfs");
    assert!(fired && !output.status.success(), "{}", told(&output));
    assert!(!lab.visible(&CONTENTS).is_empty(), "the second sync comes after the renames");
    let visible = lab.visible(&RECORDS);
    assert!(visible.is_empty(), "before the second sync: {visible:?}");
    assert!(lab.images().is_empty());
}

/// syncfs, what is named by digest, syncfs, the record and its directory's sync, the name and its directory's sync.
#[test]
fn what_is_renamed_into_place_stands_between_two_syncs_of_the_file_system() {
    let _watch = watchdog(120);
    need!("strace");
    let Some(lab) = Lab::new() else { return };
    lab.make_store();
    let steps = steps_of_a_pull(&lab);
    assert!(steps.iter().filter(|step| **step == Step::Place).count() > 5, "{steps:?}");
    let mut order = steps.clone();
    order.dedup_by(|a, b| a == b && *a == Step::Place);
    let record = [Step::Sync, Step::Record, Step::Sync];
    let expected = [&[Step::SyncAll, Step::Place, Step::SyncAll][..], &record, &record].concat();
    assert_eq!(order, expected, "{steps:?}");
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// syncfs.
    SyncAll,
    /// fsync of one file or directory.
    Sync,
    /// A rename into a room of things named by digest.
    Place,
    /// A rename that makes a record.
    Record,
}

/// The calls of a pull that the order is about.
fn steps_of_a_pull(lab: &Lab) -> Vec<Step> {
    let log = lab.scratch.join("calls");
    let calls = "trace=syncfs,fsync,fdatasync,sync,rename,renameat,renameat2,linkat";
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-s", "4096", "-e", calls, "-e", "signal=none", "-o"]).arg(&log);
    command.arg(env!("CARGO_BIN_EXE_layerfs")).args(words_of(&lab.pull(None)));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let text = std::fs::read_to_string(&log).unwrap();
    text.lines().filter_map(|line| step_of(lab, line)).collect()
}

fn step_of(lab: &Lab, line: &str) -> Option<Step> {
    let call = line.split_once(' ')?.1.trim_start();
    let (name, args) = call.split_once('(')?;
    match name {
        "syncfs" => return Some(Step::SyncAll),
        "fsync" | "fdatasync" => return Some(Step::Sync),
        _ => {}
    }
    // Descriptors are shown with their paths: the last one is that of the directory which gets the new name.
    let target = args.rsplit_once('<')?.1.split_once('>')?.0;
    let room = target.strip_prefix(lab.root().to_str()?)?.strip_prefix('/')?;
    if RECORDS.contains(&room) {
        return Some(Step::Record);
    }
    let is_place = CONTENTS.iter().any(|place| format!("{room}/").starts_with(place));
    assert!(is_place, "a rename into another place: {line}");
    Some(Step::Place)
}
