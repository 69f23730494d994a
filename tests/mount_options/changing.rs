//! Lower directories that others change while they are mounted.

use std::io::{Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::live::{Live, live};

/// Writes until the inode's clock has moved.
fn overwrite(path: &Path, text: &str) {
    let ctime = || path.metadata().map(|meta| (meta.ctime(), meta.ctime_nsec())).unwrap();
    let before = ctime();
    while ctime() == before {
        std::fs::write(path, text).unwrap();
    }
}

fn mounted(options: &str) -> Option<Live> {
    let live = live()?;
    live.place.said(&["mount", "-o", options, "mnt"]);
    Some(live)
}

fn names(live: &Live, dir: &str) -> Vec<String> {
    let entries = std::fs::read_dir(live.place.join(dir)).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn bytes_are_never_those_of_before_a_change_that_an_open_follows() {
    for options in ["lowerdir=base", "lowerdir=base,upperdir=up,workdir=work"] {
        let Some(live) = mounted(options) else { return };
        assert_eq!(live.read("mnt/only"), "only");
        // Of one size, so that nothing but the bytes tells: first in place, then by another file.
        overwrite(&live.place.join("base/only"), "next");
        assert_eq!(live.read("mnt/only"), "next", "{options}");
        std::fs::write(live.place.join("base/new"), "last").unwrap();
        std::fs::rename(live.place.join("base/new"), live.place.join("base/only")).unwrap();
        assert_eq!(live.read("mnt/only"), "last", "{options}");
        let mut held = std::fs::File::open(live.place.join("mnt/only")).unwrap();
        overwrite(&live.place.join("base/only"), "more");
        assert_eq!(live.read("mnt/only"), "more", "{options}");
        let mut seen = String::new();
        held.rewind().unwrap();
        held.read_to_string(&mut seen).unwrap();
        assert_eq!(seen, "more", "the same file, open since before: {options}");
        drop(held);
        live.umount();
        live.assert_nothing_left();
    }
}

#[test]
fn with_a_timeout_names_and_listings_follow_the_lower_directories() {
    let Some(live) = mounted("lowerdir=top:base,upperdir=up,workdir=work,timeout=0") else {
        return;
    };
    let mnt = |name: &str| live.place.join("mnt").join(name);
    // Merged on both sides, so that the upper's times are shown.
    std::fs::write(mnt("d/own"), "own").unwrap();
    assert_eq!(names(&live, "mnt/d"), ["own"]);
    assert!(!mnt("d/later").exists());
    std::fs::write(live.place.join("base/d/later"), "12345").unwrap();
    assert_eq!(names(&live, "mnt/d"), ["later", "own"]);
    assert_eq!(mnt("d/later").metadata().unwrap().len(), 5, "absence was believed for no time");
    overwrite(&live.place.join("base/d/later"), "123");
    assert_eq!(mnt("d/later").metadata().unwrap().len(), 3);
    std::fs::remove_file(live.place.join("base/d/later")).unwrap();
    assert!(!mnt("d/later").exists());
    assert_eq!(names(&live, "mnt/d"), ["own"]);
    std::fs::remove_dir(live.place.join("base/d")).unwrap();
    std::fs::remove_dir(live.place.join("top/d")).unwrap();
    assert_eq!(names(&live, "mnt/d"), ["own"], "the upper's part stays");
    for dir in ["base/d", "top/d"] {
        std::fs::create_dir(live.place.join(dir)).unwrap();
    }
    live.umount();
    live.assert_nothing_left();
}
