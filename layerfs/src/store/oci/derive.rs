//! The configuration of an image that has one layer more than another.

use serde_json::{Map, Value, json};

use super::config::ImageConfig;
use super::document::LAYERS_MAX;
use crate::store::digest::Digest;

/// The step that makes the new image.
#[derive(Clone, Debug)]
pub struct Step {
    /// When, RFC 3339.
    pub created: String,
    /// Who; empty where nobody is named.
    pub author: String,
    /// The command.
    pub created_by: String,
    /// A remark.
    pub comment: String,
    /// What it does to the words by which the image is run.
    pub changes: Vec<RunChange>,
}

/// One change of what to run and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunChange {
    /// The arguments that the user's words replace.
    Cmd(Vec<String>),
    /// The program and its first arguments. Arguments that the image had go, unless they were set by an earlier change.
    Entrypoint(Vec<String>),
    /// A variable and its value.
    Env(String, String),
    /// The directory to start in; a relative one lies in the one before.
    WorkingDir(String),
    /// Who runs it.
    User(String),
    /// A label and its value.
    Label(String, String),
    /// `PORT/PROTOCOL`.
    Expose(String),
    /// A mount point.
    Volume(String),
    /// The signal that asks the program to end.
    StopSignal(String),
}

/// Why there is no such configuration.
#[derive(Debug, thiserror::Error)]
pub enum DeriveError {
    /// The configuration is not one.
    #[error("configuration of the image: {0}")]
    Json(#[from] serde_json::Error),
    /// It is no JSON object.
    #[error("configuration of the image: it is no object")]
    NoObject,
    /// No reader takes so many layers.
    #[error("the image has {LAYERS_MAX} layers already: start from one that has fewer")]
    TooManyLayers,
}

/// What builders note of the container that they made a layer in: it is not the new layer's.
const OF_OLD_CONTAINER: [&str; 4] = ["container", "container_config", "id", "parent"];

/// The configuration `parent`, whose image has `below` as layers, with a step and its layer. What is not known here stays as
/// it is.
pub fn derived(
    parent: &[u8],
    below: &[Digest],
    step: &Step,
    layer: &Digest,
) -> Result<Vec<u8>, DeriveError> {
    if below.len() >= LAYERS_MAX {
        return Err(DeriveError::TooManyLayers);
    }
    let known = ImageConfig::parse(parent)?;
    let Value::Object(mut config) = serde_json::from_slice(parent)? else {
        return Err(DeriveError::NoObject);
    };
    for key in OF_OLD_CONTAINER {
        config.shift_remove(key);
    }
    config.insert("created".into(), step.created.clone().into());
    if !step.author.is_empty() {
        config.insert("author".into(), step.author.clone().into());
    }
    let run = config.entry("config").or_insert(Value::Null);
    if !run.is_object() {
        *run = Value::Object(Map::new());
    }
    if let Value::Object(run) = run {
        change(run, &known, &step.changes);
    }
    let diff_ids: Vec<String> = below.iter().chain([layer]).map(Digest::to_string).collect();
    config.insert("rootfs".into(), json!({ "type": "layers", "diff_ids": diff_ids }));
    let history = config.entry("history").or_insert(Value::Null);
    if !history.is_array() {
        *history = Value::Array(Vec::new());
    }
    if let Value::Array(history) = history {
        history.push(entry(step));
    }
    Ok(serde_json::to_vec(&config)?)
}

fn entry(step: &Step) -> Value {
    let mut entry = json!({ "created": step.created, "created_by": step.created_by });
    for (key, value) in [("author", &step.author), ("comment", &step.comment)] {
        if !value.is_empty() {
            entry[key] = value.as_str().into();
        }
    }
    entry
}

fn change(run: &mut Map<String, Value>, known: &ImageConfig, changes: &[RunChange]) {
    let known = known.config.clone().unwrap_or_default();
    let (mut env, mut directory) = (known.env, known.working_dir);
    let mut has_cmd = false;
    for change in changes {
        match change {
            RunChange::Cmd(words) => {
                has_cmd = true;
                run.insert("Cmd".into(), words.clone().into());
            }
            RunChange::Entrypoint(words) => {
                run.insert("Entrypoint".into(), words.clone().into());
                if !has_cmd {
                    run.shift_remove("Cmd");
                }
            }
            RunChange::Env(name, value) => {
                let line = format!("{name}={value}");
                let is_same = |known: &&mut String| known.split('=').next() == Some(name);
                match env.iter_mut().find(is_same) {
                    Some(known) => *known = line,
                    None => env.push(line),
                }
                run.insert("Env".into(), env.clone().into());
            }
            RunChange::WorkingDir(path) => {
                directory = below(&directory, path);
                run.insert("WorkingDir".into(), directory.clone().into());
            }
            RunChange::User(user) => drop(run.insert("User".into(), user.clone().into())),
            RunChange::Label(name, value) => put(run, "Labels", name, value.clone().into()),
            RunChange::Expose(port) => put(run, "ExposedPorts", port, json!({})),
            RunChange::Volume(path) => put(run, "Volumes", path, json!({})),
            RunChange::StopSignal(signal) => {
                run.insert("StopSignal".into(), signal.clone().into());
            }
        }
    }
}

/// A path from a directory; both are names in the image, and nothing is looked up.
fn below(directory: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{directory}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    format!("/{}", parts.join("/"))
}

fn put(run: &mut Map<String, Value>, map: &str, key: &str, value: Value) {
    let map = run.entry(map).or_insert(Value::Null);
    if !map.is_object() {
        *map = Value::Object(Map::new());
    }
    if let Value::Object(map) = map {
        map.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(changes: Vec<RunChange>) -> Step {
        Step {
            created: "2026-01-01T00:00:00Z".into(),
            author: "A".into(),
            created_by: "sh".into(),
            comment: "why".into(),
            changes,
        }
    }

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_step_adds_its_layer_and_leaves_what_it_does_not_know() {
        let lower = Digest::of(b"lower");
        let parent = format!(
            r#"{{"os":"linux","x":{{"y":[1]}},"container":"old","config":{{"Env":["A=1","B=2"],"Cmd":["sh"],"WorkingDir":"/w"}},
            "rootfs":{{"type":"layers","diff_ids":["{lower}"]}},"history":[{{"created_by":"ADD"}}]}}"#
        );
        let changes = vec![
            RunChange::Env("B".into(), "3=4".into()),
            RunChange::Env("C".into(), String::new()),
            RunChange::WorkingDir("a/../b".into()),
            RunChange::Entrypoint(words("/e x")),
            RunChange::Label("l".into(), "v".into()),
            RunChange::Expose("80/tcp".into()),
        ];
        let layer = Digest::of(b"layer");
        let bytes = derived(parent.as_bytes(), &[lower], &step(changes), &layer).unwrap();
        let config: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(config["x"], json!({"y": [1]}));
        assert!(config.get("container").is_none());
        assert_eq!(config["config"]["Env"], json!(["A=1", "B=3=4", "C="]));
        assert_eq!(config["config"]["WorkingDir"], "/w/b");
        assert!(config["config"].get("Cmd").is_none(), "docker's rule");
        assert_eq!(config["config"]["ExposedPorts"], json!({"80/tcp": {}}));
        assert_eq!(config["rootfs"]["diff_ids"], json!([lower.to_string(), layer.to_string()]));
        assert_eq!(config["history"][1]["comment"], "why");
        assert_eq!(ImageConfig::parse(&bytes).unwrap().layer_history().len(), 2);
    }

    #[test]
    fn a_command_that_was_set_before_the_entrypoint_stays() {
        let changes = vec![RunChange::Cmd(words("a")), RunChange::Entrypoint(words("/e"))];
        let bytes = derived(b"{}", &[], &step(changes), &Digest::of(b"")).unwrap();
        let config: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(config["config"], json!({"Cmd": ["a"], "Entrypoint": ["/e"]}));
    }
}
