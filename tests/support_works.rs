//! The harness itself: images are what they claim, places go away, pictures show what is left, and a hang ends.

#![allow(clippy::panic, reason = "a test that can't go on says so and stops")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::{Photo, Scope, Scratch, fixtures, need, need_root, photograph, rights, watchdog};

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("the file is JSON")
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("read {}: {e}", path.display()))
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("start {command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn blob(layout: &Path, descriptor: &Value) -> PathBuf {
    let digest = descriptor["digest"].as_str().expect("a descriptor has a digest");
    layout.join("blobs/sha256").join(digest.strip_prefix("sha256:").expect("the digest is SHA-256"))
}

fn only_manifest(layout: &Path) -> Value {
    let index = json(&read(&layout.join("index.json")));
    assert_eq!(index["manifests"].as_array().map(Vec::len), Some(1));
    json(&read(&blob(layout, &index["manifests"][0])))
}

/// What Python's tarfile finds in a layer: one `type name` line an entry, with markers for what a class needs.
fn classes(layer: &Path) -> String {
    let script = r"
import sys, tarfile
for e in tarfile.open(sys.argv[1]):
    marks = [e.type.decode()] + list(e.pax_headers)
    marks += ['suid'] * bool(e.mode & 0o4000) + ['latin'] * any(0xdc80 <= ord(c) <= 0xdcff for c in e.name)
    base = e.name.rsplit('/', 1)[-1]
    marks += ['opaque'] if base == '.wh..wh..opq' else ['whiteout'] if base.startswith('.wh.') else []
    marks += ['sparse'] * (e.size > 8 << 20)
    print(' '.join(marks))
";
    String::from_utf8(run(Command::new("python3").args(["-c", script]).arg(layer)).stdout)
        .expect("the script prints ASCII")
}

/// Unpacks an archive and returns its directory.
fn unpacked(archive: &Path) -> Scratch {
    let scratch = Scratch::new();
    run(Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(scratch.path()));
    scratch
}

fn skopeo_layers(source: &str, path: &Path) -> usize {
    let from = format!("{source}:{}", path.display());
    let output = run(Command::new("skopeo").args(["inspect", &from]));
    json(&output.stdout)["Layers"].as_array().expect("skopeo lists layers").len()
}

