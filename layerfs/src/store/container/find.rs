//! The containers there are, and from a user's words to one of them.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::id::{ContainerId, is_digits};
use super::record::{self, Base, Keep, MOUNTPOINT};
use super::state::{self, State};
use crate::store::digest::Digest;
use crate::store::error::{During, StoreError};
use crate::store::root::Store;
use crate::sys::file::Symlinks;
use crate::sys::lock::{self, Share};
use crate::sys::{Errno, SysError, dir};

/// A container of the store as it was when it was looked at. Times are milliseconds since 1970.
#[derive(Clone, Debug)]
pub struct Container {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// What its files come from.
    pub base: Base,
    /// The words of its first process.
    pub command: Vec<String>,
    /// Its host name.
    pub hostname: String,
    /// When it was made.
    pub created_ms: u64,
    /// What becomes of it when it ends.
    pub keep: Keep,
    /// What it said last of itself.
    pub state: State,
    /// Below which control group its groups are; `None` where they are right in the hierarchies, as root's.
    pub groups_below: Option<PathBuf>,
    /// Whether its process lives.
    pub is_living: bool,
    /// What `inspect` shows beside the rest, under docker's keys.
    pub details: Map<String, Value>,
    /// What the command needs to start it again, in words of its own; null where it can't be.
    pub said: Value,
    /// Names of the volumes that it shows.
    pub volumes: Vec<String>,
}

impl Container {
    /// Whether its process died without saying how it ended.
    pub fn is_dead(&self) -> bool {
        !self.is_living && !matches!(self.state, State::Exited(_) | State::Idle)
    }
}

impl Store {
    /// All containers, those made last first. A throwaway that died is none any more.
    pub fn containers(&self) -> Result<Vec<Container>, StoreError> {
        let mut found = Vec::new();
        for (id, dir) in self.container_dirs()? {
            found.extend(container(id, &dir)?);
        }
        found.sort_by(|a, b| (b.created_ms, &a.id).cmp(&(a.created_ms, &b.id)));
        Ok(found)
    }

    /// The container that `word` means: a whole id, a name, or the beginning of one id.
    pub fn find_container(&self, word: &str) -> Result<Container, StoreError> {
        let mut all = self.containers()?;
        let by = |is: &dyn Fn(&Container) -> bool| all.iter().position(is);
        let whole = by(&|one| one.id.hex() == word).or_else(|| by(&|one| one.name == word));
        if let Some(at) = whole {
            return Ok(all.swap_remove(at));
        }
        all.retain(|one| is_digits(word) && one.id.hex().starts_with(word));
        match all.len() {
            0 => Err(StoreError::NoSuchContainer(word.into())),
            1 => Ok(all.swap_remove(0)),
            _ => Err(StoreError::Ambiguous {
                name: word.into(),
                hits: all.iter().map(|one| format!("container {}", one.id.short())).collect(),
            }),
        }
    }

    /// Where living mounts of an image stand; of those that did not note it, nothing is said.
    pub fn mountpoints_of(&self, image: &Digest) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        for (id, dir) in self.container_dirs()? {
            if !is_living(&dir).during(|| format!("look after container {}", id.short()))? {
                continue;
            }
            let Some((_, words)) = record::read(&dir, &id)? else { continue };
            let is_meant = matches!(&words.base, Base::Image { id, .. } if id == image);
            let at = words.details.get(MOUNTPOINT).and_then(Value::as_str);
            found.extend(at.filter(|_| is_meant && words.name.is_none()).map(str::to_owned));
        }
        found.sort();
        Ok(found)
    }

    /// The directories that are named as those of containers, each opened for itself.
    pub(in crate::store) fn container_dirs(
        &self,
    ) -> Result<Vec<(ContainerId, OwnedFd)>, StoreError> {
        let deed = || "list the containers".to_owned();
        let containers = self.open_containers()?;
        let mut found = Vec::new();
        for entry in dir::list(&containers).during(deed)? {
            let id = std::str::from_utf8(&entry.name).ok().and_then(ContainerId::parse);
            let Some(id) = id else { continue };
            match dir::open(&containers, &*entry.name, Symlinks::Stop) {
                // One that ends removes its directory without asking.
                Err(error) if is_no_dir(&error) => {}
                dir => found.push((id, dir.during(deed)?)),
            }
        }
        Ok(found)
    }
}

/// Whether there is no directory of that name, or none any more.
pub(super) fn is_no_dir(error: &SysError) -> bool {
    [Errno::NOENT, Errno::NOTDIR, Errno::LOOP].contains(&error.errno())
}

/// Whether a living process holds the directory. Its lock is tried for a moment, shared with others who look.
pub(in crate::store) fn is_living(dir: &OwnedFd) -> Result<bool, SysError> {
    if !lock::try_take(dir, Share::Shared)? {
        return Ok(true);
    }
    lock::release(dir)?;
    Ok(false)
}

fn container(id: ContainerId, dir: &OwnedFd) -> Result<Option<Container>, StoreError> {
    // Before the state is read: one that ends in between is then seen as ended, not as died.
    let is_living = is_living(dir).during(|| format!("look after container {}", id.short()))?;
    // Of a dead throwaway even a damaged record is nothing: it was never synced.
    if !is_living && !record::is_kept(dir).during(|| "list the containers".into())? {
        return Ok(None);
    }
    let Some((keep, words)) = record::read(dir, &id)? else { return Ok(None) };
    let Some(name) = words.name else { return Ok(None) };
    let (state, groups_below) = match state::read(dir, &format!("container {name}")) {
        // Whoever removes a container takes its record first.
        Err(_) if record::read(dir, &id)?.is_none() => return Ok(None),
        state => state?,
    };
    Ok(Some(Container {
        name,
        base: words.base,
        command: words.command,
        hostname: words.hostname,
        created_ms: words.created_ms,
        keep,
        state,
        groups_below,
        is_living,
        details: words.details,
        said: words.said,
        volumes: words.volumes,
        id,
    }))
}
