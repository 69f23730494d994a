//! Mounts that are refused: one line, exit status 1, and everything as it was.

use std::process::Command;

use crate::live::{Live, live};
use crate::support::Scratch;

/// Options, mountpoint, and words of the one line.
const ROWS: [(&str, &str, &str); 35] = [
    ("lowerdir=base", "nope", "mountpoint `nope`: it does not exist; is its name right?"),
    ("lowerdir=base", "base/only", "mountpoint `base/only`: it is not a directory"),
    ("lowerdir=top:nope", "mnt", "lower directory `nope`: it does not exist"),
    ("lowerdir=base/only:top", "mnt", "lower directory `base/only`: it is not a directory"),
    (
        "lowerdir=base,upperdir=nope,workdir=work",
        "mnt",
        "upper directory `nope`: it does not exist",
    ),
    ("lowerdir=base,upperdir=up,workdir=nope", "mnt", "work directory `nope`: it does not exist"),
    ("lowerdir=base,upperdir=up,workdir=DISK", "mnt", "are not on one mount of one file system"),
    ("lowerdir=base,upperdir=up,workdir=up", "mnt", "/up` is the upper directory `"),
    ("lowerdir=base,upperdir=up,workdir=up/../up", "mnt", "/up` is the upper directory `"),
    (
        "lowerdir=base,upperdir=mnt,workdir=mnt/in",
        "base",
        "/mnt/in` lies inside the upper directory `",
    ),
    (
        "lowerdir=base,upperdir=mnt/in,workdir=mnt",
        "base",
        "/mnt/in` lies inside the work directory `",
    ),
    (
        "lowerdir=mnt/in,upperdir=mnt,workdir=work",
        "base",
        "/mnt/in` lies inside the upper directory `",
    ),
    (
        "lowerdir=base:mnt/in,upperdir=up,workdir=mnt",
        "top",
        "/mnt/in` lies inside the work directory `",
    ),
    ("lowerdir=base:up,upperdir=up,workdir=work", "mnt", "/up` is the upper directory `"),
    ("lowerdir=work,upperdir=up,workdir=work", "mnt", "/work` is the work directory `"),
    (
        "lowerdir=base,upperdir=base/d,workdir=work",
        "mnt",
        "/base/d` lies inside the lower directory `",
    ),
    (
        "lowerdir=top:base,upperdir=up,workdir=base/d",
        "mnt",
        "/base/d` lies inside the lower directory `",
    ),
    (
        "lowerdir=base,upperdir=bind/u,workdir=bind/w",
        "mnt",
        "/bind/u` lies inside the lower directory `",
    ),
    ("lowerdir=base", "base/d", "/base/d` lies inside the lower directory `"),
    (
        "lowerdir=base,upperdir=mnt,workdir=work",
        "mnt/in",
        "/mnt/in` lies inside the upper directory `",
    ),
    ("lowerdir=base,upperdir=up,workdir=work", "up", "/up` is the upper directory `"),
    ("lowerdir=holder/store", "mnt", "/holder/store` is the lower directory `"),
    (
        "lowerdir=holder/store/in,upperdir=holder/store/in/u,workdir=work",
        "mnt",
        "/holder/store/in/u` lies inside the lower directory `",
    ),
    ("lowerdir=holder", "holder/other", "/holder/other` lies inside the lower directory `"),
    ("lowerdir=base:top:base", "mnt", "/base` is given twice"),
    ("lowerdir=base:top:bind", "mnt", "/bind` lies inside the lower directory `"),
    ("lowerdir=base/d:top:base", "mnt", "/base/d` lies inside the lower directory `"),
    // Where the one is hidden in the other, a third is seen all the same.
    (
        "lowerdir=holder:holder/store/in:holder/x",
        "mnt",
        "/holder/x` lies inside the lower directory `",
    ),
    (
        "lowerdir=base,verity=on",
        "mnt",
        "option `verity=on` is refused: digests of lower files are not compared",
    ),
    ("lowerdir=", "mnt", "lowerdir= names no directory"),
    ("lowerdir=top::base", "mnt", "lowerdir= holds an empty name"),
    ("lowerdir=base,upperdir=up", "mnt", "upperdir= needs workdir="),
    ("lowerdir=base,workdir=work", "mnt", "workdir= says nothing without upperdir="),
    ("lowerdri=base", "mnt", "option `lowerdri=base` is not known; did you mean `lowerdir`?"),
    ("ro,noexec", "mnt", "an image and a mountpoint are needed"),
];

