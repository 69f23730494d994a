//! What `layerfs inspect` says of a container, under docker's keys.

use std::path::Path;

use layerfs_driver::store::Store;
use layerfs_driver::store::container::{Base, Container};
use serde_json::{Map, Value, json};

use super::network::shown as network;
use super::pause::is_paused;
use super::rights::RIGHTS;
use super::shown::{self, Doing};
use super::{ids, oom};
use crate::output::time;

/// What docker says where a time is not known.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// All that is known of a container. What its command noted when it was made (`Config`, `HostConfig`) comes last, and
/// takes no key of these.
pub fn inspected(store: &Store, run: Option<&Path>, container: &Container) -> Value {
    let own = container.id.hex();
    let upper = store.path().join("containers").join(own).join("upper");
    let image = match &container.base {
        Base::Image { id, .. } => id.to_string(),
        Base::Rootfs(path) => path.clone(),
    };
    let (path, args) = match container.command.split_first() {
        Some((path, args)) => (path.as_str(), args),
        None => ("", [].as_slice()),
    };
    let known = json!({
        "Id": own,
        "Created": time::rfc3339_ms(container.created_ms),
        "Path": path,
        "Args": args,
        "State": state(container),
        "Image": image,
        "Name": format!("/{}", container.name),
        "Driver": "layerfs",
        "GraphDriver": { "Name": "layerfs", "Data": { "UpperDir": upper.to_string_lossy() } },
        "HostConfig": Value::Null,
        "Config": Value::Null,
        "Mounts": Value::Null,
    });
    let mut all = match known {
        Value::Object(known) => known,
        _ => Map::new(),
    };
    // What only a further process needs is no key of docker's.
    for (key, value) in container.details.iter().filter(|(key, _)| *key != RIGHTS) {
        let place = all.entry(key).or_insert(Value::Null);
        if place.is_null() {
            *place = value.clone();
        }
    }
    if let Some(Value::Object(config)) = all.get_mut("Config") {
        config.insert("Hostname".into(), container.hostname.clone().into());
    }
    let mode = network::mode_of(container);
    if let Some(Value::Object(host)) = all.get_mut("HostConfig") {
        if host.contains_key("NetworkMode") {
            host.insert("NetworkMode".into(), mode.into());
        }
        host.insert("IDMappings".into(), ids::shown(container));
    }
    let settings = network::settings(mode, network::lease_of(run, container).as_ref());
    all.insert("NetworkSettings".into(), settings);
    Value::Object(all)
}

fn state(container: &Container) -> Value {
    let doing = Doing::of(container);
    let moment = |ms: Option<u64>| ms.map_or_else(|| NEVER.to_owned(), time::rfc3339_ms);
    let (pid, code, finished_ms, oom_killed, error) = match &doing {
        Doing::Created { code, error } => (0, *code, None, false, error.as_str()),
        Doing::Running { pid } => (*pid, 0, None, oom::has_killed(container), ""),
        Doing::Exited { code, finished_ms, oom_killed, error } => {
            (0, *code, *finished_ms, *oom_killed, error.as_str())
        }
    };
    json!({
        "Status": shown::word_of(container),
        "Running": matches!(doing, Doing::Running { .. }),
        "Paused": is_paused(container),
        "OOMKilled": oom_killed,
        "Dead": container.is_dead(),
        "Pid": pid,
        "ExitCode": code,
        "Error": error,
        "StartedAt": moment(container.state.started_ms()),
        "FinishedAt": moment(finished_ms),
    })
}
