//! What is done to a container that is there already: it is started, called by another name, or made with other words.

use std::os::fd::OwnedFd;

use serde_json::{Map, Value};

use super::create::check_name_is_free;
use super::find::{Container, is_living};
use super::living::Living;
use super::name;
use super::record::{self, ContainerRecord, Keep};
use super::state::{self, State};
use crate::store::error::{During, StoreError};
use crate::store::root::Store;
use crate::sys::dir;
use crate::sys::file::{self, Symlinks};
use crate::sys::lock::{self, Share};

impl Store {
    /// Takes a container that nobody runs, for this process to run it. `keep` says what becomes of it then; what it wrote
    /// before is there.
    pub fn start_container(&self, container: &Container, keep: Keep) -> Result<Living, StoreError> {
        let deed = || format!("start container {}", container.name);
        // As for one that is made: gc is kept out, and no sweep finds it between two states.
        let _presence = self.presence()?;
        let _containers = self.lock_containers()?;
        let absent = || StoreError::NoSuchContainer(container.name.clone());
        let own = self.hold_container(container)?;
        let Some((Keep::Kept, words)) = record::read(&own, &container.id)? else {
            return Err(absent());
        };
        // The caller goes by the words that it has read.
        if words.said != container.said {
            return Err(StoreError::ContainerChanged(container.name.clone()));
        }
        // Groups of its last life may be there yet.
        let (_, groups) = state::read(&own, &format!("container {}", container.name))?;
        state::write(&own, Keep::Kept, &State::Created, groups.as_deref()).during(deed)?;
        if keep == Keep::Throwaway {
            record::keep_no_longer(&own).during(deed)?;
        }
        // A descriptor that is not the lock's: the living one must not keep others from making theirs.
        Ok(Living::new(self.open_containers()?, own, keep, words).with_groups_below(groups))
    }

    /// Makes a container that is held one that goes: where this process removes it no further, the next sweep does. Of the volumes that
    /// go with it none is lost by one that stays.
    pub fn give_up_container(
        &self,
        container: &Container,
        held: &OwnedFd,
    ) -> Result<(), StoreError> {
        let deed = || format!("remove container {}", container.name);
        record::keep_no_longer(held).and_then(|()| file::sync(held)).during(deed)
    }

    /// Holds a container that nobody runs: until the answer is dropped it is not started and not removed.
    pub fn hold_container(&self, container: &Container) -> Result<OwnedFd, StoreError> {
        let deed = || format!("hold container {}", container.name);
        let own = opened(&self.open_containers()?, container, deed)?;
        // Others may only be looking whether it lives: they let go at once. Not waited for: the caller may have the lock of the
        // containers, and who has this one by then may wait for that.
        while !lock::try_take(&own, Share::Exclusive).during(deed)? {
            if is_living(&own).during(deed)? {
                return Err(StoreError::ContainerRuns(container.name.clone()));
            }
            std::thread::yield_now();
        }
        Ok(own)
    }

    /// Whether a process runs the container now.
    pub fn is_container_living(&self, container: &Container) -> Result<bool, StoreError> {
        let deed = || format!("look after container {}", container.name);
        match dir::open(&self.open_containers()?, container.id.hex(), Symlinks::Stop) {
            Err(error) if error.is_absent() => Ok(false),
            own => is_living(&own.during(deed)?).during(deed),
        }
    }

    /// Gives a container another name.
    pub fn rename_container(&self, container: &Container, name: &str) -> Result<(), StoreError> {
        let deed = || format!("rename container {}", container.name);
        name::check(name)?;
        let containers = self.lock_containers()?;
        check_name_is_free(&self.containers()?, name)?;
        let (own, keep, mut words) = recorded(&containers, container, deed)?;
        words.name = Some(name.to_owned());
        record::write(&own, keep, &words)
    }

    /// Notes other words for a container, and what `inspect` shows of them, unless somebody else did, or it began or ended,
    /// since it was looked at.
    pub fn change_container(
        &self,
        container: &Container,
        (details, said): (Map<String, Value>, Value),
    ) -> Result<(), StoreError> {
        let deed = || format!("change container {}", container.name);
        let containers = self.lock_containers()?;
        let (own, keep, mut words) = recorded(&containers, container, deed)?;
        let (state, _) = state::read(&own, &format!("container {}", container.name))?;
        if words.said != container.said || state != container.state {
            return Err(StoreError::ContainerChanged(container.name.clone()));
        }
        (words.details, words.said) = (details, said);
        record::write(&own, keep, &words)
    }
}

/// The directory of a container, which has to be there.
fn opened(
    containers: &OwnedFd,
    container: &Container,
    deed: impl FnOnce() -> String,
) -> Result<OwnedFd, StoreError> {
    match dir::open(containers, container.id.hex(), Symlinks::Stop) {
        Err(error) if error.is_absent() => Err(StoreError::NoSuchContainer(container.name.clone())),
        own => own.during(deed),
    }
}

/// The same, and its record. The caller has the lock of the containers.
fn recorded(
    containers: &OwnedFd,
    container: &Container,
    deed: impl FnOnce() -> String,
) -> Result<(OwnedFd, Keep, ContainerRecord), StoreError> {
    let own = opened(containers, container, deed)?;
    let absent = || StoreError::NoSuchContainer(container.name.clone());
    let (keep, words) = record::read(&own, &container.id)?.ok_or_else(absent)?;
    Ok((own, keep, words))
}
