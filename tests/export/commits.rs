//! What `commit` makes beside the layer, and of what: containers that run and that have ended, mounts, upper directories.

use std::process::{Child, Stdio};

use serde_json::Value;

use crate::ground::{Ground, refused, same_trees};
use crate::support::{need, need_root};

pub fn config(ground: &Ground, image: &str) -> Value {
    let told = ground.said(&["inspect", image]);
    serde_json::from_str::<Value>(&told).unwrap()[0].clone()
}

#[test]
fn the_words_of_a_dockerfile_and_the_history_are_in_the_image() {
    need_root!();
    let Some(ground) = Ground::mounted() else { return };
    let mnt = ground.at("mnt");
    ground.shell("mnt", "echo > new");
    let changes = [
        "CMD [\"a b\"]",
        "ENV GREETING=bye X=1",
        "LABEL k=v",
        "EXPOSE 80",
        "VOLUME /data",
        "USER 5",
        "WORKDIR sub",
        "STOPSIGNAL SIGINT",
    ];
    let changes: Vec<&str> = changes.iter().flat_map(|line| ["-c", line]).collect();
    let words =
        [&["commit", "-q", "-a", "Me", "-m", "why"][..], &changes, &[&mnt, "new:1"]].concat();
    let id = ground.said(&words);
    let image = config(&ground, "new:1");
    assert_eq!(image["Id"], id.trim());
    assert_eq!((&image["Author"], &image["Comment"]), (&"Me".into(), &"why".into()));
    let told = serde_json::json!({
        "Env": ["PATH=/bin", "GREETING=bye", "X=1"], "Cmd": ["a b"], "WorkingDir": "/tmp/sub", "User": "5",
        "Labels": {"org.example.kind": "small", "k": "v"}, "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/data": {}},
        "StopSignal": "SIGINT",
    });
    assert_eq!(image["Config"], told);
    let history = ground.said(&["history", "--json", "new:1"]);
    let history: Value = serde_json::from_str(&history).unwrap();
    let (steps, layers) =
        (history.as_array().unwrap(), image["RootFS"]["Layers"].as_array().unwrap());
    assert_eq!((&steps[0]["layer"], &steps[0]["comment"]), (&layers[3], &"why".into()));
    // The same changes are the same layer, whatever is said about them; without a name the image has none.
    let second = ground.said(&["commit", "-q", &mnt]);
    let second = config(&ground, second.trim());
    assert_eq!(
        (&second["RootFS"], &second["RepoTags"]),
        (&image["RootFS"], &serde_json::json!([]))
    );
    // A name goes to the newest.
    ground.said(&["commit", "-q", "-m", "other", &mnt, "new:1"]);
    assert_eq!(config(&ground, id.trim())["RepoTags"], serde_json::json!([]));
    ground.said(&["umount", &mnt]);
    ground.ends();
}

#[test]
fn an_upper_directory_is_found_by_its_mark_mounted_or_not() {
    need_root!();
    need!("python3");
    let Some(ground) = Ground::mounted() else { return };
    let (mnt, upper, work) = (ground.at("mnt"), ground.at("upper"), ground.at("elsewhere"));
    ground.said(&["umount", &mnt]);
    ground.said(&["mount", "--upper", &upper, "--work", &work, "small:1", &mnt]);
    ground.shell("mnt", "echo x >> opt/two; rm opt/two; mv var/cache var/kache");
    let lines = ground.said(&["diff", &mnt]);
    assert_eq!(ground.said(&["diff", "--work", &work, &upper]), lines);
    // Which names show the file is in the work directory only, and this one has no name that could be guessed.
    refused(&ground.layerfs(&["diff", &upper]), "its work directory knows: name that, too");
    ground.commits_whole("mounted:1", "the mount");
    ground.said(&["umount", &mnt]);
    let id = ground.said(&["commit", "-q", "--work", &work, &upper, "unmounted:1"]);
    let (one, other) = (config(&ground, "mounted:1"), config(&ground, id.trim()));
    assert_eq!(one["RootFS"], other["RootFS"]);
    // Two images with these layers: the user has to say which one is continued.
    ground.said(&["mount", "small:1", &mnt]);
    ground.said(&["commit", "-q", &mnt, "twin:1"]);
    ground.said(&["commit", "-q", "-m", "twin", &mnt, "twin:2"]);
    ground.said(&["umount", &mnt]);
    ground.said(&["mount", "--upper", &ground.at("upper2"), "twin:1", &mnt]);
    ground.shell("mnt", "echo > new");
    ground.said(&["umount", &mnt]);
    let upper2 = ground.at("upper2");
    assert_eq!(ground.said(&["diff", &upper2]), "A /new\n");
    refused(&ground.layerfs(&["commit", &upper2, "twin:3"]), "say which with --image");
    refused(&ground.layerfs(&["commit", "--image", "small:1", &upper2, "twin:3"]), "other layers");
    ground.said(&["commit", "-q", "--image", "twin:2", &upper2, "twin:3"]);
    for name in ["upper", "elsewhere", "upper2", "upper2.work"] {
        std::fs::remove_dir_all(ground.join(name)).unwrap();
    }
    ground.ends();
}

