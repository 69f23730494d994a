//! Subvolumes of btrfs: each numbers its files by itself, and a snapshot has the numbers and the times of what it was made from.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that can't go on should fail there

mod kit;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use kit::ground::{joined, lower_of, shell};
use kit::image;
use kit::visit::Visit;
use layerfs_driver::sys::dir;
use layerfs_driver::tree::Name;
use layerfs_driver::union::{DirEntry, RenameHow, Union};
use layerfs_driver::upper::{Upper, UpperError};
use support::{Scratch, watchdog};

/// `None` where there can be no btrfs, and the test has been told as skipped.
fn btrfs() -> Option<Scratch> {
    let tools = ["mkfs.btrfs", "btrfs"];
    let can = support::rights::have_root()
        && support::rights::have(&tools)
        && support::rights::have_loop_devices();
    can.then(|| Scratch::btrfs(256))
}

/// A directory of two names of one file, and a file of one.
const FILES: &str = "mkdir $1/x; echo one >$1/x/f; ln $1/x/f $1/x/g; echo single >$1/x/s;";

/// Makes a subvolume `low` with files, and a snapshot of it by that name.
fn snapshot(scratch: &Scratch, name: &str) {
    shell(
        scratch.path(),
        &format!(
            "exec >log; btrfs subvolume create low; set -- low; {FILES} btrfs subvolume snapshot low {name}"
        ),
    );
}

fn text(visit: &Visit<'_>, path: &str) -> String {
    String::from_utf8(visit.read(path).unwrap()).unwrap()
}

/// Paths by the number that `stat` and the listing of their directory show.
fn numbered(union: &Union, paths: &[&str]) -> BTreeMap<u64, Vec<String>> {
    let visit = Visit::new(union);
    let mut found = BTreeMap::<u64, Vec<String>>::new();
    for path in paths {
        let looked = visit.walk(path).unwrap();
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let above = visit.walk(above).unwrap().id;
        let (name, mut listed) = (Name::new(name.as_bytes()).unwrap(), None);
        let take = |entry: &DirEntry| {
            listed = listed.or((entry.name == name).then_some(entry.ino.0));
            true
        };
        union.list(above, 0, take).unwrap();
        assert_eq!(listed, Some(looked.id.0), "`{path}` is listed with the number it has");
        found.entry(looked.id.0).or_default().push((*path).to_owned());
    }
    found
}

/// Two files of two names, and two of one: four numbers.
fn assert_told_apart(union: &Union, [one, other]: [&str; 2]) -> BTreeMap<u64, Vec<String>> {
    let path = |dir: &str, name: &str| format!("{dir}/{name}");
    let of = |dir| ["f", "g", "s"].map(|name| path(dir, name));
    let all = [of(one), of(other)].concat();
    let found = numbered(union, &all.iter().map(String::as_str).collect::<Vec<_>>());
    let mut files: Vec<_> = found.values().cloned().collect();
    files.sort();
    let expected =
        [one, other].map(|dir| [vec![path(dir, "f"), path(dir, "g")], vec![path(dir, "s")]]);
    let mut expected = expected.concat();
    expected.sort();
    assert_eq!(files, expected);
    found
}

/// Changes files in both directories, and looks at them again and again over remounts.
fn change_both(mount: &dyn Fn() -> Union, dirs: [&str; 2]) {
    let [one, other] = dirs;
    let path = |dir: &str, name: &str| format!("{dir}/{name}");
    let union = mount();
    let before = assert_told_apart(&union, dirs);
    let visit = Visit::new(&union);
    visit.write(&path(one, "f"), b"ONE").unwrap();
    assert_eq!(text(&visit, &path(other, "g")), "one\n", "another file of the same number");
    visit.write(&path(other, "g"), b"TWO").unwrap();
    visit.write(&path(other, "s"), b"SINGLE").unwrap();
    drop(visit);
    assert_eq!(assert_told_apart(&union, dirs), before);
    drop(union);
    // The order in which the names are looked up is no matter.
    for order in [dirs, [other, one]] {
        let union = mount();
        let visit = Visit::new(&union);
        for dir in order {
            let (two, single) =
                if dir == one { ("ONE\n", "single\n") } else { ("TWO\n", "SINGLE\n") };
            for name in ["f", "g"] {
                assert_eq!(text(&visit, &path(dir, name)), two, "{dir}/{name}");
                assert_eq!(visit.walk(&path(dir, name)).unwrap().attr.nlink, 2, "{dir}/{name}");
            }
            assert_eq!(text(&visit, &path(dir, "s")), single);
        }
        drop(visit);
        assert_told_apart(&union, dirs);
    }
}

