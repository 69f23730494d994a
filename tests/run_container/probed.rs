//! What a container finds around itself beside what one of runc's finds, with docker's settings: what differs is listed, each
//! with its reason.

use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::place::{Place, ran};
use crate::support::{need, need_root};

/// What of both is looked at, in the container.
const PROBE: &str = include_str!("probe.sh");

/// The first id of the host's in the other container, and how many it has.
const IDS: (u32, u32) = (1_900_000_000, 65_536);

/// Docker's set.
const CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// What docker has runc mask beside what runc itself does.
const MASKED: [&str; 2] = ["/proc/interrupts", "/sys/devices/virtual/powercap"];

/// How a line of ours may differ: the words it begins with, what runc's has there, what ours has, and why.
const DIFFERENCES: [(&str, &str, &str, &str); 11] = [
    ("Cap", "a80425fb", "800405fb", "no MKNOD, NET_RAW and AUDIT_WRITE: --cap-add gives them"),
    ("mount /dev ", "rw,nosuid", "rw,nosuid,noexec,relatime", "nothing is run from there"),
    ("mount /dev/", "rw,relatime", "rw,nosuid,noexec,relatime", "as the directory"),
    ("mount /etc/", "", "rw,nosuid,nodev,relatime", "files that docker's engine adds"),
    (
        "mount /proc",
        "rw,relatime proc",
        "rw,nosuid,nodev,noexec,relatime proc",
        "nothing is run there",
    ),
    ("mount /proc/", "ro,relatime", "ro,nosuid,nodev,noexec,relatime", "as the directory"),
    ("mount /proc/", "rw,relatime", "rw,nosuid,noexec,relatime", "/dev/null, as that of /dev"),
    (
        "mount /sys/",
        "ro,relatime tmpfs",
        "ro,nosuid,nodev,noexec,relatime tmpfs",
        "empty, for nothing else",
    ),
    ("write /sys/fs/cgroup", "yes", "no", "the directory of the hierarchies is not theirs to fill"),
    ("dev /dev/core", "", "-> /proc/kcore", "docker's engine adds it, too"),
    ("dev /dev/mqueue", "0:65534", "0:0", "its owner is the container's root"),
];

/// Whose lines depend on how the machine mounts its control groups, or on the disk below.
fn is_of_the_machine(line: &str) -> bool {
    ["mount /sys/fs/cgroup", "mount / ", "group "].iter().any(|it| line.starts_with(it))
}

