//! The names and forms that mount(8), podman and callers of fuse-overlayfs use.

use crate::live::{live, step};
use crate::place::finished;

#[test]
fn every_name_mounts_directories() {
    let Some(live) = live() else { return };
    let options = "lowerdir=top:base,upperdir=up,workdir=work";
    let rows: [(&str, &[&str], &str); 6] = [
        ("layerfs", &["-o", options, "mnt"], "layerfs"),
        ("fuse-layerfs", &["-o", options, "mnt"], "layerfs"),
        ("fuse-layerfs", &["mnt", "-s", "-o", options], "layerfs"),
        ("mount.layerfs", &["given", "mnt", "-o", options], "given"),
        (
            "mount.fuse.layerfs",
            &["given", "mnt", "-n", "-o", options, "-t", "fuse.layerfs"],
            "given",
        ),
        ("mount.layerfs", &["given", "mnt", "-s", "-o", &format!("rw,frob,{options}")], "given"),
    ];
    for (name, words, source) in rows {
        let run = live.run_named(name, words);
        assert_eq!((run.status, &*run.stderr), (Some(0), ""), "{name} {words:?}");
        assert_eq!(live.found()[..2], [source.to_owned(), "fuse.layerfs".to_owned()], "{words:?}");
        assert_eq!(live.read("mnt/only"), "only");
        live.umount();
    }
    assert_eq!(live.place.run(&["umount", "mnt"]).status, Some(1), "nothing is mounted any more");
    assert!(!live.place.join("store").exists(), "mounts of directories make no store");
    live.assert_nothing_left();
}

/// mount(8) reads 2 as an error of the system, and fuse-overlayfs ends with 1.
#[test]
fn words_that_are_not_understood_end_as_whoever_calls_expects() {
    let Some(live) = live() else { return };
    let rows: [(&str, &[&str], &str); 13] = [
        ("mount.layerfs", &["x", "mnt", "-o", "lowerdir=base,frob"], "`frob` is not known"),
        ("mount.fuse.layerfs", &["x", "mnt", "-o", "lowerdir="], "names no directory"),
        ("mount.layerfs", &["x", "mnt", "-r"], "unexpected argument '-r'"),
        ("fuse-layerfs", &["-o", "lowerdir=base,frob", "mnt"], "`frob` is not known"),
        ("fuse-overlayfs", &["-o", "lowerdir=base,upperdir=up", "mnt"], "needs workdir="),
        ("fuse-overlayfs", &["-x", "mnt"], "unexpected argument '-x'"),
        ("layerfs", &["-o", "lowerdir=base,io=direct", "mnt"], "`io=direct`: `auto` or `cached`"),
        ("layerfs", &["x", "mnt", "-o", "timeout=x"], "`timeout=x`: seconds"),
        ("layerfs", &["mount", "-o", "lowerdir=base,frob", "mnt"], "`frob` is not known"),
        (
            "layerfs",
            &["mount", "-o", "lowerdir=base,uidmapping=0:1:0", "mnt"],
            "`uidmapping=0:1:0`",
        ),
        ("layerfs", &["upper", "normalize", "-o", "frob", "up"], "`frob` is not known"),
        ("layerfs", &["diff", "--lowerdir", "base::top", "up"], "holds an empty name"),
        ("layerfs", &["mount", "-x", "mnt"], "unexpected argument '-x'"),
    ];
    for (name, words, told) in rows {
        let is_own = name == "layerfs" && ["mount", "upper", "diff"].contains(&words[0]);
        let line = live.run_named(name, words).refusal(if is_own { 2 } else { 1 });
        assert!(line.contains(told), "{name} {words:?}: {line}");
    }
    // What is known and refused was understood.
    let refused = ["mount", "-o", "lowerdir=base,iversion", "mnt"];
    assert!(live.place.refused(&refused).contains("`iversion` is refused"));
    live.assert_nothing_left();
}

#[test]
fn a_fake_mount_checks_and_mounts_nothing() {
    let Some(live) = live() else { return };
    let run = live.run_named("mount.layerfs", &["x", "mnt", "-f", "-o", "lowerdir=base"]);
    assert_eq!((run.status, &*run.stderr), (Some(0), ""));
    let line =
        live.run_named("mount.layerfs", &["x", "mnt", "-f", "-o", "lowerdir=nope"]).refusal(1);
    assert!(line.starts_with("lower directory `nope`"), "{line}");
    let line = live.run_named("mount.layerfs", &["x", "mnt", "-N", "/ns", "-o", "lowerdir=base"]);
    assert!(line.refusal(1).starts_with("namespace `/ns`"));
    assert!(live.place.join("mnt/in").exists(), "nothing is mounted");
    live.assert_nothing_left();
}

