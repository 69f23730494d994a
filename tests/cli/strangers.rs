//! What lies in a store and is no part of it: told, passed over by `gc`, set aside by `fsck --repair`.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::place::Place;

/// What a stranger is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
    Symlink,
    Fifo,
}

const KINDS: [Kind; 4] = [Kind::File, Kind::Directory, Kind::Symlink, Kind::Fifo];

/// What the entries of a directory of the store are called, and of which kind they are.
struct Room {
    path: String,
    name: String,
    kind: Kind,
}

fn rooms(place: &Place) -> Vec<Room> {
    let objects = place.join("store/objects");
    let used = fs::read_dir(&objects).expect("the store is ours").next();
    let used = used.expect("the image has a file").expect("the store is ours").file_name();
    let used = used.to_string_lossy().into_owned();
    let is_free = |pair: &String| !objects.join(pair).exists();
    let free = (0..256).map(|n| format!("{n:02x}")).find(is_free).expect("a few are used");
    let digest = "0".repeat(64);
    let files =
        ["layers", "frames", "trees", "blobs/sha256", "images/ids", "images/names", "uppers"]
            .into_iter();
    let mut rooms: Vec<Room> = files
        .map(|path| Room { path: path.into(), name: digest.clone(), kind: Kind::File })
        .collect();
    let object = format!("{used}{}", &digest[2..]);
    rooms.push(Room { path: format!("objects/{used}"), name: object, kind: Kind::File });
    rooms.push(Room { path: "objects".into(), name: free, kind: Kind::Directory });
    rooms.push(Room { path: "containers".into(), name: digest, kind: Kind::Directory });
    rooms
}

/// Names that no part of a store has. The long one becomes longer when it is printed.
fn odd_names() -> Vec<OsString> {
    let long = OsString::from_vec(vec![0xff; 255]);
    let mut names: Vec<OsString> =
        ["stray", "x", "A b", "..."].map(OsString::from).into_iter().collect();
    names.extend([OsString::from("AB".repeat(32)), "0".repeat(65).into(), long]);
    names
}

fn plant(path: &Path, kind: Kind) {
    match kind {
        Kind::File => fs::write(path, b"mine").expect("the store is ours"),
        Kind::Directory => {
            fs::create_dir(path).expect("the store is ours");
            fs::write(path.join("mine"), b"mine").expect("the store is ours");
        }
        Kind::Symlink => std::os::unix::fs::symlink("/", path).expect("the store is ours"),
        Kind::Fifo => {
            let status = Command::new("mkfifo").arg(path).status().expect("mkfifo starts");
            assert!(status.success(), "mkfifo {}", path.display());
        }
    }
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// The lines of `fsck` that tell a finding.
fn findings(stdout: &str) -> Vec<String> {
    stdout.lines().filter(|line| !line.starts_with("checked: ")).map(str::to_owned).collect()
}

/// Everything goes on beside what lies at `path`, and a repair takes it out of the store.
fn assert_stranger(place: &Place, id: &str, path: &Path) {
    let store = place.join("store");
    let below = path.strip_prefix(&store).expect("it lies in the store");
    let shown = below.as_os_str().as_encoded_bytes().escape_ascii().to_string();
    let run = place.run(&["gc"]);
    assert_eq!((run.status, run.stderr.lines().count()), (Some(0), 1), "{shown}: {run:?}");
    let is_told = run.stderr.starts_with("layerfs: ") && run.stderr.contains(&shown);
    assert!(is_told && run.stdout.ends_with("space: 0B\n"), "{shown}: {run:?}");
    assert!(is_there(path), "{shown}: gc took it");
    assert_eq!(place.said(&["images", "-q", "--no-trunc"]), format!("{id}\n"), "{shown}");
    for words in
        [&["df"][..], &["ps", "-a"], &["layers", "small:1"], &["tag", "small:1", "small:1"]]
    {
        place.said(words);
    }
    let run = place.run(&["fsck"]);
    let found = findings(&run.stdout);
    assert_eq!((run.status, found.len()), (Some(1), 1), "{shown}: {run:?}");
    assert!(found[0].starts_with(&format!("damaged: {shown}: a stranger")), "{shown}: {run:?}");
    assert!(is_there(path), "{shown}: a check took it");
    let run = place.run(&["fsck", "--repair"]);
    let found = findings(&run.stdout);
    assert_eq!((run.status, found.len()), (Some(0), 1), "{shown}: {run:?}");
    assert!(found[0].starts_with(&format!("set aside: {shown}: a stranger")), "{shown}: {run:?}");
    assert!(!is_there(path), "{shown}");
    let aside = fs::read_dir(store.join("damaged")).expect("the store is ours").count();
    assert_eq!(aside, 1, "{shown}: it is kept until gc");
    assert_eq!(findings(&place.said(&["fsck"])), [] as [String; 0], "{shown}");
}

#[test]
fn a_stranger_in_any_directory_is_told_and_stops_nothing() {
    let place = Place::new();
    let id = place.pull_small("small");
    for room in rooms(&place) {
        let dir = place.join("store").join(&room.path);
        let mut strangers: Vec<(PathBuf, Kind)> = KINDS
            .into_iter()
            .filter(|kind| *kind != room.kind)
            .map(|kind| (dir.join(&room.name), kind))
            .collect();
        strangers.extend(odd_names().into_iter().map(|name| (dir.join(name), room.kind)));
        strangers.push((dir.join("stray"), Kind::Fifo));
        // As records are called while they are written, which are files.
        strangers.push((dir.join("0.new"), Kind::Directory));
        for (path, kind) in strangers {
            plant(&path, kind);
            assert_stranger(&place, &id, &path);
            place.said(&["gc"]);
        }
    }
    place.said(&["pull", "-q", "oci:small"]);
    assert_eq!(findings(&place.said(&["fsck"])), [] as [String; 0]);
}

/// Objects lie in the directory of their first two digits. One that lies elsewhere is found by nobody.
#[test]
fn an_object_in_the_directory_of_others_is_a_stranger() {
    let place = Place::new();
    let id = place.pull_small("small");
    let objects = place.join("store/objects");
    let pairs: Vec<PathBuf> =
        fs::read_dir(&objects).unwrap().map(|entry| entry.unwrap().path()).collect();
    let object = fs::read_dir(&pairs[0]).unwrap().next().unwrap().unwrap().path();
    let elsewhere = pairs[1].join(object.file_name().unwrap());
    fs::copy(&object, &elsewhere).unwrap();
    assert_stranger(&place, &id, &elsewhere);
}

/// Sweeps empty `tmp/`: what nobody holds there is nobody's, whatever it is.
#[test]
fn whatever_lies_in_tmp_goes_with_the_next_sweep() {
    let place = Place::new();
    place.pull_small("small");
    for (number, kind) in KINDS.into_iter().enumerate() {
        for name in odd_names().into_iter().chain([format!("{number}-0").into()]) {
            let path = place.join("store/tmp").join(name);
            plant(&path, kind);
            assert_eq!(findings(&place.said(&["fsck"])), [] as [String; 0]);
            let run = place.run(&["gc"]);
            assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""), "{}", path.display());
            assert!(!is_there(&path), "{}", path.display());
        }
    }
}
