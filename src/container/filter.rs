//! What `ps --filter` chooses: containers by what is known of them.

use anyhow::{Result, bail};
use layerfs_driver::store::container::{Base, Container};
use serde_json::Value;

use super::shown::Doing;
use crate::session::Misused;

/// Whether a container fits all words of `--filter`: of one key any value, of several keys all, as docker has it.
pub fn fits(container: &Container, filters: &[(Key, String)]) -> bool {
    let keys = filters.iter().map(|(key, _)| *key);
    keys.into_iter().all(|key| {
        let mut values = filters.iter().filter(|(other, _)| *other == key);
        values.any(|(_, value)| key.fits(container, value))
    })
}

/// What a container is chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Id,
    Name,
    Status,
    Exited,
    Label,
    Ancestor,
    Volume,
}

const KEYS: [(&str, Key); 7] = [
    ("id", Key::Id),
    ("name", Key::Name),
    ("status", Key::Status),
    ("exited", Key::Exited),
    ("label", Key::Label),
    ("ancestor", Key::Ancestor),
    ("volume", Key::Volume),
];

/// Docker's words for what a container is doing.
const STATUSES: [&str; 4] = ["created", "running", "paused", "exited"];

/// Reads the words of `--filter`; one that is none was not understood.
pub fn read(words: &[String]) -> Result<Vec<(Key, String)>> {
    let read = |word: &String| one(word).map_err(|error| Misused::of(error.to_string()).into());
    words.iter().map(read).collect()
}

fn one(word: &str) -> Result<(Key, String)> {
    let known = || KEYS.map(|(name, _)| name).join(", ");
    let Some((name, value)) = word.split_once('=') else {
        bail!("--filter `{word}`: write KEY=VALUE; the keys are {}", known());
    };
    let Some((_, key)) = KEYS.iter().find(|(known, _)| *known == name) else {
        bail!("--filter `{word}`: there is no key `{name}`; the keys are {}", known());
    };
    match key {
        Key::Status if !STATUSES.contains(&value) => {
            bail!("--filter `{word}`: a status is one of {}", STATUSES.join(", "))
        }
        Key::Exited if value.parse::<u8>().is_err() => {
            bail!("--filter `{word}`: an exit status is a number from 0 to 255")
        }
        _ => Ok((*key, value.to_owned())),
    }
}

impl Key {
    fn fits(self, container: &Container, value: &str) -> bool {
        match self {
            Key::Id => container.id.hex().starts_with(value),
            Key::Name => container.name.contains(value.trim_start_matches('/')),
            Key::Status => Doing::of(container).word() == value,
            Key::Exited => match Doing::of(container) {
                Doing::Exited { code, .. } => value.parse() == Ok(code),
                _ => false,
            },
            Key::Label => has_label(container, value),
            Key::Ancestor => match &container.base {
                Base::Image { id, called, .. } => {
                    let hex = value.strip_prefix("sha256:").unwrap_or(value);
                    called == value || (hex.len() >= 4 && id.hex().starts_with(hex))
                }
                Base::Rootfs(path) => path == value,
            },
            Key::Volume => {
                container.volumes.iter().any(|name| name == value) || shows(container, value)
            }
        }
    }
}

fn has_label(container: &Container, word: &str) -> bool {
    let (name, value) =
        word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    let labels = container.details.get("Config").and_then(|config| config.get("Labels"));
    let found = labels.and_then(|labels| labels.get(name)).and_then(Value::as_str);
    found.is_some_and(|found| value.is_none_or(|value| value == found))
}

/// Whether something is mounted at that place in it.
fn shows(container: &Container, place: &str) -> bool {
    let mounts = container.details.get("Mounts").and_then(Value::as_array);
    let at = |mount: &Value| mount.get("Destination").and_then(Value::as_str) == Some(place);
    mounts.is_some_and(|mounts| mounts.iter().any(at))
}
