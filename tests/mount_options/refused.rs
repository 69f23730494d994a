//! Mounts that are refused: one line, the exit status, and everything as it was.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::live::{Live, live};
use crate::support::Scratch;

/// Options, mountpoint, and words of the one line.
const ROWS: [(&str, &str, &str); 36] = [
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
    (
        "lowerdri=base",
        "mnt",
        "option `lowerdri=base` is not known (did you mean `lowerdir`?); `layerfs",
    ),
    (
        "lowerdir=base,size=1g",
        "mnt",
        "size= and inodes= bound what is written, and this mount is read-only",
    ),
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

/// Whether the words were not understood, and not what they ask for was refused.
fn is_misunderstood(expected: &str) -> bool {
    let beginnings =
        ["an image", "lowerdir=", "upperdir=", "workdir=", "size=", "option `lowerdri"];
    beginnings.iter().any(|beginning| expected.starts_with(beginning))
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
        let status = if is_misunderstood(expected) { 2 } else { 1 };
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

fn tells_connections(server: u32) -> bool {
    let infos = crate::support::machine::entries(Path::new(&format!("/proc/{server}/fdinfo")));
    let info = |path: &PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    infos.iter().any(|path| info(path).contains("fuse_connection:"))
}

/// It stands nowhere any more, so that no list of mounts tells who keeps it.
#[test]
fn who_works_in_an_unmounted_mount_is_told_to_those_who_want_its_upper() {
    let Some(live) = live() else { return };
    let words = ["mount", "-o", "lowerdir=base,upperdir=up,workdir=work", "mnt"];
    live.place.said(&words);
    let server = live.servers()[0];
    let mut user = Command::new("sh")
        .args(["-c", "read line"])
        .current_dir(live.place.join("mnt/d"))
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    live.place.said(&["umount", "-l", "mnt"]);
    let line = live.refused_after_a_wait(&words);
    let expected = match tells_connections(server) {
        true => format!(
            "upper directory is in use by another mount; process {server} (layerfs) holds it, unmounted and still in use by \
             process {} (sh): end that",
            user.id()
        ),
        false => format!("process {server} (layerfs) holds it"),
    };
    assert!(line.ends_with(&expected), "{line}");
    drop(user.stdin.take());
    user.wait().unwrap();
    live.place.said(&words);
    live.umount();
    live.assert_nothing_left();
}

/// A disk that takes no changes, also where the work directory was used before.
#[test]
fn an_upper_on_a_read_only_disk_is_told_with_the_way_to_see_it() {
    let Some(live) = live() else { return };
    for used in [false, true] {
        if used {
            live.place.said(&["mount", "-o", "lowerdir=base,upperdir=up,workdir=work", "mnt"]);
            live.umount();
        }
        let shown = live.shell(
            "mkdir ram disk; mv up work disk; mount --bind disk ram; mount -o remount,bind,ro ram; exec 2>&1; \
             for more in '' ,ro; do $LAYERFS mount -o lowerdir=base,upperdir=ram/up,workdir=ram/work$more mnt; done; \
             umount ram; mv disk/* .; rmdir ram disk".replace("$LAYERFS", env!("CARGO_BIN_EXE_layerfs")).as_str(),
        );
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 2, "{shown}");
        for line in lines {
            assert!(
                line.ends_with(
                    "/ram/up`: it lies on a file system that is mounted read-only: to see it, leave upperdir= and workdir= out \
                     and name it as the first of lowerdir="
                ),
                "{line}"
            );
        }
    }
    live.shell("rm -r up work; mkdir up work");
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
    let server = live.servers()[0];
    let rows = [
        ("upperdir=up,workdir=work", "other1", "the upper directory is in use by another mount"),
        ("upperdir=up,workdir=work2", "other1", "the upper directory is in use by another mount"),
        ("upperdir=up2,workdir=work", "other2", "the work directory is in use by another mount"),
    ];
    std::thread::scope(|scope| {
        for (options, at, expected) in rows {
            let live = &live;
            scope.spawn(move || {
                let words = ["mount", "-o", &format!("lowerdir=base,{options}"), at];
                let line = match expected.contains("upper") {
                    true => live.refused_after_a_wait(&words),
                    false => live.place.refused(&words),
                };
                assert!(
                    line.contains(&format!("{expected}; process {server} (layerfs) holds it")),
                    "{line}"
                );
                // Which mount a process serves the kernel tells from 6.18 on.
                if tells_connections(server) {
                    let mnt = live.place.join("mnt").display().to_string();
                    let where_to_go =
                        format!("holds it, mounted at `{mnt}`: `layerfs umount {mnt}`");
                    assert!(line.ends_with(&where_to_go), "{options}: {line}");
                }
            });
        }
    });
    assert_eq!(live.names(), before);
    live.umount();
    live.assert_nothing_left();
}