#[test]
fn a_snapshot_in_a_layer_has_files_of_its_own() {
    let Some(scratch) = btrfs() else { return };
    let _watch = watchdog(120);
    snapshot(&scratch, "low/snap");
    let lower = [scratch.join("low")];
    let mount = || joined(lower_of(&lower), &scratch.join("place"));
    change_both(&mount, ["x", "snap/x"]);
    // What was moved out of it is found by its mark alone.
    let union = mount();
    let visit = Visit::new(&union);
    visit.rename("snap/x/f", "moved", RenameHow::Replace).unwrap();
    drop(visit);
    drop(union);
    for order in [["moved", "snap/x/g"], ["snap/x/g", "moved"]] {
        let union = mount();
        assert_eq!(numbered(&union, &order).len(), 1, "{order:?}");
        let visit = Visit::new(&union);
        visit.write(order[0], b"two").unwrap();
        assert_eq!(text(&visit, order[1]), "two\n");
        assert_eq!(text(&visit, "x/f"), "ONE\n");
    }
}

#[test]
fn layers_that_are_snapshots_of_one_another_have_files_of_their_own() {
    let Some(scratch) = btrfs() else { return };
    let _watch = watchdog(120);
    snapshot(&scratch, "top");
    shell(scratch.path(), "mv top/x top/y");
    let lower = [scratch.join("top"), scratch.join("low")];
    change_both(&|| joined(lower_of(&lower), &scratch.join("place")), ["x", "y"]);
}

/// As root of the machine may make them while the layer is not mounted.
#[test]
fn what_lies_in_a_subvolume_of_an_upper_has_numbers_of_its_own() {
    let Some(scratch) = btrfs() else { return };
    let _watch = watchdog(120);
    shell(scratch.path(), "mkdir low; echo below >low/below");
    let dirs = [scratch.join("low")];
    let imported = image::of_directories(&dirs);
    let lowers: [&dyn Fn() -> layerfs_driver::lower::Lower; 2] =
        [&|| imported.lower(), &|| lower_of(&dirs)];
    for (number, lower) in lowers.into_iter().enumerate() {
        let place = scratch.join(format!("place{number}"));
        // Their numbers are those from 256 on, as the upper's are.
        let script = "mkdir upper; for it in 1 2 3 4 5 6; do echo out$it >upper/$it; done
            btrfs subvolume create upper/in >log; for it in 1 2 3 4 5 6; do echo in$it >upper/in/$it; done";
        shell(
            scratch.path(),
            &format!("btrfs subvolume create place{number} >log; cd place{number}; {script}"),
        );
        let union = joined(lower(), &place);
        let paths: Vec<_> = (1..=6).flat_map(|it| [it.to_string(), format!("in/{it}")]).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).chain(["in", "below"]).collect();
        assert_eq!(numbered(&union, &paths).len(), paths.len());
        let visit = Visit::new(&union);
        assert_eq!((text(&visit, "3"), text(&visit, "in/3")), ("out3\n".into(), "in3\n".into()));
    }
}

/// A rename goes from one subvolume to another no more than from one file system to another.
#[test]
fn an_upper_and_a_work_directory_in_two_subvolumes_are_refused_and_in_one_they_are_taken() {
    let Some(scratch) = btrfs() else { return };
    let _watch = watchdog(120);
    shell(
        scratch.path(),
        "for it in upper other; do btrfs subvolume create $it >log; mkdir $it/up $it/work; done; mkdir low",
    );
    let open = |name: &str| dir::open_path(scratch.join(name).as_path()).unwrap();
    let options = kit::forms::Form::Usual.options();
    let refused = Upper::open(open("upper/up"), &open("other/work"), options).unwrap_err();
    assert!(matches!(refused, UpperError::TwoFilesystems), "{refused}");
    assert_eq!(std::fs::read_dir(scratch.join("other/work")).unwrap().count(), 0);
    drop(Upper::open(open("upper/up"), &open("upper/work"), options).unwrap());
    // An upper is a subvolume itself, and its work directory lies beside it.
    let beside = Upper::open(open("upper"), &open("low"), options).unwrap_err();
    assert!(matches!(beside, UpperError::TwoFilesystems), "{beside}");
}

/// It names files by the file system's UUID, which btrfs tells in a way of its own, and by handles that know the subvolume.
#[test]
fn the_kernels_index_is_read_on_btrfs_and_below_its_subvolumes() {
    let Some(scratch) = btrfs() else { return };
    support::need!("unshare", "mount");
    let _watch = watchdog(120);
    snapshot(&scratch, "low/snap");
    let place = scratch.join("place");
    std::fs::create_dir(&place).unwrap();
    let script = "mkdir upper work mnt
        mount -t overlay none -o index=on,lowerdir=../low,upperdir=upper,workdir=work mnt
        echo ONE >mnt/x/f; echo TWO >mnt/snap/x/g; umount mnt; test $(ls work/index | wc -l) = 2";
    shell(&place, &format!("exec unshare -m bash -ec '{script}'"));
    let union = joined(lower_of(&[scratch.join("low")]), &place);
    let visit = Visit::new(&union);
    for (path, expected) in [("x/g", "ONE\n"), ("snap/x/f", "TWO\n")] {
        assert_eq!(text(&visit, path), expected, "{path}");
        assert_eq!(visit.walk(path).unwrap().attr.nlink, 2, "{path}");
    }
    drop(visit);
    assert_told_apart(&union, ["x", "snap/x"]);
}
