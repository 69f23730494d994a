//! Rules about packages, on what `cargo metadata` says: members, publishing, direct dependencies.

use std::process::Command;

use serde_json::Value;

/// Each package with the crates it may use directly, and those its tests may use. One crate per need.
const ALLOWED: [(&str, &[&str], &[&str]); 3] = [
    (
        "layerfs",
        &[
            "anyhow",
            "clap",
            "clap_complete",
            "clap_mangen",
            "indicatif",
            "layerfs-driver",
            "layerfs-runtime",
            "regex-lite",
            "serde",
            "serde_json",
            "strsim",
            "tar",
            "tracing",
            "tracing-subscriber",
        ],
        &[
            "assert_cmd",
            "criterion",
            "flate2",
            "insta",
            "proptest",
            "rustix",
            "serde_json",
            "sha2",
            "tempfile",
            "zstd",
        ],
    ),
    (
        "layerfs-driver",
        &[
            "flate2",
            "foldhash",
            "libc",
            "lru",
            "memmap2",
            "nix",
            "parking_lot",
            "rustix",
            "serde",
            "serde_json",
            "sha2",
            "tar",
            "tempfile",
            "thiserror",
            "tracing",
            "zerocopy",
            "zstd",
        ],
        &["criterion", "insta", "proptest", "tempfile"],
    ),
    (
        "layerfs-runtime",
        &[
            "layerfs-driver",
            "libc",
            "netlink-packet-core",
            "netlink-packet-route",
            "nix",
            "rustix",
            "seccompiler",
            "serde",
            "serde_json",
            "syscalls",
            "thiserror",
            "tracing",
        ],
        &["insta", "proptest", "tempfile"],
    ),
];

/// What cargo knows of the workspace and of every crate in Cargo.lock.
pub fn metadata() -> Value {
    // Without network where everything is here already; other platforms' crates may have to be fetched once.
    let output = ask(&["--offline"])
        .or_else(|_| ask(&[]))
        .expect("cargo can tell what the workspace is made of");
    serde_json::from_slice(output.as_bytes()).expect("cargo metadata prints JSON")
}

fn ask(flags: &[&str]) -> Result<String, String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["metadata", "--locked", "--format-version", "1"])
        .args(flags)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = cargo.output().expect("cargo runs this test, so it can be started");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn members(metadata: &Value) -> impl Iterator<Item = &Value> {
    let ids = list(metadata, "workspace_members");
    list(metadata, "packages").iter().filter(move |p| ids.contains(&p["id"]))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("?")
}

/// A member that a bare `cargo build` would leave out.
pub fn members_missing_from_default(metadata: &Value) -> Vec<String> {
    let default = list(metadata, "workspace_default_members");
    let missing = list(metadata, "workspace_members").iter().filter(|id| !default.contains(id));
    missing.map(|id| format!("{id} is not in default-members")).collect()
}

/// A package that could be published by mistake: the crate's name belongs to others.
pub fn publishable(metadata: &Value) -> Vec<String> {
    // `publish = false` is told as an empty list of registries, and nothing at all as null.
    let could = members(metadata).filter(|p| p["publish"].as_array().is_none_or(|a| !a.is_empty()));
    could.map(|p| format!("{} lacks publish = false", text(p, "name"))).collect()
}

/// A direct dependency that is not in the list above.
pub fn unlisted_dependencies(metadata: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for package in members(metadata) {
        let name = text(package, "name");
        let Some((_, normal, dev)) = ALLOWED.iter().find(|(n, _, _)| *n == name) else {
            found.push(format!(
                "package {name} has no list of allowed crates in tests/tidy/workspace.rs"
            ));
            continue;
        };
        for dependency in list(package, "dependencies") {
            let allowed = if dependency["kind"] == "dev" { dev } else { normal };
            if !allowed.contains(&text(dependency, "name")) {
                found.push(format!(
                    "{name} uses {}, which is not an allowed crate of it",
                    text(dependency, "name")
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod planted {
    use serde_json::json;

    use super::*;

    fn one(package: &Value, default: &[&str]) -> Value {
        json!({"packages": [package], "workspace_members": ["a"], "workspace_default_members": default})
    }

    #[test]
    fn a_member_outside_the_default_is_found() {
        let package = json!({"id": "a", "name": "layerfs", "publish": []});
        assert_eq!(members_missing_from_default(&one(&package, &[])).len(), 1);
        assert!(members_missing_from_default(&one(&package, &["a"])).is_empty());
    }

    #[test]
    fn a_publishable_package_is_found() {
        for (publish, count) in [(json!(null), 1), (json!(["crates-io"]), 1), (json!([]), 0)] {
            let package = json!({"id": "a", "name": "layerfs", "publish": publish});
            assert_eq!(publishable(&one(&package, &["a"])).len(), count);
        }
    }

    #[test]
    fn an_unlisted_crate_is_found() {
        let uses = |name: &str, kind: Value| {
            let package = json!({"id": "a", "name": "layerfs", "dependencies": [{"name": name, "kind": kind}]});
            unlisted_dependencies(&one(&package, &["a"])).len()
        };
        assert_eq!(uses("anyhow", json!(null)), 0);
        assert_eq!(uses("tokio", json!(null)), 1);
        assert_eq!(uses("proptest", json!("dev")), 0);
        assert_eq!(uses("proptest", json!(null)), 1);
        assert_eq!(uses("cc", json!("build")), 1);
        let unknown = json!({"id": "a", "name": "new-package"});
        assert_eq!(unlisted_dependencies(&one(&unknown, &["a"])).len(), 1);
    }
}
