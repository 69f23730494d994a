//! Making a container: its directory, its lock, its name, its record.

use std::os::fd::OwnedFd;

use serde_json::{Map, Value};

use super::find::Container;
use super::id::ContainerId;
use super::living::Living;
use super::name;
use super::record::{self, Base, ContainerRecord, Keep};
use super::remove::remove_whole;
use super::state::{self, State};
use super::writable::Stands;
use crate::store::error::{During, StoreError};
use crate::store::image::Image;
use crate::store::root::Store;
use crate::sys::file::{self, Symlinks};
use crate::sys::lock::{self, Share};
use crate::sys::{dir, host};

/// What a container is to be.
#[derive(Clone, Debug)]
pub struct NewContainer {
    /// Its name; one is invented where there is none.
    pub name: Option<String>,
    /// What its files come from.
    pub base: Base,
    /// The words of its first process.
    pub command: Vec<String>,
    /// Its host name; its short id where there is none.
    pub hostname: Option<String>,
    /// What becomes of it when it ends.
    pub keep: Keep,
    /// What `inspect` shows beside what the store knows, under docker's keys (`HostConfig`, `Config`).
    pub details: Map<String, Value>,
    /// What the command needs to start it again, in words of its own; null where it can't be.
    pub said: Value,
    /// Names of the volumes that it shows, which may be made later.
    pub volumes: Vec<String>,
}

/// Who chooses the name.
enum Called {
    Chosen(String),
    Invented,
    /// A mount: `ps` does not show it.
    Nothing,
}

impl Store {
    /// Makes a container that this process runs: nothing of its image is collected while it is kept or lives.
    pub fn create_container(&self, new: NewContainer) -> Result<Living, StoreError> {
        let called = match &new.name {
            Some(name) => Called::Chosen(name.clone()),
            None => Called::Invented,
        };
        self.create(new, called)
    }

    /// Holds an image for a mount: nothing of it is collected until the answer is dropped or its process dies.
    pub fn hold(
        &self,
        image: &Image,
        called: &str,
        stands: Stands<'_>,
    ) -> Result<Living, StoreError> {
        let new = NewContainer {
            name: None,
            base: Base::image(image, called),
            command: Vec::new(),
            hostname: None,
            keep: Keep::Throwaway,
            details: stands.noted(),
            said: Value::Null,
            volumes: Vec::new(),
        };
        self.create(new, Called::Nothing)
    }

    fn create(&self, new: NewContainer, called: Called) -> Result<Living, StoreError> {
        if let Called::Chosen(name) = &called {
            name::check(name)?;
        }
        // gc is kept out from before the image is looked at until a record names its layers.
        let _presence = self.presence()?;
        let containers = self.lock_containers()?;
        // The image may have been removed since it was found.
        if let Base::Image { id, .. } = &new.base
            && self.image_record(id)?.is_none()
        {
            return Err(StoreError::NoSuchImage(id.short()));
        }
        let name = self.name_for(called)?;
        let deed = || "make a container".to_owned();
        let id = ContainerId::random().during(deed)?;
        let words = ContainerRecord {
            version: ContainerRecord::version(),
            name,
            base: new.base,
            command: new.command,
            hostname: new.hostname.unwrap_or_else(|| id.short().to_owned()),
            created_ms: host::now_ms(),
            details: new.details,
            said: new.said,
            volumes: new.volumes,
            id,
        };
        let own = dir::make(&containers, words.id.hex(), 0o700)
            .and_then(|()| dir::open(&containers, words.id.hex(), Symlinks::Stop))
            .during(deed)?;
        match fill(&own, new.keep, &words) {
            // A descriptor that is not the lock's: the living one must not keep others from making theirs.
            Ok(()) => Ok(Living::new(self.open_containers()?, own, new.keep, words)),
            Err(error) => {
                if let Err(left) = remove_whole(&containers, &own, words.id.hex().as_bytes()) {
                    tracing::warn!("what is left of a container stays until the next one: {left}");
                }
                Err(error)
            }
        }
    }

    /// The directory of all containers.
    pub(in crate::store) fn open_containers(&self) -> Result<OwnedFd, StoreError> {
        dir::open(self.root(), "containers", Symlinks::Stop).during(|| "open the containers".into())
    }

    /// Keeps others from making containers and from looking for dead ones until the answer is dropped.
    pub(in crate::store) fn lock_containers(&self) -> Result<OwnedFd, StoreError> {
        let containers = self.open_containers()?;
        lock::wait(&containers, Share::Exclusive).during(|| "lock the containers".into())?;
        Ok(containers)
    }

    /// The name that a new container gets. The caller holds the lock of the containers.
    fn name_for(&self, called: Called) -> Result<Option<String>, StoreError> {
        match called {
            Called::Nothing => Ok(None),
            Called::Invented => {
                let known = self.containers()?;
                name::invent(|name| known.iter().any(|other| other.name == name)).map(Some)
            }
            Called::Chosen(name) => {
                check_name_is_free(&self.containers()?, &name)?;
                Ok(Some(name))
            }
        }
    }
}

/// Refuses a name that a container has.
pub(super) fn check_name_is_free(containers: &[Container], name: &str) -> Result<(), StoreError> {
    match containers.iter().find(|other| other.name == name) {
        None => Ok(()),
        Some(other) => {
            Err(StoreError::NameTaken { name: name.to_owned(), id: other.id.short().to_owned() })
        }
    }
}

/// Locks a container's new directory and fills it, the record last. A kept one is durable then.
fn fill(own: &OwnedFd, keep: Keep, words: &ContainerRecord) -> Result<(), StoreError> {
    let deed = || "make a container".to_owned();
    // Whoever looks whether it lives holds it for a moment.
    lock::wait(own, Share::Exclusive).during(deed)?;
    state::write(own, keep, &State::Created, None).during(deed)?;
    record::write(own, keep, words)?;
    match keep {
        Keep::Throwaway => Ok(()),
        Keep::Kept => dir::open(own, "..", Symlinks::Stop)
            .and_then(|containers| file::sync(&containers))
            .during(deed),
    }
}
