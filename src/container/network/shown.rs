//! The network of a container as `ps` and `inspect` show it, under docker's keys.

use std::path::Path;

use layerfs_driver::store::container::{Container, State};
use layerfs_driver::sys::file;
use serde_json::{Map, Value, json};

use super::lease::Lease;
use super::ports::{Publish, word};

/// Bytes of a lease that are read, at most.
const LEN_MAX: u64 = 32 << 20;

/// What a container has of the host's network now; nothing where it does not run, or has no address of its own.
pub fn lease_of(run: Option<&Path>, container: &Container) -> Option<Lease> {
    let path = run?.join("network").join(container.id.hex());
    let read = file::open_read_path(path.as_path()).and_then(|file| file::read_all(file, LEN_MAX));
    match read {
        Ok(bytes) => Lease::read(&bytes),
        Err(error) => {
            if !error.is_absent() {
                tracing::debug!("the lease of {}: {error}", container.name);
            }
            None
        }
    }
}

/// `NetworkMode`: what was asked for, but `none` of one that runs and was given none. Its next start tries again.
pub fn mode_of(container: &Container) -> &str {
    if let State::Running { has_no_network: true, .. } = container.state {
        return "none";
    }
    let host = container.details.get("HostConfig");
    host.and_then(|it| it["NetworkMode"].as_str()).unwrap_or_default()
}

/// `NetworkSettings`.
pub fn settings(mode: &str, lease: Option<&Lease>) -> Value {
    let text = |value: Option<String>| value.unwrap_or_default();
    let address = text(lease.map(|it| it.address.to_string()));
    let gateway = text(lease.map(|it| it.gateway.to_string()));
    let mac = lease.and_then(Lease::mac);
    let mac = text(mac.map(|mac| mac.map(|byte| format!("{byte:02x}")).join(":")));
    let prefix_len = lease.map_or(0, |it| it.prefix_len);
    let one = json!({
        "IPAddress": address,
        "IPPrefixLen": prefix_len,
        "Gateway": gateway,
        "MacAddress": mac,
    });
    let mut networks = Map::new();
    // That of another is shown there.
    if !mode.contains(':') && !mode.is_empty() {
        networks.insert(mode.to_owned(), one);
    }
    json!({
        "Ports": bindings(lease.map_or(&[], |it| &it.ports)),
        "IPAddress": address,
        "IPPrefixLen": prefix_len,
        "Gateway": gateway,
        "MacAddress": mac,
        "Networks": networks,
    })
}

/// Docker's `PortBindings`: by the port in the container, where it is reached.
pub fn bindings(ports: &[Publish]) -> Map<String, Value> {
    let mut all = Map::new();
    for port in ports {
        let host_port = match port.host_port {
            0 => String::new(),
            number => number.to_string(),
        };
        let one = json!({ "HostIp": port.host_ip.to_string(), "HostPort": host_port });
        if let Value::Array(list) = all.entry(port.inside()).or_insert_with(|| json!([])) {
            list.push(one);
        }
    }
    all
}

/// The same as `ps --json` tells it.
pub fn rows(ports: &[Publish]) -> Vec<Value> {
    let one = |port: &Publish| {
        json!({
            "host_ip": port.host_ip.to_string(),
            "host_port": port.host_port,
            "port": port.port,
            "protocol": word(port.transport),
        })
    };
    ports.iter().map(one).collect()
}
