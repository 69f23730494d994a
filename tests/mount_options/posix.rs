//! Errors and counts that programs know from other file systems.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::io::Errno;

use crate::live::live_on_disk;

fn errno<T>(done: std::io::Result<T>) -> Option<i32> {
    done.err().and_then(|error| error.raw_os_error())
}

#[test]
fn a_name_of_more_than_255_bytes_is_too_long() {
    let Some(live) = live_on_disk() else { return };
    live.place.said(&["mount", "-o", "lowerdir=top:base,upperdir=up,workdir=work", "mnt"]);
    let at = |name: &str| live.place.join("mnt").join(name);
    let (longest, longer) = (at(&"n".repeat(255)), at(&"n".repeat(256)));
    std::fs::write(&longest, "").unwrap();
    let too_long = Some(Errno::NAMETOOLONG.raw_os_error());
    let deeds: [(&str, &dyn Fn(&Path) -> Option<i32>); 8] = [
        ("create", &|path| errno(std::fs::write(path, ""))),
        ("mkdir", &|path| errno(std::fs::create_dir(path))),
        ("symlink", &|path| errno(std::os::unix::fs::symlink("x", path))),
        ("link", &|path| errno(std::fs::hard_link(&longest, path))),
        ("rename", &|path| errno(std::fs::rename(&longest, path))),
        ("stat", &|path| errno(std::fs::symlink_metadata(path))),
        ("unlink", &|path| errno(std::fs::remove_file(path))),
        ("rmdir", &|path| errno(std::fs::remove_dir(path))),
    ];
    for (deed, done) in deeds {
        assert_eq!(done(&longer), too_long, "{deed}");
    }
    live.umount();
}

#[test]
fn a_directory_of_the_upper_alone_counts_its_subdirectories() {
    let Some(live) = live_on_disk() else { return };
    live.shell("mkdir -p base/alone/sub");
    live.place.said(&["mount", "-o", "lowerdir=top:base,upperdir=up,workdir=work", "mnt"]);
    let at = |name: &str| live.place.join("mnt").join(name);
    let links = |name: &str| std::fs::metadata(at(name)).unwrap().nlink();
    for dir in ["new", "other", "new/sub", "d/sub"] {
        std::fs::create_dir(at(dir)).unwrap();
    }
    assert_eq!((links("new"), links("other")), (3, 2));
    std::fs::rename(at("new/sub"), at("other/sub")).unwrap();
    assert_eq!((links("new"), links("other")), (2, 3));
    std::fs::remove_dir(at("other/sub")).unwrap();
    assert_eq!((links("new"), links("other")), (2, 2));
    assert_eq!((links("d"), links("")), (1, 1), "nobody counts those of two sides");
    assert_eq!(links("alone"), 1, "nor those of lower directories");
    live.umount();
}