/// A command that runs a container; it does not outlive its test.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() && self.0.kill().is_ok() {
            self.0.wait().unwrap();
        }
    }
}

/// A container of busybox that writes a line a moment, to its end by a signal.
pub fn running(ground: &Ground) -> Running {
    ground.shell(".", "mkdir -p tree/bin tree/data; cp $(command -v busybox) tree/bin/busybox; ln -s busybox tree/bin/sh");
    ground.said(&["import", "--quiet", &ground.at("tree"), "box:1"]);
    std::fs::remove_dir_all(ground.join("tree")).unwrap();
    let script = "trap 'exit 0' TERM; echo begun > /data/begun; i=0; \
                  while :; do i=$((i+1)); echo $i > /data/new; busybox mv /data/new /data/last; busybox usleep 1000; done";
    let mut command =
        // With users of its own nobody of the host, root neither, reads its files by /proc/PID/root.
        ground.command_in("store", &["run", "--userns", "host", "--name", "box", "box:1", "/bin/sh", "-c", script]);
    Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

#[test]
fn a_container_stands_still_while_it_is_committed_and_goes_on() {
    need_root!();
    need!("busybox", "python3");
    let ground = Ground::new();
    let mut child = running(&ground);
    let lines = || String::from_utf8(ground.layerfs(&["diff", "box"]).stdout).unwrap();
    while !lines().contains("A /data/last\n") {
        std::thread::yield_now();
    }
    ground.said(&["commit", "-q", "-c", "USER 5", "box", "box:2"]);
    // It is not at rest then: a file that it writes at that moment is told, and nothing is made of half of it.
    loop {
        let made = ground.layerfs(&["commit", "-q", "--pause=false", "box", "box:3"]);
        if made.status.success() {
            break;
        }
        refused(&made, "changed while it was read");
    }
    ground.said(&["mount", "--read-only", "box:2", &ground.at("again")]);
    let counted = || std::fs::read_to_string(ground.join("again/data/last")).unwrap();
    let before: u64 = counted().trim().parse().unwrap();
    ground.said(&["umount", &ground.at("again")]);
    // It goes on: what comes later is later.
    ground.said(&["commit", "-q", "box", "box:4"]);
    ground.said(&["mount", "--read-only", "box:4", &ground.at("again")]);
    assert!(counted().trim().parse::<u64>().unwrap() > before);
    assert_eq!(config(&ground, "box:2")["Config"], serde_json::json!({"User": "5"}));
    ground.said(&["umount", &ground.at("again")]);
    let pid = config(&ground, "box")["State"]["Pid"].as_u64().unwrap();
    ground.shell(".", &format!("kill {pid}"));
    assert!(child.0.wait().unwrap().success());
    // By the beginning of its id, ended.
    let id = config(&ground, "box")["Id"].as_str().unwrap().to_owned();
    assert!(lines().contains("A /data/begun\n"));
    ground.said(&["commit", "-q", &id[..12], "box:5"]);
    ground.said(&["mount", "box:5", &ground.at("mnt")]);
    ground.said(&["mount", "--read-only", "box:5", &ground.at("again")]);
    same_trees(&ground.at("mnt"), &ground.at("again"), &[], "one image mounted twice");
    ground.said(&["umount", &ground.at("mnt"), &ground.at("again")]);
    ground.said(&["rm", "box"]);
    ground.ends();
}
