//! What marks and names of whiteouts in the layers of a mount may do, and what no one may do with them.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::{DirEntryExt, symlink};

use crate::live::{Live, live};
use crate::support::rights;

const UPPER: &str = "lowerdir=base,upperdir=up,workdir=work";

fn errno<T>(done: io::Result<T>) -> Option<i32> {
    done.err().map(|error| error.raw_os_error().unwrap())
}

const EPERM: Option<i32> = Some(1);
const EIO: Option<i32> = Some(5);
const EXDEV: Option<i32> = Some(18);

/// Mounts with an upper and these further words.
fn mount(live: &Live, options: &str) {
    live.place.said(&["mount", "-o", &format!("{UPPER},{options}"), "mnt"]);
}

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

#[test]
fn a_redirect_of_an_upper_that_is_not_trusted_is_not_followed() {
    rights::need!("setfattr");
    let Some(live) = live() else { return };
    live.shell(
        "mkdir -m 700 base/private; echo secret > base/private/key; mkdir up/public up/absent",
    );
    for space in ["user", "trusted"] {
        live.shell(&format!("setfattr -n {space}.overlay.redirect -v /private up/public"));
        live.shell(&format!("setfattr -n {space}.overlay.redirect -v /nowhere up/absent"));
    }
    for (options, told) in
        [("userxattr", EPERM), ("redirect_dir=off", EPERM), ("redirect_dir=on", None)]
    {
        mount(&live, options);
        let key = live.place.join("mnt/public/key");
        assert_eq!(errno(fs::metadata(live.place.join("mnt/public"))), told, "{options}");
        assert_eq!(errno(fs::read(key)), told, "{options}");
        assert_eq!(errno(fs::metadata(live.place.join("mnt/absent"))), None, "as the kernel");
        live.umount();
    }
}

#[test]
fn a_directory_that_would_need_a_redirect_is_not_renamed_without_them() {
    let Some(live) = live() else { return };
    fs::create_dir(live.place.join("base/e")).unwrap();
    for options in ["userxattr", "redirect_dir=off"] {
        mount(&live, options);
        let mnt = |name: &str| live.place.join("mnt").join(name);
        assert_eq!(errno(fs::rename(mnt("d"), mnt("moved"))), EXDEV, "{options}");
        assert_eq!(live.shell("ls -A up"), "", "{options}: nothing is copied up");
        let exchange = |one: &str, other: &str| {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            let at = rustix::fs::CWD;
            rustix::fs::renameat_with(at, mnt(one), at, mnt(other), flags).map_err(io::Error::from)
        };
        assert_eq!(errno(exchange("d", "only")), EXDEV, "{options}");
        assert_eq!(errno(exchange("only", "d")), EXDEV, "{options}");
        fs::create_dir(mnt("own")).unwrap();
        fs::rename(mnt("own"), mnt("moved")).unwrap();
        fs::write(mnt("e/file"), "").unwrap();
        assert_eq!(errno(fs::rename(mnt("e"), mnt("moved"))), EXDEV, "{options}: a merged one");
        fs::remove_dir(mnt("moved")).unwrap();
        fs::remove_file(mnt("e/file")).unwrap();
        live.umount();
        live.shell("rm -r up work; mkdir up work");
    }
}

/// The names in a directory, each with a number.
fn names(live: &Live, dir: &str) -> Vec<String> {
    let listed = fs::read_dir(live.place.join(dir)).unwrap().map(|entry| {
        let entry = entry.unwrap();
        assert_ne!(entry.ino(), 0, "{entry:?}");
        entry.file_name().into_string().unwrap()
    });
    let mut names: Vec<String> = listed.collect();
    names.sort();
    names
}

#[test]
fn a_name_whose_lookup_fails_is_listed() {
    rights::need!("setfattr");
    let Some(live) = live() else { return };
    live.shell(
        "mkdir -p base/d/there base/e/there; touch base/d/{a,c,d,e} base/e/c
        mkdir -p top/{d,e}/bad; setfattr -n trusted.overlay.redirect -v there top/{d,e}/bad",
    );
    // The names before and behind it are looked up as they are listed; nothing is kept between two listings.
    live.place.said(&["mount", "-o", "lowerdir=top:base,redirect_dir=off,timeout=0", "mnt"]);
    for (dir, all) in
        [("mnt/d", &["a", "bad", "c", "d", "e", "there"][..]), ("mnt/e", &["bad", "c", "there"])]
    {
        for _ in 0..3 {
            assert_eq!(names(&live, dir), all);
            let bad = live.place.join(dir).join("bad");
            assert_eq!(errno(fs::metadata(bad)), EPERM);
        }
    }
    live.umount();
}

#[test]
fn one_entry_with_bad_marks_leaves_its_directory_listable() {
    rights::need!("setfattr");
    let Some(live) = live() else { return };
    live.shell(
        "mkdir -p up/d/redirected; touch up/d/{metacopy,origin,plain}
        setfattr -n trusted.overlay.metacopy up/d/metacopy
        setfattr -n trusted.overlay.layerfs.origin -v nonsense up/d/origin
        setfattr -n trusted.overlay.redirect -v a/../b up/d/redirected
        mkdir base/e; mkdir -p up/e/x; setfattr -n trusted.overlay.redirect -v /d up/e/x",
    );
    mount(&live, "redirect_dir=on");
    let all = ["metacopy", "origin", "plain", "redirected"];
    assert_eq!(names(&live, "mnt/d"), all);
    for name in all {
        let told = if name == "plain" { None } else { EIO };
        assert_eq!(errno(fs::metadata(live.place.join("mnt/d").join(name))), told, "{name}");
    }
    assert_eq!(errno(fs::remove_dir(live.place.join("mnt/d"))), Some(39), "it is not empty");
    assert_eq!(names(&live, "mnt/e"), ["x"]);
    live.umount();
    mount(&live, "redirect_dir=off");
    assert_eq!(names(&live, "mnt/e"), ["x"]);
    assert_eq!(errno(fs::metadata(live.place.join("mnt/e/x"))), EPERM);
    live.umount();
}

#[test]
fn a_damaged_mark_is_told_to_the_log_once_with_its_name() {
    rights::need!("setfattr");
    let Some(live) = live() else { return };
    live.shell(
        "mkdir -p up/bad top/low/worse base/low; setfattr -n trusted.overlay.opaque -v nonsense up/bad
        setfattr -n trusted.overlay.redirect -v a/b top/low/worse",
    );
    let options = "lowerdir=top:base,upperdir=up,workdir=work";
    live.place.said(&["mount", "-o", options, "--log", "log", "mnt"]);
    for _ in 0..3 {
        for path in ["mnt/bad", "mnt/bad/below", "mnt/low/worse"] {
            assert_eq!(errno(fs::metadata(live.place.join(path))), EIO, "{path}");
        }
        assert_eq!(errno(fs::metadata(live.place.join("mnt/absent"))), Some(2));
        assert_eq!(errno(fs::rename(live.place.join("mnt/bad"), live.place.join("mnt/b"))), EIO);
    }
    live.umount();
    let log = live.read("log");
    for told in ["`bad`: opaque mark of 8 bytes", "lower `low/worse`: relative redirect"] {
        assert_eq!(log.matches(told).count(), 1, "{told}: {log}");
    }
    assert_eq!(log.lines().count(), 2, "{log}");
    live.assert_nothing_left();
}