fn bind(live: &Live) {
    for dir in ["bind", "base/d/u", "base/d/w"] {
        std::fs::create_dir(live.place.join(dir)).unwrap();
    }
    let mut mount = Command::new("mount");
    mount.arg("--bind").arg(live.place.join("base/d")).arg(live.place.join("bind"));
    assert!(mount.status().unwrap().success(), "{mount:?}");
}

#[test]
fn every_refusal_is_one_line_and_leaves_nothing() {
    let Some(live) = live() else { return };
    for dir in ["holder/store/in/u", "holder/other", "holder/x"] {
        std::fs::create_dir_all(live.place.join(dir)).unwrap();
    }
    bind(&live);
    let disk = Scratch::on_disk();
    let disk = disk.path().to_str().unwrap();
    let before = live.names();
    for (options, at, expected) in ROWS {
        let options = options.replace("DISK", disk);
        let mut command = live.place.command(&["mount", "-o", &options, at]);
        command.env("LAYERFS_ROOT", live.place.join("holder/store"));
        let run = crate::place::finished(&mut command);
        let status = if expected.starts_with("an image") { 2 } else { 1 };
        let line = run.refusal(status);
        assert!(line.contains(expected), "{options} {at}: {line}");
        assert_eq!(live.names(), before, "{options} {at}");
    }
    assert!(Command::new("umount").arg(live.place.join("bind")).status().unwrap().success());
    live.assert_nothing_left();
}

/// Who forgets `lowerdir=` is not sent to a registry for an image.
#[test]
fn a_source_that_is_no_image_is_told_with_the_option_for_directories() {
    let Some(live) = live() else { return };
    let rows = [
        (
            "overlay",
            "no image `overlay` in the store, and no directories are named: say which with -o lowerdir=A:B",
        ),
        (
            "base",
            "no image `base` in the store, but a directory of that name here: to mount directories say -o lowerdir=base",
        ),
    ];
    for (source, expected) in rows {
        assert_eq!(live.place.refused(&["mount", source, "mnt"]), expected, "no store");
    }
    live.place.pull_small("small");
    for (source, expected) in rows {
        assert_eq!(live.place.refused(&["mount", source, "mnt"]), expected);
        assert_eq!(
            live.run_named("mount.layerfs", &[source, "mnt", "-o", "rw"]).refusal(1),
            expected
        );
    }
    // An image of such a name is one.
    live.place.said(&["tag", "small:1", "overlay"]);
    live.place.said(&["mount", "overlay", "mnt"]);
    live.umount();
    live.assert_nothing_left();
}

#[test]
fn a_busy_upper_is_refused_whichever_of_its_directories_is_shared() {
    let Some(live) = live() else { return };
    for dir in ["up2", "work2", "other1", "other2"] {
        std::fs::create_dir(live.place.join(dir)).unwrap();
    }
    live.place.said(&["mount", "-o", "lowerdir=base,upperdir=up,workdir=work", "mnt"]);
    let before = live.names();
    let rows = [
        ("upperdir=up,workdir=work", "other1", "the upper directory is in use by another mount"),
        ("upperdir=up,workdir=work2", "other1", "the upper directory is in use by another mount"),
        ("upperdir=up2,workdir=work", "other2", "the work directory is in use by another mount"),
    ];
    std::thread::scope(|scope| {
        for (options, at, expected) in rows {
            let live = &live;
            scope.spawn(move || {
                let line =
                    live.place.refused(&["mount", "-o", &format!("lowerdir=base,{options}"), at]);
                assert!(line.contains(expected), "{options}: {line}");
            });
        }
    });
    assert_eq!(live.names(), before);
    live.umount();
    live.assert_nothing_left();
}
