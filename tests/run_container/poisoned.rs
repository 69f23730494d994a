//! Programs and libraries of an image run in its containers alone: no verb that works on a container's files or processes
//! runs, loads or obeys one of them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::image;
use crate::place::Place;
use crate::support::{need, need_root};

/// Leaves a file called as what it was loaded into.
const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
__attribute__((constructor)) static void begin(void) {
    char path[4096];
    snprintf(path, sizeof path, "%s/library-in-%s", CANARY, program_invocation_short_name);
    open(path, O_CREAT | O_WRONLY, 0600);
}
"#;

const PROGRAMS: [&str; 14] = [
    "tar",
    "ps",
    "cp",
    "gzip",
    "pigz",
    "unpigz",
    "zstd",
    "mount",
    "umount",
    "fusermount3",
    "modprobe",
    "nft",
    "ip",
    "newuidmap",
];

const LIBRARIES: [&str; 12] = [
    "libc.so.6",
    "libm.so.6",
    "libgcc_s.so.1",
    "libz.so.1",
    "libproc2.so.0",
    "libselinux.so.1",
    "libacl.so.1",
    "libnss_files.so.2",
    "libnss_compat.so.2",
    "libnss_dns.so.2",
    "libnss_systemd.so.2",
    "libnss_db.so.2",
];

/// An image of busybox whose other programs and libraries each leave a file in `canary`.
fn poison(place: &Place, canary: &Path) {
    let tree = place.join("tree");
    image::make(place, "clean", &json!({}));
    let source = place.join("library.c");
    std::fs::write(&source, LIBRARY).unwrap();
    let library = place.join("library.so");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC"]).arg(format!("-DCANARY=\"{}\"", canary.display()));
    assert!(cc.arg("-o").arg(&library).arg(source).status().unwrap().success());
    for dir in ["bin", "sbin", "usr/bin", "usr/sbin"] {
        std::fs::create_dir_all(tree.join(dir)).unwrap();
        for name in PROGRAMS.into_iter().chain(["ldconfig", "init"]) {
            let path = tree.join(dir).join(name);
            let script = format!("#!/bin/sh\n: >{}/{name}\n", canary.display());
            std::fs::write(&path, script).unwrap();
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        }
    }
    for dir in ["lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu", "lib64"] {
        std::fs::create_dir_all(tree.join(dir)).unwrap();
        for name in LIBRARIES {
            std::fs::copy(&library, tree.join(dir).join(name)).unwrap();
        }
    }
    std::fs::copy(&library, tree.join("poison.so")).unwrap();
    std::fs::write(tree.join("etc/ld.so.preload"), "/poison.so\n").unwrap();
    std::fs::write(tree.join("etc/ld.so.conf"), "/lib/x86_64-linux-gnu\n").unwrap();
    std::fs::write(tree.join("etc/nsswitch.conf"), "passwd: db files systemd\nhosts: dns\n")
        .unwrap();
    image::make(place, "poisoned", &json!({"Env": ["PATH=/bin", "LD_PRELOAD=/poison.so"]}));
}

#[test]
fn nothing_of_an_image_runs_but_its_containers_programs() {
    need_root!();
    need!("busybox", "tar", "cc", "ps");
    let place = Place::new();
    let canary = place.join("canary");
    std::fs::create_dir(&canary).unwrap();
    poison(&place, &canary);
    let left =
        || std::fs::read_dir(&canary).unwrap().map(|e| e.unwrap().file_name()).collect::<Vec<_>>();
    let none: [std::ffi::OsString; 0] = [];
    // The canary can be written from within, too: what ran in there would leave its file as well.
    let shared = format!("{0}:{0}", canary.display());
    let (given, out) = (place.join("given"), place.join("out"));
    std::fs::write(&given, "brought\n").unwrap();
    std::fs::create_dir(&out).unwrap();
    let run = ["run", "-d", "--name", "box", "-v", &shared, "poisoned", "busybox", "sleep", "1000"];
    let all = |verbs: &[&[&str]], state: &str| {
        for words in verbs {
            let mut command = place.command(words);
            command.stdin(Stdio::from(std::fs::File::open(place.join("archive.tar")).unwrap()));
            let output = command.output().unwrap();
            assert!(output.status.success(), "{words:?} {state}: {output:?}");
            assert_eq!(left(), none, "{words:?} {state}");
        }
    };
    let tar = Command::new("tar")
        .arg("-C")
        .arg(place.join(""))
        .args(["-cf"])
        .arg(place.join("archive.tar"))
        .arg("given")
        .status();
    assert!(tar.unwrap().success());
    let (given, out) = (given.to_str().unwrap(), out.to_str().unwrap());
    let layer = place.join("layer.tar");
    let saved = place.join("saved.tar");
    let (layer, saved) = (layer.to_str().unwrap(), saved.to_str().unwrap());
    let of_files: [&[&str]; 9] = [
        &["cp", "box:/etc", out],
        &["cp", "-a", "box:/bin", out],
        &["cp", "box:/etc", "-"],
        &["cp", given, "box:/root"],
        &["cp", "-", "box:/tmp"],
        &["diff", "box"],
        &["diff", "--tar", "-o", layer, "box"],
        &["commit", "box", "made"],
        &["save", "-o", saved, "made"],
    ];
    let of_processes: [&[&str]; 8] = [
        &["top", "box"],
        &["top", "box", "-eo", "pid,comm"],
        &["stats", "--no-stream", "box"],
        &["inspect", "box"],
        &["logs", "box"],
        &["pause", "box"],
        &["unpause", "box"],
        &["update", "--pids-limit", "50", "box"],
    ];
    place.layerfs(&run).said();
    place.layerfs(&["exec", "box", "busybox", "mkdir", "-p", "/root", "/tmp"]).said();
    assert_eq!(left(), none, "run");
    all(&of_files, "running");
    all(&of_processes, "running");
    place.layerfs(&["kill", "box"]).said();
    place.layerfs(&["wait", "box"]).said();
    std::fs::remove_dir_all(out).unwrap();
    std::fs::create_dir(out).unwrap();
    all(&of_files[..8], "ended");
    // The control: in the container they run.
    place.layerfs(&["start", "box"]).said();
    place.layerfs(&["exec", "box", "/bin/tar"]).said();
    assert_eq!(left(), ["tar"]);
    place.layerfs(&["rm", "-f", "box"]).said();
    std::fs::remove_dir_all(&canary).unwrap();
    std::fs::remove_dir_all(out).unwrap();
    place.assert_nothing_left();
}
