//! A container that this process runs.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::id::ContainerId;
use super::record::{self, ContainerRecord, Keep};
use super::remove::remove_whole;
use super::state::{self, Exited, State};
use crate::store::error::{During, StoreError};
use crate::sys::file::Symlinks;
use crate::sys::{Errno, dir};

/// A container and the lock that says that it lives.
///
/// The lock belongs to the open directory: a child that is forked shares it, and has to close its copy
/// ([`Living::close_in_child`]) or to execute another program, or the container lives for as long as the child.
///
/// Dropped without [`Living::end`], a throwaway goes all the same, and a kept one is a container that died with its
/// command, unless it said before how it ended.
#[derive(Debug)]
pub struct Living {
    containers: OwnedFd,
    dir: OwnedFd,
    keep: Keep,
    words: ContainerRecord,
    groups_below: Option<PathBuf>,
    when_dropped: WhenDropped,
}

/// What dropping it does besides giving the lock back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WhenDropped {
    RemoveThrowaway,
    Nothing,
}

impl Living {
    pub(super) fn new(
        containers: OwnedFd,
        dir: OwnedFd,
        keep: Keep,
        words: ContainerRecord,
    ) -> Self {
        let when_dropped = WhenDropped::RemoveThrowaway;
        Living { containers, dir, keep, words, groups_below: None, when_dropped }
    }

    pub(super) fn with_groups_below(mut self, groups_below: Option<PathBuf>) -> Self {
        self.groups_below = groups_below;
        self
    }

    /// Its id.
    pub fn id(&self) -> &ContainerId {
        &self.words.id
    }

    /// Its name. A mount has none, and is called by its id.
    pub fn name(&self) -> &str {
        self.words.name.as_deref().unwrap_or(self.words.id.short())
    }

    /// Its host name.
    pub fn hostname(&self) -> &str {
        &self.words.hostname
    }

    /// Its directory, for what goes with it.
    pub fn dir(&self) -> &OwnedFd {
        &self.dir
    }

    /// Makes a directory in its own, mode 0700: `upper`, `work`, `etc`. One that ran before has it.
    pub fn make_dir(&self, name: &str) -> Result<OwnedFd, StoreError> {
        let deed = || format!("make a directory for container {}", self.name());
        match dir::make(&self.dir, name, 0o700) {
            Err(error) if error.errno() == Errno::EXIST => {}
            made => made.during(deed)?,
        }
        dir::open(&self.dir, name, Symlinks::Stop).during(deed)
    }

    /// Below which control group its groups are, those of its last life until others are noted.
    pub fn groups_below(&self) -> Option<&Path> {
        self.groups_below.as_deref()
    }

    /// Notes where its groups are going to be, before there are any: whoever clears up after this process finds them by that.
    pub fn note_groups_below(&mut self, group: Option<&Path>) -> Result<(), StoreError> {
        if self.groups_below.as_deref() == group {
            return Ok(());
        }
        self.groups_below = group.map(Path::to_path_buf);
        self.set_state(&State::Created)
    }

    /// Says what it is doing now. Whoever looks sees the old state or the new one.
    pub fn set_state(&self, state: &State) -> Result<(), StoreError> {
        let deed = || format!("write the state of container {}", self.name());
        state::write(&self.dir, self.keep, state, self.groups_below()).during(deed)
    }

    /// Ends it: a throwaway goes with everything in it, a kept one says how it ended.
    pub fn end(mut self, exited: Exited) -> Result<(), StoreError> {
        match self.keep {
            Keep::Kept => self.set_state(&State::Exited(exited)),
            Keep::Throwaway => self.remove(),
        }
    }

    /// Takes it away as if it had never been: nothing of it ever ran.
    pub fn discard(mut self) -> Result<(), StoreError> {
        self.remove()
    }

    /// Lets go of one that has not run: it is kept as it is, to be started some time.
    pub fn set_aside(mut self) -> Result<(), StoreError> {
        let deed = || format!("set container {} aside", self.name());
        if self.keep == Keep::Throwaway {
            record::keep_again(&self.dir).during(deed)?;
            self.keep = Keep::Kept;
        }
        self.set_state(&State::Idle)
    }

    /// Gives it up as it is: something of it is left elsewhere, and a sweep finds that by the record.
    pub fn leave(mut self) {
        self.when_dropped = WhenDropped::Nothing;
    }

    /// Closes a forked child's share of the lock, and does nothing else: the container is its parent's.
    pub fn close_in_child(mut self) {
        self.when_dropped = WhenDropped::Nothing;
    }

    /// Tried once: what can't be removed now stays for a sweep.
    fn remove(&mut self) -> Result<(), StoreError> {
        self.when_dropped = WhenDropped::Nothing;
        remove_whole(&self.containers, &self.dir, self.words.id.hex().as_bytes())
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        if (self.when_dropped, self.keep) == (WhenDropped::RemoveThrowaway, Keep::Throwaway)
            && let Err(error) = self.remove()
        {
            tracing::warn!("what a container left stays until the next one: {error}");
        }
    }
}
