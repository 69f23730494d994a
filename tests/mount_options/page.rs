//! docs/options.md, row by row: each word is tried, and does what stands there.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::effects::{self, Trial};
use crate::live::{Live, live};

/// What the page says of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    Honoured,
    NoEffect,
    PassedOver,
    Refused(String),
}

/// All words that mounts of overlayfs, of fuse-overlayfs and of mount(8) are given, as far as they are not spelled with a
/// value of the user's.
const ASKED: &str = "lowerdir upperdir workdir redirect_dir uidmapping gidmapping timeout threaded fsync volatile writeback \
    noxattrs xattr_permissions squash_to_root squash_to_uid squash_to_gid static_nlink noacl xino ino32_t ro rw suid nosuid \
    dev nodev exec noexec atime noatime relatime norelatime strictatime nostrictatime diratime nodiratime lazytime \
    nolazytime sync async dirsync symfollow nosymfollow iversion noiversion mand nomand silent loud remount allow_other \
    allow_root default_permissions context fscontext defcontext rootcontext fsname subtype index metacopy userxattr uuid \
    nfs_export verity lowerdir+ datadir+ whiteout override_creds nooverride_creds defaults nofail _netdev user nouser users owner \
    group auto noauto private shared slave unbindable comment X-a x-systemd.automount";

fn rows() -> Vec<(String, Fate)> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/options.md")).unwrap();
    let mut rows = Vec::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches(['|', ' ']).split(" | ").collect();
        let [words, _, says] = cells[..] else { panic!("not three cells: {line}") };
        let (fate, told) = says.split_once(": ").unwrap_or_else(|| panic!("no fate: {line}"));
        let fate = match fate {
            "honoured" => Fate::Honoured,
            "no effect" => Fate::NoEffect,
            "passed over" => Fate::PassedOver,
            "refused" => Fate::Refused(told.to_owned()),
            other => panic!("no such fate: {other}"),
        };
        let words = words.split('`').skip(1).step_by(2);
        rows.extend(words.map(|word| (word.to_owned(), fate.clone())));
    }
    rows
}

#[test]
fn every_word_that_is_asked_for_stands_in_the_page() {
    let rows = rows();
    let keys: BTreeSet<&str> = rows
        .iter()
        .flat_map(|(word, _)| word.split(','))
        .filter_map(|word| word.split('=').next())
        .collect();
    let missing: Vec<&str> = ASKED.split_whitespace().filter(|word| !keys.contains(word)).collect();
    assert!(missing.is_empty(), "not in docs/options.md: {missing:?}");
    let mut seen = BTreeSet::new();
    let twice: Vec<&String> =
        rows.iter().map(|(word, _)| word).filter(|word| !seen.insert(*word)).collect();
    assert!(twice.is_empty(), "twice in docs/options.md: {twice:?}");
}

/// The page is tried in parts: a busy machine takes its time for a hundred mounts.
const PARTS: usize = 4;

#[test]
fn every_row_of_the_page_of_options_is_true() {
    try_part(0);
}

#[test]
fn every_row_of_the_second_part_is_true() {
    try_part(1);
}

#[test]
fn every_row_of_the_third_part_is_true() {
    try_part(2);
}

#[test]
fn every_row_of_the_last_part_is_true() {
    try_part(3);
}

fn try_part(part: usize) {
    let Some(live) = live() else { return };
    let mut plain = None;
    Trial::of(&live, "").mounted(|live| plain = Some(seen(live)));
    for (word, fate) in rows().into_iter().skip(part).step_by(PARTS) {
        let trial = Trial::of(&live, &word);
        match fate {
            Fate::Honoured => effects::check(&trial),
            Fate::NoEffect | Fate::PassedOver => {
                trial.mounted(|live| assert_eq!(Some(seen(live)), plain, "{word}"));
            }
            Fate::Refused(reason) => {
                let line = trial.run().refusal(1);
                assert_eq!(line, format!("option `{word}` is refused: {reason}"));
                // Whoever is sloppy passes over it.
                let words = ["x", "mnt", "-s", "-o", &trial.options()];
                let sloppy = live.run_named("mount.layerfs", &words);
                assert_eq!((sloppy.status, &*sloppy.stderr), (Some(0), ""), "{word}");
                live.umount();
            }
        }
    }
    live.assert_nothing_left();
}

/// All that a word could change of a mount and of what a change leaves in the upper.
fn seen(live: &Live) -> String {
    fs::write(live.place.join("mnt/new"), "new").unwrap();
    fs::remove_file(live.place.join("mnt/both")).unwrap();
    let mut attributes = String::new();
    for name in ["mnt", "mnt/d", "mnt/only", "mnt/new"] {
        let told = fs::metadata(live.place.join(name)).unwrap();
        attributes +=
            &format!("{name} {:o} {} {} {}\n", told.mode(), told.uid(), told.gid(), told.nlink());
    }
    attributes
        + &live.found().join(" ")
        + &live.shell("ls -l --time-style=+ up; ls -R work | head -40")
}
