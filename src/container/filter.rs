//! What `ps --filter` chooses: containers by what is known of them.

use anyhow::{Result, bail};
use layerfs_driver::store::container::{Base, Container};
use layerfs_driver::store::digest::Digest;
use layerfs_driver::store::reference::Reference;
use layerfs_driver::store::{Store, StoreError};
use serde_json::Value;

use super::shown::{self, Doing};
use crate::filters::{self, Pattern};

/// The shortest beginning of an image's id that is taken as one.
const PREFIX_MIN: usize = 4;

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

/// A word of `--filter`.
#[derive(Clone, Debug)]
pub struct Filter {
    key: Key,
    wanted: Wanted,
}

#[derive(Clone, Debug)]
enum Wanted {
    Word(String),
    Name(Pattern),
    Exited(u8),
    Ancestor(Ancestor),
}

/// The image that containers are made of.
#[derive(Clone, Debug)]
struct Ancestor {
    said: String,
    /// What the store has by that word.
    image: Option<Digest>,
}

/// Reads the words of `--filter`; one that is none was not understood.
pub fn read(words: &[String]) -> Result<Vec<Filter>> {
    filters::read(words, &KEYS, |key, said| {
        let wanted = match key {
            Key::Name => Wanted::Name(Pattern::read(said)?),
            Key::Status if !STATUSES.contains(&said) => {
                bail!("a status is one of {}", STATUSES.join(", "))
            }
            Key::Exited => match said.parse() {
                Ok(code) => Wanted::Exited(code),
                Err(_) => bail!("an exit status is a number from 0 to 255"),
            },
            Key::Ancestor => Wanted::Ancestor(Ancestor { said: said.to_owned(), image: None }),
            Key::Id | Key::Status | Key::Label | Key::Volume => Wanted::Word(said.to_owned()),
        };
        Ok(Filter { key, wanted })
    })
}

/// Looks up the images that are meant.
pub fn find_images(filters: &mut [Filter], store: &Store) -> Result<()> {
    for filter in filters {
        if let Wanted::Ancestor(ancestor) = &mut filter.wanted {
            ancestor.image = match store.find(&ancestor.said) {
                Ok(hit) => Some(hit.image.id),
                // An image that is gone, or two: containers say themselves whose they are.
                Err(
                    StoreError::NoSuchImage(_)
                    | StoreError::Ambiguous { .. }
                    | StoreError::Reference(_),
                ) => None,
                Err(error) => return Err(error.into()),
            };
        }
    }
    Ok(())
}

/// Whether that is among what they ask for.
pub fn ask_for(filters: &[Filter], key: Key) -> bool {
    filters.iter().any(|filter| filter.key == key)
}

/// Whether a container fits all of them: of one key any, of several keys all, and of labels all, as docker has it.
pub fn fits(container: &Container, filters: &[Filter]) -> bool {
    let key = |filter: &Filter| Some(filter.key).filter(|key| *key != Key::Label);
    filters::fit(filters, key, |filter| filter.fits(container))
}

impl Filter {
    fn fits(&self, container: &Container) -> bool {
        match (&self.wanted, self.key) {
            (Wanted::Name(pattern), _) => pattern.fits(&container.name),
            (Wanted::Exited(wanted), _) => match Doing::of(container) {
                Doing::Exited { code, .. } => code == *wanted,
                Doing::Created { .. } | Doing::Running { .. } => false,
            },
            (Wanted::Ancestor(ancestor), _) => ancestor.is_of(container),
            (Wanted::Word(word), Key::Status) => shown::word_of(container) == word,
            (Wanted::Word(word), Key::Label) => has_label(container, word),
            (Wanted::Word(word), Key::Volume) => {
                container.volumes.contains(word) || shows(container, word)
            }
            (Wanted::Word(word), _) => container.id.hex().starts_with(word.as_str()),
        }
    }
}

impl Ancestor {
    /// Whether the container is of that image, or of one that its user called so.
    fn is_of(&self, container: &Container) -> bool {
        match &container.base {
            Base::Rootfs(path) => *path == self.said,
            Base::Image { id, called, .. } => {
                *called == self.said
                    || are_one_name(called, &self.said)
                    || self.image.map_or_else(|| self.begins(*id), |image| image == *id)
            }
        }
    }

    fn begins(&self, id: Digest) -> bool {
        let hex = self.said.strip_prefix("sha256:").unwrap_or(&self.said);
        hex.len() >= PREFIX_MIN && id.hex().starts_with(hex)
    }
}

/// Whether both are names, and mean the same: no tag is `latest`, and a short name what it may stand for.
fn are_one_name(called: &str, said: &str) -> bool {
    match (Reference::parse(called), Reference::parse(said)) {
        (Ok(called), Ok(said)) if said.digest().is_none() => {
            let called = called.with_default_tag();
            said.normalized_candidates().iter().any(|name| name.names_same(&called))
        }
        _ => false,
    }
}

fn has_label(container: &Container, said: &str) -> bool {
    let labels = container.details.get("Config").and_then(|config| config.get("Labels"));
    let labels = labels.and_then(Value::as_object).into_iter().flatten();
    filters::has_label(
        labels.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))),
        said,
    )
}

/// Whether something is mounted at that place in it.
fn shows(container: &Container, place: &str) -> bool {
    let mounts = container.details.get("Mounts").and_then(Value::as_array);
    let at = |mount: &Value| mount.get("Destination").and_then(Value::as_str) == Some(place);
    mounts.is_some_and(|mounts| mounts.iter().any(at))
}
