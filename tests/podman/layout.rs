//! Reads the layouts that podman writes, by tarfile.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Files of the base image are of the days after this moment, and what a build makes is of today.
const TODAY_NS: i64 = 1_610_000_000_000_000_000;

/// What the layers of a layout make together, as tarfile reads them. Of what was made today only the day counts, and of
/// directories no time: where podman compares trees, one that differs in nothing else is the same.
pub fn tree(layout: &Path) -> Value {
    let oracle = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/import_oracle/oracle.py");
    let output = Command::new("python3").arg(oracle).arg("oci").arg(layout).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut tree = said["tree"].take();
    for entry in tree.as_object_mut().unwrap().values_mut() {
        if entry["kind"] == "directory" || entry["mtime_ns"].as_i64().unwrap() > TODAY_NS {
            entry["mtime_ns"] = "today".into();
        }
    }
    tree
}
