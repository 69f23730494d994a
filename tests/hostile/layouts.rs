//! OCI layouts whose parts do not hold together, or are not files.

use std::fs;
use std::os::unix::fs::symlink as make_symlink;
use std::path::Path;
use std::process::Command;

use layerfs_driver::store::digest::Digest;
use serde_json::json;

use super::layout::{Layout, descriptor};
use super::packing::gzip;
use super::row::listing;
use super::store::{Said, Victim, hollow, text};
use super::tarball::{dir, file, tar};
use crate::support::{rights, watchdog};

/// What no layout may make the command read and tell.
const CANARY: &str = "canary:$6$secret:19000:0:99999:7:::\n";

/// One layout: its name, what is broken, and the words that the refusal must have.
type Row = (&'static str, fn(&mut Layout), &'static [&'static str]);

fn check_all(rows: &[Row]) {
    let _watch = watchdog(120);
    let victim = Victim::new();
    let before = victim.picture();
    let mut wrong = Vec::new();
    for (name, break_it, words) in rows {
        fs::write(victim.path("canary"), CANARY).unwrap();
        let said = pull(&victim, *break_it);
        let place = victim.path("layout");
        let words = [&[text(&place)], *words].concat();
        if let Err(reason) = said.is_refusal_with(&words) {
            wrong.push(format!("{name}: {reason}"));
        }
        assert!(!said.stderr.contains("secret"), "{name}: {said:?}");
        assert_eq!(fs::read_to_string(victim.path("canary")).unwrap(), CANARY, "{name}");
        victim.assert_untouched(name, &before);
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

fn pull(victim: &Victim, break_it: fn(&mut Layout)) -> Said {
    let place = victim.path("layout");
    if place.exists() {
        fs::remove_dir_all(&place).unwrap();
    }
    break_it(&mut Layout::new(&place));
    victim.run(&["pull", "-q", "--name", "hostile", &format!("oci:{}", text(&place))])
}

#[test]
fn a_whole_layout_is_taken_and_can_be_taken_back() {
    let _watch = watchdog(120);
    let victim = Victim::new();
    let before = victim.picture();
    let said = pull(&victim, |_| {});
    assert_eq!((said.status, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    let store = victim.store();
    let chain = store.find("hostile").unwrap().image.chain_id().unwrap();
    let lines = ["d: directory", "d/f: file below", "d/g: file of 6000"];
    assert_eq!(listing(&store.tree(&chain).unwrap()), lines);
    drop(store);
    victim.assert_clean("a whole layout");
    victim.forget("hostile");
    victim.assert_untouched("a whole layout", &before);
}

#[test]
fn every_digest_and_every_size_is_compared() {
    check_all(&[
        ("a layer of another digest", |l| flip(&l.layer()), &[": layer ", "digest is sha256:"]),
        (
            "a layer of another archive",
            |l| {
                let other = tar(&[file("other", "x")]);
                let packed = [gzip(&other), gzip(&tar(&[]))];
                l.set_layers(&packed, &[tar(&[]), tar(&[])]);
            },
            &[": layer ", "unpacked", "digest is sha256:"],
        ),
        ("a layer that is cut", |l| cut(&l.layer(), 50), &["layer sha256:", "has 50 bytes"]),
        ("a layer that is longer", |l| append(&l.layer()), &["layer sha256:", "bytes, not the"]),
        (
            "a layer that is gone",
            |l| fs::remove_file(l.layer()).unwrap(),
            &["layer sha256:", "is missing"],
        ),
        (
            "a wrong size of a layer",
            |l| {
                l.manifest["layers"][0]["size"] = json!(1_000_000);
                l.seal_manifest();
            },
            &["layer sha256:", "not the 1000000"],
        ),
        (
            "a negative size of a layer",
            |l| {
                l.manifest["layers"][0]["size"] = json!(-1);
                l.seal_manifest();
            },
            &["layer", "size"],
        ),
        (
            "a 10 GB claim of a layer",
            |l| {
                l.manifest["layers"][0]["size"] = json!(10_u64 << 30);
                l.seal_manifest();
            },
            &["layer sha256:", "not the 10737418240"],
        ),
        (
            "a manifest of another digest",
            |l| flip(&l.blob(&l.index["manifests"][0])),
            &["manifest sha256:", "is corrupt"],
        ),
        (
            "a manifest of another size",
            |l| append(&l.blob(&l.index["manifests"][0])),
            &["manifest sha256:", "bytes, not the"],
        ),
        (
            "a manifest that is gone",
            |l| fs::remove_file(l.blob(&l.index["manifests"][0])).unwrap(),
            &["manifest sha256:", "is missing"],
        ),
        (
            "a config of another digest",
            |l| flip(&l.blob(&l.manifest["config"])),
            &["config sha256:", "is corrupt"],
        ),
        (
            "a config that is gone",
            |l| fs::remove_file(l.blob(&l.manifest["config"])).unwrap(),
            &["config sha256:", "is missing"],
        ),
        (
            "a digest that is a path",
            |l| {
                l.manifest["layers"][0]["digest"] = json!("sha256:../../../canary");
                l.seal_manifest();
            },
            &["layer", "sha256:../../../canary", "not a digest"],
        ),
        (
            "a digest with control characters",
            |l| {
                l.manifest["layers"][0]["digest"] = json!("sha256:\n\u{1b}[31m");
                l.seal_manifest();
            },
            &["layer", "not a digest"],
        ),
        (
            "a digest of another algorithm",
            |l| {
                l.manifest["layers"][0]["digest"] = json!(format!("sha512:{}", "0".repeat(128)));
                l.seal_manifest();
            },
            &["only sha256"],
        ),
    ]);
}

#[test]
fn documents_that_do_not_fit_each_other_are_refused() {
    check_all(&[
        (
            "more diff ids than layers",
            |l| {
                l.config["rootfs"]["diff_ids"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!(Digest::of(b"x").to_string()));
                l.seal();
            },
            &["2 layers", "3 diff ids"],
        ),
        (
            "fewer diff ids than layers",
            |l| {
                l.config["rootfs"]["diff_ids"] = json!([]);
                l.seal();
            },
            &["2 layers", "0 diff ids"],
        ),
        (
            "no rootfs",
            |l| {
                l.config.as_object_mut().unwrap().remove("rootfs");
                l.seal();
            },
            &["2 layers", "0 diff ids"],
        ),
        (
            "a diff id that is none",
            |l| {
                l.config["rootfs"]["diff_ids"][0] = json!("x");
                l.seal();
            },
            &["config sha256:", "`x` is not a digest"],
        ),
        (
            "a manifest that is no JSON",
            |l| {
                let entry = l.put("manifest.v1+json", b"{");
                l.index["manifests"] = json!([entry]);
                l.seal_index();
            },
            &["manifest sha256:"],
        ),
        (
            "a manifest nested 100,000 deep",
            |l| {
                let entry = l.put("manifest.v1+json", "[".repeat(100_000).as_bytes());
                l.index["manifests"] = json!([entry]);
                l.seal_index();
            },
            &["manifest sha256:"],
        ),
        (
            "a manifest of 100 MB",
            |l| {
                let entry = l.index["manifests"][0].clone();
                hollow(l.blob(&entry), 100_000_000);
                l.index["manifests"][0]["size"] = json!(100_000_000);
                l.seal_index();
            },
            &["manifest sha256:", "100000000 bytes, more than the 4194304"],
        ),
        (
            "a config of 100 MB",
            |l| {
                hollow(l.blob(&l.manifest["config"]), 100_000_000);
                l.manifest["config"]["size"] = json!(100_000_000);
                l.seal_manifest();
            },
            &["config sha256:", "100000000 bytes, more than the 4194304"],
        ),
        (
            "index.json of 100 MB",
            |l| hollow(l.dir.join("index.json"), 100_000_000),
            &["index.json", "100000000 bytes, more than the 4194304"],
        ),
        (
            "oci-layout of 100 MB",
            |l| hollow(l.dir.join("oci-layout"), 100_000_000),
            &["oci-layout", "100000000 bytes, more than the 4194304"],
        ),
        ("an index nested 1000 deep", |l| nest(l, 1000), &["nested more than"]),
        (
            "an index that names itself",
            |l| {
                // No index can hold its own digest: it names a blob whose bytes are another index.
                let name = Digest::of(b"itself");
                let entry = json!({ "mediaType": "application/vnd.oci.image.index.v1+json",
                "digest": name.to_string(), "size": 0 });
                let mut index = json!({ "schemaVersion": 2, "manifests": [entry] });
                let size = index.to_string().len() + 2;
                index["manifests"][0]["size"] = json!(size);
                fs::write(l.dir.join("blobs/sha256").join(name.hex()), index.to_string()).unwrap();
                l.index = index;
                l.seal_index();
            },
            &["sha256:", "is corrupt"],
        ),
        (
            "no image at all",
            |l| {
                l.index["manifests"] = json!([]);
                l.seal_index();
            },
            &["it holds no image"],
        ),
        (
            "a layout version of the future",
            |l| {
                fs::write(l.dir.join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
            },
            &["`2.0.0`", "not supported"],
        ),
        (
            "no oci-layout",
            |l| fs::remove_file(l.dir.join("oci-layout")).unwrap(),
            &["`oci-layout` is missing"],
        ),
        (
            "a layer of a hostile entry",
            |l| {
                let bad = tar(&[dir("d"), file("d/../../x", "")]);
                l.set_layers(&[gzip(&bad)], &[bad]);
            },
            &[": layer ", "d/../../x", ".. component"],
        ),
        (
            "a good layer beside a hostile one",
            |l| {
                let good = tar(&[file("large", vec![5; 3 << 20])]);
                let bad = tar(&[file("f", ""), file("f/x", "")]);
                l.set_layers(&[gzip(&good), gzip(&bad)], &[good, bad]);
            },
            &[": layer ", "`f/x`", "below `f`"],
        ),
    ]);
}

#[test]
fn blobs_that_are_no_files_are_neither_waited_for_nor_read() {
    if !rights::have_root() {
        return;
    }
    check_all(&[
        (
            "index.json as a fifo",
            |l| replace(&l.dir.join("index.json"), fifo),
            &["index.json", "not a regular file"],
        ),
        (
            "oci-layout as a fifo",
            |l| replace(&l.dir.join("oci-layout"), fifo),
            &["oci-layout", "not a regular file"],
        ),
        (
            "index.json as a directory",
            |l| replace(&l.dir.join("index.json"), directory),
            &["index.json", "not a regular file"],
        ),
        (
            "a layer as a fifo",
            |l| replace(&l.layer(), fifo),
            &["blobs/sha256/", "not a regular file"],
        ),
        (
            "a layer as a device",
            |l| replace(&l.layer(), zeros),
            &["blobs/sha256/", "not a regular file"],
        ),
        (
            "a layer as a directory",
            |l| replace(&l.layer(), directory),
            &["blobs/sha256/", "not a regular file"],
        ),
        (
            "a layer as a link to itself",
            |l| replace(&l.layer(), |p| make_symlink(p, p).unwrap()),
            &["blobs/sha256/"],
        ),
        (
            "a layer as a link to nothing",
            |l| replace(&l.layer(), |p| make_symlink("gone", p).unwrap()),
            &["is missing"],
        ),
        (
            "a layer as a link to a device",
            |l| replace(&l.layer(), |p| make_symlink("/dev/zero", p).unwrap()),
            &["blobs/sha256/", "not a regular file"],
        ),
        (
            "a layer as a link out of the layout",
            |l| replace(&l.layer(), |p| make_symlink("../../../canary", p).unwrap()),
            &["layer sha256:", "bytes, not the"],
        ),
        (
            "a layer as a link to a secret of its size",
            |l| {
                l.manifest["layers"][0]["size"] = json!(CANARY.len());
                l.seal_manifest();
                replace(&l.layer(), |p| make_symlink("../../../canary", p).unwrap());
            },
            &[": layer ", "truncated"],
        ),
        (
            "a manifest as a link to a secret",
            |l| {
                let entry = l.index["manifests"][0].clone();
                l.index["manifests"][0]["size"] = json!(CANARY.len());
                l.seal_index();
                replace(&l.blob(&entry), |p| make_symlink("../../../canary", p).unwrap());
            },
            &["manifest sha256:", "is corrupt"],
        ),
        (
            "index.json as a link to a secret",
            |l| {
                replace(&l.dir.join("index.json"), |p| make_symlink("../canary", p).unwrap());
            },
            &["index.json"],
        ),
        (
            "all blobs elsewhere",
            |l| {
                fs::remove_dir_all(l.dir.join("blobs")).unwrap();
                make_symlink("/proc/self", l.dir.join("blobs")).unwrap();
            },
            &["is missing"],
        ),
    ]);
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    // In gzip's header, which is under no checksum but the blob's digest.
    bytes[4] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path, len: u64) {
    fs::File::options().write(true).open(path).unwrap().set_len(len).unwrap();
}

fn append(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes.push(b' ');
    fs::write(path, bytes).unwrap();
}

fn nest(layout: &mut Layout, depth: usize) {
    for _ in 0..depth {
        let bytes = layout.index.to_string();
        let entry = layout.put("index.v1+json", bytes.as_bytes());
        assert_eq!(entry, descriptor("index.v1+json", bytes.as_bytes()));
        layout.index["manifests"] = json!([entry]);
    }
    layout.seal_index();
}

fn replace(path: &Path, with: impl FnOnce(&Path)) {
    fs::remove_file(path).unwrap();
    with(path);
}

fn directory(path: &Path) {
    fs::create_dir(path).unwrap();
}

fn fifo(path: &Path) {
    make_node(path, &["p"]);
}

fn zeros(path: &Path) {
    make_node(path, &["c", "1", "5"]);
}

fn make_node(path: &Path, words: &[&str]) {
    assert!(Command::new("mknod").arg(path).args(words).status().unwrap().success());
}