/// One whose root is this tree, of busybox alone.
fn tree(place: &Place) -> PathBuf {
    let root = place.join("tree");
    for dir in ["bin", "proc", "sys", "dev", "etc", "tmp"] {
        std::fs::create_dir_all(root.join(dir)).unwrap();
    }
    let found = Command::new("sh").args(["-c", "command -v busybox"]).output().unwrap();
    let busybox = String::from_utf8(found.stdout).unwrap();
    std::fs::copy(busybox.trim(), root.join("bin/busybox")).unwrap();
    let listed = Command::new(busybox.trim()).arg("--list").output().unwrap();
    for name in String::from_utf8(listed.stdout).unwrap().lines().filter(|it| *it != "busybox") {
        symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    std::fs::write(root.join("probe.sh"), PROBE).unwrap();
    root
}

/// The words of runc's own example, with docker's settings and the same limits as ours.
fn bundle(at: &Path, name: &str) {
    assert!(Command::new("runc").arg("spec").current_dir(at).status().unwrap().success());
    let file = at.join("config.json");
    let mut words: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    words["root"] = json!({ "path": "tree", "readonly": false });
    let process = &mut words["process"];
    process["terminal"] = json!(false);
    process["args"] = json!(["/bin/sh", "/probe.sh"]);
    process["noNewPrivileges"] = json!(false);
    process["capabilities"] =
        json!({ "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES });
    process.as_object_mut().unwrap().remove("rlimits");
    let linux = &mut words["linux"];
    for kind in ["cgroup", "user"] {
        linux["namespaces"].as_array_mut().unwrap().push(json!({ "type": kind }));
    }
    for ids in ["uidMappings", "gidMappings"] {
        linux[ids] = json!([{ "containerID": 0, "hostID": IDS.0, "size": IDS.1 }]);
    }
    linux["cgroupsPath"] = json!(format!("/{name}"));
    linux["maskedPaths"].as_array_mut().unwrap().extend(MASKED.map(|it| json!(it)));
    linux["resources"] = json!({
        "devices": [{ "allow": false, "access": "rwm" }],
        "memory": { "limit": 50 << 20 },
        "pids": { "limit": 100 },
        "cpu": { "quota": 50_000, "period": 100_000, "shares": 512 },
    });
    linux["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["kexec_load"], "action": "SCMP_ACT_ERRNO" }],
    });
    std::fs::write(&file, serde_json::to_vec(&words).unwrap()).unwrap();
}

/// Gives the tree to another user, or back.
fn give(tree: &Path, id: u32) {
    let words = ["-hR".to_owned(), format!("{id}:{id}")];
    assert!(Command::new("chown").args(words).arg(tree).status().unwrap().success());
}

fn of_runc(place: &Place, tree: &Path) -> String {
    let name = format!("layerfs-probe-{}", std::process::id());
    let at = place.join("");
    // Who is root in there has to get there.
    std::fs::set_permissions(&at, std::fs::Permissions::from_mode(0o711)).unwrap();
    bundle(&at, &name);
    give(tree, IDS.0);
    let runc = |words: &[&str]| {
        let mut command = Command::new("timeout");
        command.args(["-k", "5", "30", "runc", "--root"]).arg(place.join("runc")).args(words);
        command.current_dir(&at).stdin(std::process::Stdio::null());
        command.output().unwrap()
    };
    let said = ran(runc(&["run", &name]));
    runc(&["delete", "--force", &name]);
    give(tree, 0);
    said.said()
}

fn lines(said: &str) -> BTreeSet<&str> {
    said.lines().filter(|line| !is_of_the_machine(line)).collect()
}

/// Whether one of the listed differences makes the line of ours of one of theirs, or of nothing.
fn reason(line: &str, theirs: &BTreeSet<&str>) -> Option<usize> {
    DIFFERENCES.iter().position(|(begins, other, own, _)| {
        let of_runc = line.replacen(own, other, 1);
        line.starts_with(begins)
            && line.contains(own)
            && (other.is_empty() || theirs.contains(&*of_runc))
    })
}

#[test]
fn a_container_finds_what_one_of_runc_finds_but_for_what_is_listed() {
    need_root!();
    need!("runc", "busybox", "timeout");
    let place = Place::new();
    let tree = tree(&place);
    let theirs = of_runc(&place, &tree);
    let limits = ["--memory", "50m", "--pids-limit", "100", "--cpus", "0.5", "--cpu-shares", "512"];
    let root = ["--rootfs", tree.to_str().unwrap(), "/bin/sh", "/probe.sh"];
    let words = [&["run", "--rm", "--network", "none"], &limits[..], &root[..]].concat();
    let ours = place.layerfs(&words).said();

    let (their, our) = (lines(&theirs), lines(&ours));
    let (mut met, mut unlisted) = (BTreeSet::new(), Vec::new());
    let mut explained: BTreeSet<String> = BTreeSet::new();
    for line in our.difference(&their) {
        match reason(line, &their) {
            Some(at) => {
                let (_, other, own, _) = DIFFERENCES[at];
                explained.insert(line.replacen(own, other, 1));
                met.insert(at);
            }
            None => unlisted.push(format!("ours: {line}")),
        }
    }
    let lost = their.difference(&our).filter(|line| !explained.contains(**line));
    unlisted.extend(lost.map(|line| format!("runc: {line}")));
    assert!(unlisted.is_empty(), "{unlisted:#?}\n{theirs}\n{ours}");
    let never: Vec<_> = (0..DIFFERENCES.len()).filter(|at| !met.contains(at)).collect();
    assert!(never.is_empty(), "{never:?} are none");
    // Of theirs it is as the disk is that the tree lies on.
    let root = "mount / rw,nodev,relatime fuse.layerfs";
    assert!(ours.lines().any(|line| line == root), "{ours}");

    // Limits read back the same, wherever the machine shows them.
    let groups = |said: &str| {
        said.lines()
            .filter(|it| it.starts_with("group "))
            .map(String::from)
            .collect::<BTreeSet<_>>()
    };
    let (theirs, ours) = (groups(&theirs), groups(&ours));
    assert!(theirs.len() >= 3 && theirs.is_subset(&ours), "{theirs:?} {ours:?}");
    std::fs::remove_dir_all(place.join("runc")).unwrap();
    for left in ["config.json", "tree"] {
        let at = place.join(left);
        if at.is_dir() { std::fs::remove_dir_all(at) } else { std::fs::remove_file(at) }.unwrap();
    }
    place.assert_nothing_left();
}