#[test]
fn a_helper_mounts_an_image_by_its_name() {
    let Some(live) = live() else { return };
    live.place.pull_small("small");
    let rows = [
        ("", "rw,nosuid,nodev"),
        ("ro", "ro,nosuid,nodev"),
        ("suid,dev", "rw,relatime"),
        (
            "nosuid,nodev,nodiratime,sync,lazytime,comment=x,index=off",
            "rw,nosuid,nodev,nodiratime,relatime,sync,lazytime",
        ),
        ("upperdir=up,workdir=work", "rw,nosuid,nodev"),
    ];
    for (options, flags) in rows {
        let run = live.run_named("mount.layerfs", &["small:1", "mnt", "-o", options]);
        assert_eq!((run.status, &*run.stderr), (Some(0), ""), "{options}");
        let [source, kind, all] = live.found();
        assert_eq!((&*source, &*kind), ("small:1", "fuse.layerfs"));
        assert!(all.starts_with(flags), "{options}: {all}");
        if !options.starts_with("ro") {
            std::fs::write(live.place.join("mnt/new"), "new").unwrap();
        }
        live.umount();
    }
    assert_eq!(live.read("up/new"), "new");
    let line = live.run_named("mount.layerfs", &["nope", "mnt", "-o", "ro"]).refusal(1);
    assert!(line.starts_with("no image `nope` in the store"), "{line}");
    live.assert_nothing_left();
}

#[test]
fn every_key_of_the_list_of_mounts_is_documented() {
    let Some(live) = live() else { return };
    live.place.said(&["mount", "-o", "lowerdir=base", "mnt"]);
    let rows = live.place.rows(&["mount", "--json"]);
    live.umount();
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/json.md")).unwrap();
    let section = page.split("\n## `layerfs mount --json`").nth(1).unwrap();
    let table =
        section.split("\n## ").next().unwrap().lines().filter_map(|line| line.strip_prefix("| `"));
    let mut documented: Vec<&str> = table.filter_map(|row| row.split('`').next()).collect();
    documented.sort_unstable();
    let mut keys: Vec<&String> = rows[0].as_object().unwrap().keys().collect();
    keys.sort_unstable();
    assert_eq!(keys, documented);
}

#[test]
fn each_name_has_a_help_of_its_own() {
    let Some(live) = live() else { return };
    for (name, usage) in [
        ("fuse-layerfs", "Usage: fuse-layerfs [-f] [-d] [-s] [-o OPTIONS] DIR\n"),
        ("mount.layerfs", "Usage: mount.layerfs SPEC DIR [-sfnv] [-o OPTIONS] [-t TYPE]\n"),
        (
            "mount.fuse.layerfs",
            "Usage: mount.fuse.layerfs SPEC DIR [-sfnv] [-o OPTIONS] [-t TYPE]\n",
        ),
    ] {
        for words in [&["--help"][..], &["-h"], &["x", "mnt", "--help"]] {
            let run = live.run_named(name, words);
            assert_eq!((run.status, &*run.stderr), (Some(0), ""), "{name} {words:?}");
            assert!(
                run.stdout.starts_with(usage) && !run.stdout.contains("--upper"),
                "{}",
                run.stdout
            );
        }
    }
    let run = live
        .run_named("mount.layerfs", &["x", "mnt", "-f", "-o", "lowerdir=base,fsname=", "-t", "-h"]);
    assert_eq!((run.status, &*run.stdout), (Some(0), ""), "the word after -t is its value");
}

#[test]
fn in_the_foreground_the_process_is_the_mount() {
    let Some(live) = live() else { return };
    let mut command = live.named("fuse-layerfs", &["-f", "-o", "lowerdir=base", "mnt"]);
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    while live.place.join("mnt/in").exists() {
        assert_eq!(child.try_wait().unwrap(), None, "it serves");
        step();
    }
    assert_eq!(live.read("mnt/only"), "only");
    live.umount();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    live.assert_nothing_left();
}

#[test]
fn the_version_is_told_under_the_name_of_fuse_programs() {
    let Some(live) = live() else { return };
    let run = finished(&mut live.named("fuse-layerfs", &["--version"]));
    assert_eq!(run.stdout, format!("layerfs {}\n", env!("CARGO_PKG_VERSION")));
}
