//! What `ps` and `inspect` say of a container.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::place::Place;
use crate::support::{fixtures, need_root};

fn inspected(place: &Place, name: &str) -> Value {
    let said = place.layerfs(&["inspect", name]).said();
    serde_json::from_str::<Value>(&said).unwrap()[0].clone()
}

/// The keys that `run` noted.
fn keys(inspected: &Value) -> BTreeSet<String> {
    let below = |part: &str| inspected[part].as_object().unwrap().clone().into_iter();
    let named = |part: &'static str| below(part).map(move |(key, _)| format!("{part}.{key}"));
    named("Config").chain(named("HostConfig")).collect()
}

/// Those that `docs/json.md` lists.
fn documented() -> BTreeSet<String> {
    let page = include_str!("../../docs/json.md");
    let keys = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let is_noted = |key: &&str| key.starts_with("Config.") || key.starts_with("HostConfig.");
    keys.filter(is_noted).map(String::from).collect()
}

#[test]
fn inspect_says_what_runs_within_which_limits() {
    need_root!();
    let place = Place::new();
    // Which ids are its own else is known only when it runs.
    let users = ["--userns", "host"];
    let options = ["--memory", "50m", "--cpus", "0.5", "--cpu-shares", "512", "--pids-limit", "64"];
    let words = [
        &["run", "--name", "box", "--hostname", "there", "-u", "0:0", "-w", "/tmp", "-e", "A=b"],
        &["-v", "/etc:/mnt:ro", "--read-only", "--entrypoint", "/bin/sleep"][..],
        &users,
        &options,
        &["--rootfs", "/", "0"],
    ]
    .concat();
    assert_eq!(place.layerfs(&words).said(), "");
    let listed = place.layerfs(&["ps", "-a"]).said();
    assert!(listed.contains("\"/bin/sleep 0\""), "{listed}");
    let box_ = inspected(&place, "box");
    assert_eq!((&box_["Path"], &box_["Args"]), (&json!("/bin/sleep"), &json!(["0"])));
    let config = &box_["Config"];
    assert_eq!(config["Entrypoint"], json!(["/bin/sleep"]));
    assert_eq!(config["Cmd"], json!(["0"]));
    assert_eq!(config["WorkingDir"], "/tmp");
    assert_eq!(config["User"], "0:0");
    assert_eq!(config["Hostname"], "there");
    assert_eq!((&config["StopSignal"], &config["StopTimeout"]), (&json!("SIGTERM"), &json!(null)));
    assert!(config["Env"].as_array().unwrap().contains(&json!("A=b")), "{config}");
    let host = json!({
        "Memory": 50 << 20, "MemorySwap": 50 << 20, "MemoryReservation": 0, "CpusetCpus": "", "CpusetMems": "",
        "BlkioWeight": 0, "BlkioDeviceReadBps": null, "BlkioDeviceWriteBps": null, "BlkioDeviceReadIOps": null,
        "BlkioDeviceWriteIOps": null, "OomScoreAdj": 0, "NanoCpus": 500_000_000, "CpuShares": 512, "PidsLimit": 64,
        "NetworkMode": "none", "PortBindings": {}, "UsernsMode": "host", "IDMappings": null, "AutoRemove": false,
        "ReadonlyRootfs": true, "Binds": ["/etc:/mnt:ro"],
        "Sysctls": null, "Tmpfs": null, "ShmSize": 64 << 20, "StorageOpt": null, "CgroupConf": null, "Ulimits": [], "Init": false, "Devices": [], "Privileged": false, "CapAdd": null, "CapDrop": null, "SecurityOpt": null,
    });
    assert_eq!(box_["HostConfig"], host);
    let etc = json!([{
        "Type": "bind", "Name": null, "Source": "/etc", "Destination": "/mnt", "RW": false,
    }]);
    assert_eq!(box_["Mounts"], etc);
    assert_eq!(keys(&box_), documented());
    assert_eq!(place.layerfs(&["rm", "box"]).said(), "box\n");
    place.assert_nothing_left();
}

#[test]
fn an_images_own_command_is_shown() {
    need_root!();
    let place = Place::new();
    let Some(layout) = fixtures::debian_layout() else { return };
    let source = format!("oci:{}:debian", layout.display());
    assert_eq!(place.layerfs(&["pull", &source, "--name", "debian"]).status, 0);
    let cmd = inspected(&place, "debian")["Config"]["Cmd"].clone();
    assert!(!cmd.as_array().unwrap().is_empty(), "{cmd}");
    place.layerfs(&["run", "--name", "own", "debian"]);
    let own = inspected(&place, "own");
    assert_eq!(own["Config"]["Cmd"], cmd);
    assert_eq!(own["Path"], cmd[0]);
    assert_eq!(place.layerfs(&["rm", "own"]).said(), "own\n");
    place.assert_nothing_left();
}