#[test]
fn small_layout_has_three_known_layers() {
    let Some(layout) = fixtures::small_layout() else { return };
    let manifest = only_manifest(&layout);
    let config = json(&read(&blob(&layout, &manifest["config"])));
    let diff_ids: Vec<&str> =
        config["rootfs"]["diff_ids"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let known = [
        "sha256:be7a47af2012d8e1c2932e9482e3aae4ac9a0230da131ae40a83eaf34810261f",
        "sha256:310a97b0747434ad38333e881d6ab550ddcf5d759dc9a514f32bf62bd6bc3cb6",
        "sha256:eaf1aef95586f96376d15105b59911962f50a20cd7ed8e8f388b84120a67a22e",
    ];
    assert_eq!(diff_ids, known);
    let lines: String =
        manifest["layers"].as_array().unwrap().iter().map(|l| classes(&blob(&layout, l))).collect();
    for class in [
        "whiteout",
        "opaque",
        "SCHILY.xattr.security.capability",
        "SCHILY.xattr.system.posix_acl_access",
        "latin",
    ] {
        assert!(lines.contains(class), "no {class} in the small image");
    }
}

#[test]
fn debian_layout_holds_every_class_of_entry() {
    let _watch = watchdog(300);
    let Some(layout) = fixtures::debian_layout() else { return };
    let layers = only_manifest(&layout)["layers"].as_array().unwrap().clone();
    assert!(layers.len() >= 3, "{} layers", layers.len());
    let lines: String = layers.iter().map(|l| classes(&blob(&layout, l))).collect();
    assert!(lines.lines().count() >= 5000, "{} entries", lines.lines().count());
    // tarfile names types by their flag: 1 hard link, 2 symlink, 3 character device, 5 directory, 6 fifo.
    for flag in ["1", "2", "3", "5", "6"] {
        assert!(
            lines.lines().any(|l| l.split(' ').next() == Some(flag)),
            "no entry of type {flag}"
        );
    }
    let xattrs = ["security.capability", "system.posix_acl_access", "user.note"]
        .map(|x| format!("SCHILY.xattr.{x}"));
    let marks = ["suid", "latin", "opaque", "whiteout", "sparse"].map(str::to_string);
    for mark in xattrs.iter().chain(&marks) {
        assert!(lines.lines().any(|l| l.split(' ').any(|w| w == mark)), "no entry with {mark}");
    }
}

#[test]
fn docker_save_legacy_links_a_repeated_layer() {
    let Some(archive) = fixtures::docker_save_legacy() else { return };
    let tree = unpacked(&archive);
    let manifest = json(&read(&tree.join("manifest.json")));
    let layers: Vec<&str> =
        manifest[0]["Layers"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(layers.len(), 4);
    assert!(tree.join(layers[3]).is_symlink());
    assert_eq!(read(&tree.join(layers[3])), read(&tree.join(layers[1])));
    assert!(tree.join("repositories").is_file());
    assert!(!tree.join("oci-layout").exists());
    need!("skopeo");
    assert_eq!(skopeo_layers("docker-archive", &archive), 4);
}

#[test]
fn docker_save_25_is_a_layout_and_an_archive_at_once() {
    let Some(archive) = fixtures::docker_save_25() else { return };
    let tree = unpacked(&archive);
    let legacy = json(&read(&tree.join("manifest.json")));
    let layers = only_manifest(tree.path())["layers"].as_array().unwrap().clone();
    assert_eq!(layers.len(), 4);
    for (layer, path) in layers.iter().zip(legacy[0]["Layers"].as_array().unwrap()) {
        assert_eq!(blob(tree.path(), layer), tree.join(path.as_str().unwrap()));
        assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar");
    }
    need!("skopeo");
    assert_eq!(skopeo_layers("docker-archive", &archive), 4);
    assert_eq!(skopeo_layers("oci-archive", &archive), 4);
}

#[test]
fn docker_save_containerd_nests_an_attestation() {
    let Some(archive) = fixtures::docker_save_containerd() else { return };
    let tree = unpacked(&archive);
    let nested = only_manifest(tree.path());
    let manifests = nested["manifests"].as_array().unwrap();
    assert_eq!(manifests.len(), 2);
    assert_eq!(manifests[1]["annotations"]["vnd.docker.reference.digest"], manifests[0]["digest"]);
    let image = json(&read(&blob(tree.path(), &manifests[0])));
    assert_eq!(image["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
    need!("skopeo");
    // skopeo follows the nested index by the platform it runs on.
    if cfg!(target_arch = "x86_64") {
        assert_eq!(skopeo_layers("oci-archive", &archive), 4);
    }
}

#[test]
fn podman_and_skopeo_archives_hold_three_layers() {
    let _watch = watchdog(120);
    let docker = [fixtures::podman_save(), fixtures::skopeo_docker_archive()];
    let oci = [fixtures::podman_save_oci(), fixtures::skopeo_oci_archive()];
    for archive in docker.into_iter().flatten() {
        assert_eq!(skopeo_layers("docker-archive", &archive), 3);
    }
    for archive in oci.into_iter().flatten() {
        assert_eq!(skopeo_layers("oci-archive", &archive), 3);
    }
}

#[test]
fn scratch_goes_away_with_what_is_mounted_in_it() {
    need_root!();
    let scratch = Scratch::new();
    let path = scratch.path().to_path_buf();
    std::fs::create_dir(path.join("m")).unwrap();
    run(Command::new("mount").args(["-t", "tmpfs", "none"]).arg(path.join("m")));
    drop(scratch);
    assert!(!path.exists());
    assert!(support::machine::mounts("self").iter().all(|m| !m.point.starts_with(&path)));
}

#[test]
fn loop_mounted_file_systems_leave_no_loop_device() {
    need_root!();
    if !rights::have_loop_devices() {
        return;
    }
    need!("mkfs.ext4", "mkfs.xfs");
    let _watch = watchdog(120);
    for (scratch, kind) in [(Scratch::ext4(64), "ext4"), (Scratch::xfs(300), "xfs")] {
        let path = scratch.path().to_path_buf();
        let mount = support::machine::mounts("self").into_iter().find(|m| m.point == path).unwrap();
        assert_eq!(mount.kind, kind);
        let outer = Scope::Below(path.parent().unwrap().to_path_buf());
        let nothing = Photo::empty(&outer);
        assert!(photograph(&outer).differences(&nothing).len() >= 2);
        drop(scratch);
        photograph(&outer).assert_same(&nothing);
    }
}

#[test]
fn a_picture_shows_a_process_a_descriptor_and_a_mount() {
    let scratch = Scratch::new();
    let scope = Scope::Below(scratch.path().to_path_buf());
    let before = photograph(&scope);
    let file = std::fs::File::create(scratch.join("file")).unwrap();
    let mut child = Command::new("sleep")
        .arg("60")
        .current_dir(scratch.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let found = photograph(&scope).differences(&before);
    child.kill().unwrap();
    child.wait().unwrap();
    drop(file);
    assert!(found.iter().any(|l| l.starts_with("left behind: process")), "{found:?}");
    assert!(found.iter().any(|l| l.starts_with("left behind: descriptor")), "{found:?}");
    photograph(&scope).assert_same(&before);
    need_root!();
    std::fs::create_dir(scratch.join("m")).unwrap();
    run(Command::new("mount").args(["-t", "tmpfs", "none"]).arg(scratch.join("m")));
    let found = photograph(&scope).differences(&before);
    assert!(found.iter().any(|l| l.starts_with("left behind: mount")), "{found:?}");
}

#[test]
fn a_picture_of_the_machine_can_be_taken() {
    // Tests beside change the machine, so only what is certain is asked: this process has descriptors and a loopback link.
    let photo = photograph(&Scope::Machine);
    let nothing = Photo::empty(&Scope::Machine);
    let found = photo.differences(&nothing);
    assert!(found.iter().any(|l| l.contains("descriptor")), "{found:?}");
    assert!(found.iter().any(|l| l.contains("link /sys/class/net/lo")), "{found:?}");
}

/// Hangs if told to; run by the test below in a process of its own.
#[test]
fn victim_of_the_watchdog() {
    if std::env::var_os("LAYERFS_TEST_HANG").is_none() {
        return;
    }
    let _watch = watchdog(1);
    let scratch = Scratch::new();
    let mut child = Command::new("sh")
        .args(["-c", "sleep 30; echo survived"])
        .current_dir(scratch.path())
        .spawn()
        .unwrap();
    println!("victim {} {}", child.id(), scratch.path().display());
    // Where the watchdog does nothing this ends by itself, and the test below says so.
    child.wait().unwrap();
}

#[test]
fn a_hanging_test_is_ended_and_cleared_away() {
    let mut victim = Command::new(std::env::current_exe().unwrap());
    victim.args(["--exact", "victim_of_the_watchdog", "--nocapture"]).env("LAYERFS_TEST_HANG", "1");
    let output = victim.output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said
        .lines()
        .find_map(|l| l.split_once("victim ").map(|(_, rest)| rest))
        .expect("the victim names itself");
    let (pid, place) = line.split_once(' ').unwrap();
    assert!(!Path::new(place).exists(), "{place} is left");
    // The output ends when the last holder of the pipe has: the victim's child, killed or not.
    assert!(!said.contains("survived"), "process {pid} was left to end by itself");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("still runs after 1 s") && errors.contains("sleep 30"), "{errors}");
}

#[test]
fn a_figure_is_told_where_it_is_asked_for() {
    if std::env::var_os("LAYERFS_TEST_FIGURE").is_some() {
        support::figure("points: 7");
    }
}

/// The harness keeps the output of tests that pass to itself.
#[test]
fn a_figure_shows_in_a_plain_run() {
    let mut plain = Command::new(std::env::current_exe().unwrap());
    plain
        .args(["--exact", "a_figure_is_told_where_it_is_asked_for"])
        .env("LAYERFS_TEST_FIGURE", "1");
    let output = run(&mut plain);
    let said = String::from_utf8_lossy(&output.stderr);
    let line = "figure: a_figure_is_told_where_it_is_asked_for: points: 7\n";
    assert!(said.ends_with(line), "{said}");
}

const TOLD_TO_FAIL: &str = "LAYERFS_TEST_FAILS";

/// Fails where the test below says so.
#[test]
fn a_test_in_a_process_of_its_own_does_as_it_is_told() {
    let outside = std::process::id();
    support::alone!();
    assert!(std::env::var_os(TOLD_TO_FAIL).is_none(), "told to fail in {outside}");
}

#[test]
fn what_fails_in_a_process_of_its_own_is_the_failure_of_the_test() {
    let name = "a_test_in_a_process_of_its_own_does_as_it_is_told";
    let run = |told: &str| {
        let mut harness = Command::new(std::env::current_exe().unwrap());
        harness.args(["--exact", name, "--test-threads=2"]);
        harness.env_remove("LAYERFS_TEST_ALONE").env(told, "1").output().unwrap()
    };
    let (well, failed) = (run("LAYERFS_TEST_DOES_NOT"), run(TOLD_TO_FAIL));
    assert!(well.status.success(), "{well:?}");
    let said = String::from_utf8_lossy(&failed.stdout) + String::from_utf8_lossy(&failed.stderr);
    assert!(!failed.status.success() && said.contains("told to fail in"), "{said}");
}
