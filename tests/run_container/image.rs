//! A small image whose configuration a test chooses: busybox, two users, three groups, and a program that shows its words.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::place::Place;

/// Shows its words, one a line, and what else an image's configuration decides.
const SHOW: &str = "#!/bin/sh\nfor word; do echo \"[$word]\"; done\n\
                    echo \"$GREETING $COLOUR in $(pwd) as $(id -u):$(id -g) of $(id -G)\"\n";

/// Brings in an image called `name` with this `config` (OCI's, in an image's configuration). It needs busybox and tar.
pub fn make(place: &Place, name: &str, config: &Value) {
    make_of(place, name, json!({"architecture": "amd64", "os": "linux", "config": config}));
}

/// The same of a whole configuration, whatever keys it has.
pub fn make_of(place: &Place, name: &str, mut of_image: Value) {
    let tree = place.join("tree");
    if !tree.exists() {
        plant(&tree);
    }
    let layer = Command::new("tar").arg("-C").arg(&tree).args(["-cf", "-", "."]).output().unwrap();
    assert!(layer.status.success(), "{layer:?}");
    let layout = place.join(format!("layout-{name}"));
    std::fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    let put = |kind: &str, bytes: &[u8]| {
        let digest = hex(bytes);
        std::fs::write(layout.join("blobs/sha256").join(&digest), bytes).unwrap();
        let kind = format!("application/vnd.oci.image.{kind}");
        json!({"mediaType": kind, "digest": format!("sha256:{digest}"), "size": bytes.len()})
    };
    let layers = [put("layer.v1.tar", &layer.stdout)];
    of_image["rootfs"] = json!({"type": "layers", "diff_ids": [&layers[0]["digest"]]});
    let config = put("config.v1+json", of_image.to_string().as_bytes());
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
    let mut entry = put("manifest.v1+json", manifest.to_string().as_bytes());
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
    std::fs::write(layout.join("index.json"), index).unwrap();
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let source = format!("oci:{}:{name}", layout.display());
    let pulled = place.layerfs(&["pull", &source, "--name", name]);
    assert_eq!(pulled.status, 0, "{pulled:?}");
}

fn plant(tree: &Path) {
    for directory in ["bin", "etc"] {
        std::fs::create_dir_all(tree.join(directory)).unwrap();
    }
    let found = Command::new("sh").args(["-c", "command -v busybox"]).output().unwrap();
    let busybox = String::from_utf8(found.stdout).unwrap();
    std::fs::copy(busybox.trim(), tree.join("bin/busybox")).unwrap();
    for name in ["sh", "id", "pwd", "echo", "cat"] {
        symlink("busybox", tree.join("bin").join(name)).unwrap();
    }
    std::fs::write(tree.join("bin/show"), SHOW).unwrap();
    std::fs::set_permissions(tree.join("bin/show"), PermissionsExt::from_mode(0o755)).unwrap();
    let passwd = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:100:Ann:/home/ann:/bin/sh\n";
    std::fs::write(tree.join("etc/passwd"), passwd).unwrap();
    std::fs::write(tree.join("etc/group"), "root:x:0:\nusers:x:100:\naudio:x:29:ann\n").unwrap();
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
