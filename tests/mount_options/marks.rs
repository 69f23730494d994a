//! What marks and names of whiteouts in the layers of a mount may do, and what no one may do with them.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;

use crate::live::live;

const UPPER: &str = "lowerdir=base,upperdir=up,workdir=work";

fn errno<T>(done: io::Result<T>) -> Option<i32> {
    done.err().map(|error| error.raw_os_error().unwrap())
}

const EPERM: Option<i32> = Some(1);

#[test]
fn names_of_whiteouts_are_made_in_no_mount_of_directories() {
    let Some(live) = live() else { return };
    live.place.said(&["mount", "-o", UPPER, "mnt"]);
    let mnt = |name: &str| live.place.join("mnt").join(name);
    assert_eq!(errno(fs::write(mnt(".wh.only"), "")), EPERM);
    assert_eq!(errno(fs::create_dir(mnt("d/.wh.x"))), EPERM);
    assert_eq!(errno(symlink("x", mnt(".wh..wh..opq"))), EPERM);
    assert_eq!(errno(fs::hard_link(mnt("both"), mnt(".wh.both"))), EPERM);
    assert_eq!(errno(fs::rename(mnt("both"), mnt(".wh.only"))), EPERM);
    assert_eq!(errno(fs::rename(mnt("d"), mnt(".wh.d"))), EPERM);
    let fifo = rustix::fs::mknodat(
        rustix::fs::CWD,
        CString::new(mnt(".wh.p").into_os_string().into_encoded_bytes()).unwrap(),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    );
    assert_eq!(fifo, Err(rustix::io::Errno::PERM));
    fs::write(mnt(".what"), "an ordinary name").unwrap();
    assert_eq!(live.shell("ls -A up"), ".what\n", "a refusal copies nothing up");
    live.umount();
}

#[test]
fn names_of_whiteouts_are_ordinary_in_an_image() {
    let Some(live) = live() else { return };
    live.place.pull_small("small");
    let id = live.place.rows(&["images", "--json"])[0]["id"].as_str().unwrap().to_owned();
    live.place.said(&["mount", &id, "mnt"]);
    fs::write(live.place.join("mnt/.wh.x"), "x").unwrap();
    assert_eq!(live.read("mnt/.wh.x"), "x");
    live.umount();
}
